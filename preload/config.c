/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the collector asked for, from the environment the process was started with. Read before libc
 * is ready, so nothing here calls it. */
#include <elf.h>

#include "shim.h"

#define INTERVAL_BYTES (512u * 1024)

/* Until it is read, allocations take the way that reads it. */
struct shim_config shim_config = {.alloc = SHIM_EVERY};

/* On the initial stack: argc, argv, NULL, the environment, NULL, the auxiliary vector. Set by ld.so
 * before anything else runs, public since glibc 2.2.5. */
extern void *__libc_stack_end;

/* What follows `name=` in `text`, where that is how it starts. */
static const char *after_name(const char *text, const char *name) {
  for (; *name; text++, name++)
    if (*text != *name)
      return NULL;
  return *text == '=' ? text + 1 : NULL;
}

static bool word_is(const char *text, const char *word) {
  for (; *word; text++, word++)
    if (*text != *word)
      return false;
  return !*text || *text == ' ';
}

static enum shim_mode mode_of(const char *text) {
  return word_is(text, "every") ? SHIM_EVERY : word_is(text, "sampled") ? SHIM_SAMPLED : SHIM_OFF;
}

static uint32_t number_of(const char *text) {
  uint64_t value = 0;

  for (; *text >= '0' && *text <= '9' && value < UINT32_MAX; text++)
    value = value * 10 + (uint64_t)(*text - '0');
  return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies up to the next blank, with %XX resolved; false where it does not fit. */
static bool copy_word(char *to, size_t room, const char *text) {
  size_t used = 0;

  for (; *text && *text != ' '; text++) {
    char c = *text;
    if (c == '%' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
      c = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
      text += 2;
    }
    if (used + 1 >= room)
      return false;
    to[used++] = c;
  }
  to[used] = 0;
  return true;
}

static void read_key(struct shim_config *config, const char *text) {
  const char *value;

  if ((value = after_name(text, "alloc")))
    config->alloc = mode_of(value);
  else if ((value = after_name(text, "python")))
    config->python = mode_of(value);
  else if ((value = after_name(text, "interval")) && number_of(value))
    config->interval_bytes = number_of(value);
  else if ((value = after_name(text, "calls")))
    config->calls = number_of(value) != 0;
  else if ((value = after_name(text, "cpu")))
    config->cpu_hz = number_of(value);
  else if ((value = after_name(text, "iteration")) &&
           !copy_word(config->iteration, sizeof(config->iteration), value))
    config->iteration[0] = 0;
}

static bool read_text(struct shim_config *config, const char *text) {
  if (!copy_word(config->folder, sizeof(config->folder), text) || config->folder[0] != '/')
    return false;
  while (*text) {
    while (*text && *text != ' ')
      text++;
    while (*text == ' ')
      text++;
    read_key(config, text);
  }
  return true;
}

/* A set-user-ID program trusts its environment in nothing; it seldom comes here, as ld.so leaves
 * out most of LD_PRELOAD then. */
static bool is_secure(char **environment) {
  char **end = environment;

  while (*end)
    end++;
  for (const Elf64_auxv_t *entry = (const void *)(end + 1); entry->a_type != AT_NULL; entry++)
    if (entry->a_type == AT_SECURE)
      return entry->a_un.a_val != 0;
  return true;
}

void shim_config_read(void) {
  struct shim_config config = {.interval_bytes = INTERVAL_BYTES};
  char **environment = (char **)__libc_stack_end + *(long *)__libc_stack_end + 2;
  const char *text = NULL;

  for (char **entry = environment; *entry && !text; entry++)
    text = after_name(*entry, REGION_ENVIRONMENT);
  if (!text || is_secure(environment) || !read_text(&config, text))
    config = (struct shim_config){.folder = ""};
  shim_config = config;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the grammar of --probe. */
#include "capture/user_probe_spec.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define USDT "usdt:"
#define FORMS                                                                                      \
  "FILE:FUNCTION, FILE:'PATTERN*', FILE:0xOFFSET, 0xADDRESS, usdt:PROVIDER:NAME or "               \
  "usdt:FILE:PROVIDER:NAME"

static bool parse_number(const char *text, uint64_t *number) {
  char *end;
  if (strncmp(text, "0x", 2) != 0 || !text[2])
    return false;
  errno = 0;
  *number = strtoull(text, &end, 16);
  return !*end && !errno;
}

static int parse_usdt(struct probe_spec *spec) {
  const char *rest = spec->text + strlen(USDT), *name = strrchr(rest, ':');
  spec->kind = PROBE_SPEC_USDT;
  if (!name || name == rest || !name[1])
    return error_set(EINVAL, "'%s': expected usdt:PROVIDER:NAME or usdt:FILE:PROVIDER:NAME",
                     spec->text);
  const char *provider = name;
  while (provider > rest && provider[-1] != ':')
    provider--;
  if (provider == name || provider == rest + 1)
    return error_set(EINVAL, "'%s': expected usdt:PROVIDER:NAME or usdt:FILE:PROVIDER:NAME",
                     spec->text);
  spec->name = strdup(name + 1);
  spec->provider = strndup(provider, (size_t)(name - provider));
  if (provider > rest)
    spec->file = strndup(rest, (size_t)(provider - rest - 1));
  if (!spec->name || !spec->provider || (provider > rest && !spec->file))
    return error_set(ENOMEM, "out of memory");
  return 0;
}

/* The first colon that stands alone: "::" is part of a name. */
static const char *find_colon(const char *text) {
  const char *at = strchr(text, ':');
  return at && at[1] != ':' ? at : NULL;
}

static bool is_vdso(const char *file) {
  return !strcmp(file, "vdso") || !strcmp(file, "[vdso]") || !strcmp(file, "linux-vdso.so.1");
}

int probe_spec_parse(struct probe_spec *spec, const char *text) {
  *spec = (struct probe_spec){.text = text};
  if (!strncmp(text, USDT, strlen(USDT)))
    return parse_usdt(spec);
  const char *colon = find_colon(text);
  if (!colon && parse_number(text, &spec->number)) {
    spec->kind = PROBE_SPEC_ADDRESS;
    return 0;
  }
  if (!colon || colon == text || !colon[1])
    return error_set(EINVAL, "'%s': expected " FORMS, text);
  spec->file = strndup(text, (size_t)(colon - text));
  spec->name = strdup(colon + 1);
  if (!spec->file || !spec->name)
    return error_set(ENOMEM, "out of memory");
  if (!strncmp(spec->name, "0x", 2)) {
    spec->kind = PROBE_SPEC_OFFSET;
    if (!parse_number(spec->name, &spec->number))
      return error_set(EINVAL, "'%s': '%s' is not an offset", text, spec->name);
  }
  if (is_vdso(spec->file))
    return error_set(ENOTSUP, "'%s': the vdso is no file, and cannot be probed", text);
  return 0;
}

void probe_spec_fini(struct probe_spec *spec) {
  free(spec->file);
  free(spec->name);
  free(spec->provider);
}

bool probe_spec_names(const struct probe_spec *spec, const char *path, const char *soname) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  if (!spec->file)
    return true;
  if (strchr(spec->file, '/'))
    return !strcmp(spec->file, path);
  size_t length = strlen(spec->file);
  if (!strcmp(spec->file, base) || (soname && !strcmp(spec->file, soname)))
    return true;
  return length > 3 && !strcmp(spec->file + length - 3, ".so") &&
         !strncmp(base, spec->file, length) && base[length] == '.';
}

const char *probe_refusal(const char *function) {
  static const struct {
    const char *name;
    const char *why;
  } refused[] = {
      {"_start", "it is not called, so it has no return address"},
      {"_dl_start_user", "it is not called, so it has no return address"},
      {"setjmp", "it keeps its return address for longjmp"},
      {"_setjmp", "it keeps its return address for longjmp"},
      {"__setjmp", "it keeps its return address for longjmp"},
      {"sigsetjmp", "it keeps its return address for longjmp"},
      {"__sigsetjmp", "it keeps its return address for longjmp"},
      {"getcontext", "it keeps its return address for setcontext"},
      {"__getcontext", "it keeps its return address for setcontext"},
      {"swapcontext", "it returns on another stack"},
      {"__swapcontext", "it returns on another stack"},
      {"vfork", "it returns twice on one stack"},
      {"__vfork", "it returns twice on one stack"},
      {"clone", "it returns on another stack"},
      {"__clone", "it returns on another stack"},
      {"__clone3", "it returns on another stack"},
  };
  for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
    if (!strcmp(function, refused[i].name))
      return refused[i].why;
  return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns naming code compiled at run time by perf maps, whose lines are "start size name" with hex
 * numbers (Linux, tools/perf/Documentation/jit-interface.txt). The file is written by the target
 * while it is read: of what overlaps, the line written last is the code that is there now. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "symbol/internal.h"
#include "symbol/openfile.h"
#include "symbol/ranges.h"

/* Of a longer file the end is read: it has what is compiled now. */
#define MAP_MAX_BYTES ((size_t)256 << 20)
#define MAP_MAX_ENTRIES (4u << 20)

struct map_entry {
  uint64_t start;
  uint32_t name_off;
};

struct symbol_map {
  char *text; /* the file, with names NUL-terminated in place */
  struct map_entry *entries;
  uint32_t count;
  uint32_t capacity;
  struct ranges ranges;
};

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Moves past a hex number, with or without "0x", and the space after it. */
static bool read_hex(const char **at, uint64_t *value) {
  const char *text = *at;
  if (text[0] == '0' && (text[1] | 0x20) == 'x')
    text += 2;
  const char *digits = text;
  *value = 0;
  for (int digit; (digit = hex_digit(*text)) >= 0; text++) {
    if (*value >> 60)
      return false;
    *value = *value << 4 | (uint64_t)digit;
  }
  if (text == digits || (*text != ' ' && *text != '\t'))
    return false;
  *at = text + 1;
  return true;
}

static int add(struct symbol_map *map, uint64_t start, uint64_t size, const char *name) {
  if (map->count == MAP_MAX_ENTRIES)
    return 0;
  if (map->count == map->capacity) {
    uint32_t capacity = map->capacity ? map->capacity * 2 : 1024;
    struct map_entry *entries = reallocarray(map->entries, capacity, sizeof(*entries));
    if (!entries)
      return -ENOMEM;
    map->entries = entries;
    map->capacity = capacity;
  }
  uint32_t id = map->count++;
  map->entries[id] = (struct map_entry){.start = start, .name_off = (uint32_t)(name - map->text)};
  uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
  return ranges_add(&map->ranges, start, end, id, id);
}

/* `line` is NUL-terminated. Broken ones are left out. */
static int read_line(struct symbol_map *map, char *line) {
  const char *at = line;
  uint64_t start, size;
  if (!read_hex(&at, &start) || !read_hex(&at, &size) || !*at)
    return 0;
  char *name = line + (at - line);
  symbol_shorten(name);
  return add(map, start, size, name);
}

int symbol_map_parse_take(struct symbol_map **out, char *text, size_t bytes) {
  struct symbol_map *map = calloc(1, sizeof(*map));
  if (!map) {
    free(text);
    return error_set(ENOMEM, "perf map: out of memory");
  }
  map->text = text;
  int result = 0;
  char *end;
  /* The last line without its newline is still being written. */
  for (char *line = text; !result && (end = memchr(line, '\n', bytes - (size_t)(line - text)));
       line = end + 1) {
    *end = '\0';
    result = read_line(map, line);
  }
  if (!result)
    result = ranges_build(&map->ranges);
  if (result)
    symbol_map_close(map);
  else
    *out = map;
  return result;
}

/* Up to `bytes` from `at`; malloc'ed. */
static char *read_text(int fd, off_t at, size_t bytes, size_t *got) {
  char *text = malloc(bytes + 1);
  *got = 0;
  while (text && *got < bytes) {
    ssize_t step = pread(fd, text + *got, bytes - *got, at + (off_t)*got);
    if (step <= 0)
      break;
    *got += (size_t)step;
  }
  return text;
}

static int read_file(struct symbol_map **out, int fd, const struct stat *status) {
  size_t bytes =
      (uint64_t)status->st_size < MAP_MAX_BYTES ? (size_t)status->st_size : MAP_MAX_BYTES;
  off_t from = status->st_size - (off_t)bytes;
  char *text = read_text(fd, from, bytes, &bytes);
  if (!text)
    return error_set(ENOMEM, "perf map: out of memory");
  if (from && bytes) { /* the first line is cut: make it a broken one */
    char *first = memchr(text, '\n', bytes);
    memset(text, ' ', first ? (size_t)(first - text) : bytes);
  }
  return symbol_map_parse_take(out, text, bytes);
}

/* The PID that the target itself sees, by which it names its file. */
static pid_t pid_inside(pid_t pid) {
  char path[64], line[256];
  snprintf(path, sizeof(path), "/proc/%d/status", pid);
  FILE *in = fopen(path, "re");
  pid_t inside = pid;
  while (in && fgets(line, sizeof(line), in)) {
    if (strncmp(line, "NSpid:", 6))
      continue;
    char *last = strrchr(line, '\t');
    if (last && atoi(last) > 0)
      inside = atoi(last);
    break;
  }
  if (in)
    fclose(in);
  return inside;
}

static int open_in(struct symbol_map **out, const char *root, pid_t pid, uid_t uid) {
  char path[64];
  struct stat status;
  snprintf(path, sizeof(path), "/tmp/perf-%d.map", pid);
  int fd = openfile_regular(root, path, true, &status);
  if (fd < 0)
    return fd;
  int result;
  if (status.st_uid != uid && status.st_uid != 0)
    result = error_set(EPERM, "%s%s: belongs to user %u, neither the target's user %u nor root",
                       root, path, status.st_uid, uid);
  else
    result = read_file(out, fd, &status);
  close(fd);
  return result;
}

int symbol_map_open(struct symbol_map **out, pid_t pid, uid_t uid) {
  char root[64];
  snprintf(root, sizeof(root), "/proc/%d/root", pid);
  int result = open_in(out, root, pid_inside(pid), uid);
  /* An agent outside of the container may write it by the PID that it sees. */
  return result == -ENOENT ? open_in(out, "", pid, uid) : result;
}

bool symbol_map_resolve(struct symbol_map *map, uint64_t address, symbol_fn callback,
                        void *context) {
  uint32_t id;
  if (!ranges_find(&map->ranges, address, &id))
    return false;
  const struct map_entry *entry = &map->entries[id];
  struct symbol symbol = {
      .function = map->text + entry->name_off, .file = "", .offset_bytes = address - entry->start};
  callback(context, 0, &symbol);
  return true;
}

void symbol_map_close(struct symbol_map *map) {
  if (!map)
    return;
  ranges_fini(&map->ranges);
  free(map->entries);
  free(map->text);
  free(map);
}

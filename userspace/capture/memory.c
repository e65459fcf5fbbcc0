/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of memory figures from /proc and /sys/fs/cgroup. */
#include "capture/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/cgroup.h"
#include "region.h"

/* Version 1 says "no limit" with a number near 2^63. */
#define LIMIT_NONE (1ull << 60)

void memory_set(struct trace_memory *memory, enum memory_metric metric, uint64_t value) {
  memory->values[metric] = value;
  memory->present |= 1u << metric;
}

struct field {
  const char *name;
  enum memory_metric metric;
};

/* "Name:   123 kB" lines. */
static bool read_fields(const char *path, const struct field *fields, size_t count,
                        struct trace_memory *memory) {
  char line[256];
  FILE *file = fopen(path, "re");
  if (!file)
    return false;
  while (fgets(line, sizeof(line), file))
    for (size_t i = 0; i < count; i++) {
      size_t length = strlen(fields[i].name);
      if (!strncmp(line, fields[i].name, length) && line[length] == ':')
        memory_set(memory, fields[i].metric, strtoull(line + length + 1, NULL, 10) * 1024);
    }
  fclose(file);
  return true;
}

bool memory_read_process(pid_t pid, struct trace_memory *memory) {
  static const struct field status[] = {
      {"VmRSS", MEMORY_RSS},         {"VmSize", MEMORY_VIRTUAL}, {"VmSwap", MEMORY_SWAP},
      {"RssAnon", MEMORY_ANONYMOUS}, {"RssFile", MEMORY_FILE},   {"RssShmem", MEMORY_SHARED},
  };
  static const struct field host[] = {{"MemAvailable", MEMORY_HOST_AVAILABLE}};
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/status", pid);
  if (!read_fields(path, status, sizeof(status) / sizeof(status[0]), memory) ||
      !(memory->present & 1u << MEMORY_RSS)) /* a zombie has none */
    return false;
  read_fields("/proc/meminfo", host, 1, memory);
  return true;
}

/* ---- smaps ---- */

/* Of one mapping. */
struct smap {
  uint64_t rss_bytes;
  uint64_t pss_bytes;
  enum memory_map_kind kind;
  bool is_anonymous;
  bool is_region;
};

/* What a mapping is, by how its path begins; the others are told apart by inode and rights. */
static const struct {
  const char *path;
  enum memory_map_kind kind;
} paths[] = {
    {"[heap]", MEMORY_MAP_HEAP},
    {"[stack", MEMORY_MAP_STACK},
    {"[anon_shmem", MEMORY_MAP_SHARED},
    {"[anon", MEMORY_MAP_ANONYMOUS},
    {"[v", MEMORY_MAP_CODE}, /* vdso, vvar, vsyscall */
    {"/dev/shm/", MEMORY_MAP_SHARED},
    {"/memfd:", MEMORY_MAP_SHARED},
    {"/SYSV", MEMORY_MAP_SHARED},
    {"/dev/zero", MEMORY_MAP_SHARED},
};

static enum memory_map_kind kind_of(const char *path, const char *rights, unsigned long inode) {
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
    if (!strncmp(path, paths[i].path, strlen(paths[i].path)))
      return paths[i].kind;
  if (!inode)
    return MEMORY_MAP_ANONYMOUS;
  return strchr(rights, 'x') ? MEMORY_MAP_CODE : MEMORY_MAP_FILE;
}

/* "start-end permissions offset device inode path" */
static bool is_head(const char *line, struct smap *map) {
  unsigned long start, end, inode;
  char rights[8];
  int path_at = 0;
  if (sscanf(line, "%lx-%lx %7s %*s %*s %lu %n", &start, &end, rights, &inode, &path_at) < 4)
    return false;
  const char *path = line + path_at;
  *map = (struct smap){.kind = kind_of(path, rights, inode),
                       .is_anonymous = inode == 0 && (!*path || !strncmp(path, "[anon", 5)),
                       .is_region = inode && strstr(path, "/" REGION_FOLDER_PREFIX)};
  return true;
}

/* proc_pid_smaps(5): "dd" is memory that is left out of core dumps; the flags come last. */
static void add_map(struct memory_walk *walk, const struct smap *map, const char *flags) {
  bool is_shim = map->is_anonymous && strstr(flags, " dd");
  if (!is_shim && !map->is_region)
    walk->resident_bytes[map->kind] += map->rss_bytes;
  walk->pss_bytes += map->pss_bytes;
  walk->shim_bytes += is_shim ? map->rss_bytes : 0;
  walk->shim_pss_bytes += is_shim || map->is_region ? map->pss_bytes : 0;
}

bool memory_walk(pid_t pid, struct memory_walk *walk) {
  char path[64], *line = NULL;
  size_t capacity = 0;
  struct smap map = {0};
  *walk = (struct memory_walk){0};
  snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
  FILE *file = fopen(path, "re");
  if (!file)
    return false;
  while (getline(&line, &capacity, file) > 0) {
    line[strcspn(line, "\n")] = '\0';
    if (!strncmp(line, "Rss:", 4))
      map.rss_bytes = strtoull(line + 4, NULL, 10) * 1024;
    else if (!strncmp(line, "Pss:", 4))
      map.pss_bytes = strtoull(line + 4, NULL, 10) * 1024;
    else if (!strncmp(line, "VmFlags:", 8))
      add_map(walk, &map, line + 8);
    else if (line[0] < 'A' || line[0] > 'Z')
      is_head(line, &map);
  }
  free(line);
  fclose(file);
  return walk->pss_bytes != 0;
}

/* ---- cgroups ---- */

/* The tightest limit of the group and those above it. */
static void read_limit(struct cgroup group, struct trace_memory *memory) {
  const char *file = group.is_first ? "memory.limit_in_bytes" : "memory.max";
  uint64_t least = LIMIT_NONE, limit;
  do {
    if (cgroup_number(&group, file, &limit) && limit < least)
      least = limit;
  } while (cgroup_up(&group));
  if (least < LIMIT_NONE)
    memory_set(memory, MEMORY_CGROUP_LIMIT, least);
}

void memory_read_cgroup(pid_t pid, struct trace_memory *memory) {
  static const struct cgroup_controller controller = {"memory", "memory.usage_in_bytes",
                                                      "memory.current"};
  struct cgroup group;
  uint64_t used, cache;
  if (!cgroup_find(pid, &controller, &group) ||
      !cgroup_number(&group, group.is_first ? controller.first_file : controller.second_file,
                     &used))
    return;
  memory_set(memory, MEMORY_CGROUP_USED, used);
  if (cgroup_stat(&group, "memory.stat", group.is_first ? "total_cache" : "file", &cache))
    memory_set(memory, MEMORY_CGROUP_CACHE, cache);
  read_limit(group, memory);
}

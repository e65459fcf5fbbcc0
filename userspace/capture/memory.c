/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of memory figures from /proc and /sys/fs/cgroup. */
#include "capture/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
  bool is_anonymous;
  bool is_region;
};

/* "start-end permissions offset device inode path" */
static bool is_head(const char *line, struct smap *map) {
  unsigned long start, end, inode;
  int path_at = 0;
  if (sscanf(line, "%lx-%lx %*s %*s %*s %lu %n", &start, &end, &inode, &path_at) < 3)
    return false;
  *map = (struct smap){.is_anonymous =
                           inode == 0 && (!line[path_at] || !strncmp(line + path_at, "[anon", 5)),
                       .is_region = inode && strstr(line + path_at, "/" REGION_FOLDER_PREFIX)};
  return true;
}

/* proc_pid_smaps(5): "dd" is memory that is left out of core dumps; the flags come last. */
static void add_map(struct memory_walk *walk, const struct smap *map, const char *flags) {
  bool is_shim = map->is_anonymous && strstr(flags, " dd");
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

static bool read_number(const char *folder, const char *name, uint64_t *value) {
  char path[PATH_MAX + 64], text[32];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  FILE *file = fopen(path, "re");
  bool found = file && fgets(text, sizeof(text), file) && text[0] >= '0' && text[0] <= '9';
  if (found)
    *value = strtoull(text, NULL, 10);
  if (file)
    fclose(file);
  return found;
}

/* A line "key number" of memory.stat. */
static bool read_stat(const char *folder, const char *key, uint64_t *value) {
  char path[PATH_MAX + 128], line[128];
  size_t length = strlen(key);
  bool found = false;
  snprintf(path, sizeof(path), "%s/memory.stat", folder);
  FILE *file = fopen(path, "re");
  while (file && !found && fgets(line, sizeof(line), file))
    if (!strncmp(line, key, length) && line[length] == ' ') {
      *value = strtoull(line + length + 1, NULL, 10);
      found = true;
    }
  if (file)
    fclose(file);
  return found;
}

struct cgroup_version {
  const char *root, *used, *limit, *cache;
};

static const struct cgroup_version versions[] = {
    {"/sys/fs/cgroup/memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "total_cache"},
    {"/sys/fs/cgroup", "memory.current", "memory.max", "file"},
    {"/sys/fs/cgroup/unified", "memory.current", "memory.max", "file"},
};

/* The path of the process's cgroup: of the memory controller of version 1 (`is_first`), or of
 * version 2. False when it is in none. */
static bool find_group(pid_t pid, bool is_first, char path[PATH_MAX]) {
  char name[64], line[PATH_MAX + 256];
  bool found = false;
  snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
  FILE *file = fopen(name, "re");
  while (file && !found && fgets(line, sizeof(line), file)) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
      continue;
    *group++ = '\0';
    bool is_memory = is_first ? strstr(controllers, "memory") != NULL : !strncmp(line, "0:", 2);
    found = is_memory && strlen(group) < PATH_MAX / 2;
    if (found)
      snprintf(path, PATH_MAX, "%s", group);
  }
  if (file)
    fclose(file);
  return found;
}

/* The tightest limit of the group and those above it. */
static void read_limit(const struct cgroup_version *version, const char *group,
                       struct trace_memory *memory) {
  char folder[PATH_MAX];
  uint64_t least = LIMIT_NONE, limit;
  size_t root = strlen(version->root);
  snprintf(folder, sizeof(folder), "%s%s", version->root, group);
  for (;;) {
    if (read_number(folder, version->limit, &limit) && limit < least)
      least = limit;
    char *slash = strrchr(folder, '/');
    if (!slash || (size_t)(slash - folder) < root)
      break;
    *slash = '\0';
  }
  if (least < LIMIT_NONE)
    memory_set(memory, MEMORY_CGROUP_LIMIT, least);
}

void memory_read_cgroup(pid_t pid, struct trace_memory *memory) {
  for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
    char group[PATH_MAX], folder[PATH_MAX + 64];
    uint64_t used, cache;
    if (!find_group(pid, i == 0, group))
      continue;
    snprintf(folder, sizeof(folder), "%s%s", versions[i].root, group);
    if (!read_number(folder, versions[i].used, &used)) {
      /* in a container the group's path is one of the host; its own group is at the root */
      snprintf(folder, sizeof(folder), "%s", versions[i].root);
      group[0] = '\0';
      if (!read_number(folder, versions[i].used, &used))
        continue;
    }
    memory_set(memory, MEMORY_CGROUP_USED, used);
    if (read_stat(folder, versions[i].cache, &cache))
      memory_set(memory, MEMORY_CGROUP_CACHE, cache);
    read_limit(&versions[i], group, memory);
    return;
  }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the way from a process to the folders of its control groups, and the reading of their files.
 */
#include "capture/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- folders ---- */

/* Whether a list "cpu,cpuacct" holds a name. */
static bool is_in_list(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',')) {
    at += *at == ',';
    if (!strncmp(at, name, length) && (!at[length] || at[length] == ','))
      return true;
  }
  return false;
}

/* The path of the process's group within its hierarchy: lines "number:controllers:path", of version
 * 2 "0::path". */
static bool find_path(pid_t pid, const char *controller, char path[PATH_MAX]) {
  char name[64], line[PATH_MAX + 256];
  bool found = false;
  snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
  FILE *file = fopen(name, "re");
  while (file && !found && fgets(line, sizeof(line), file)) {
    line[strcspn(line, "\n")] = '\0';
    char *list = strchr(line, ':');
    char *group = list ? strchr(list + 1, ':') : NULL;
    if (!group)
      continue;
    *group++ = '\0';
    found = (controller ? is_in_list(list + 1, controller) : !strncmp(line, "0:", 2)) &&
            strlen(group) < PATH_MAX / 2;
    if (found)
      snprintf(path, PATH_MAX, "%s", group);
  }
  if (file)
    fclose(file);
  return found;
}

static bool has_file(const struct cgroup *group, const char *file) {
  char path[PATH_MAX + 64];
  snprintf(path, sizeof(path), "%s/%s", group->folder, file);
  return !access(path, R_OK);
}

/* The group at a path of a hierarchy, else the hierarchy's root. */
static bool look_under(const char *root, const char *path, const char *file, struct cgroup *group) {
  group->root = strlen(root);
  snprintf(group->folder, sizeof(group->folder), "%s%s", root, strcmp(path, "/") ? path : "");
  if (has_file(group, file))
    return true;
  group->folder[group->root] = '\0';
  return has_file(group, file);
}

bool cgroup_find(pid_t pid, const struct cgroup_controller *controller, struct cgroup *group) {
  static const char *const second_roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
  char path[PATH_MAX], root[64];
  snprintf(root, sizeof(root), "/sys/fs/cgroup/%s", controller->name);
  group->is_first = true;
  if (find_path(pid, controller->name, path) &&
      look_under(root, path, controller->first_file, group))
    return true;
  group->is_first = false;
  if (!find_path(pid, NULL, path))
    return false;
  for (size_t i = 0; i < sizeof(second_roots) / sizeof(second_roots[0]); i++)
    if (look_under(second_roots[i], path, controller->second_file, group))
      return true;
  return false;
}

bool cgroup_up(struct cgroup *group) {
  char *slash = strrchr(group->folder, '/');
  if (!slash || (size_t)(slash - group->folder) < group->root)
    return false;
  *slash = '\0';
  return true;
}

/* ---- files ---- */

static FILE *open_file(const struct cgroup *group, const char *name) {
  char path[PATH_MAX + 64];
  snprintf(path, sizeof(path), "%s/%s", group->folder, name);
  return fopen(path, "re");
}

bool cgroup_number(const struct cgroup *group, const char *name, uint64_t *value) {
  char text[32];
  FILE *file = open_file(group, name);
  bool found = file && fgets(text, sizeof(text), file) && text[0] >= '0' && text[0] <= '9';
  if (found)
    *value = strtoull(text, NULL, 10);
  if (file)
    fclose(file);
  return found;
}

bool cgroup_stat(const struct cgroup *group, const char *name, const char *key, uint64_t *value) {
  char line[128];
  size_t length = strlen(key);
  bool found = false;
  FILE *file = open_file(group, name);
  while (file && !found && fgets(line, sizeof(line), file))
    if (!strncmp(line, key, length) && line[length] == ' ') {
      *value = strtoull(line + length + 1, NULL, 10);
      found = true;
    }
  if (file)
    fclose(file);
  return found;
}

/* ---- CPU ---- */

/* cpu.max: "quota period" in µs; "max" is no quota. */
static bool read_max(const struct cgroup *group, struct cgroup_cpu *cpu) {
  unsigned long long quota, period;
  FILE *file = open_file(group, "cpu.max");
  bool found = file && fscanf(file, "%llu %llu", &quota, &period) == 2;
  if (file)
    fclose(file);
  if (found) {
    cpu->quota_us = quota;
    cpu->period_us = period;
  }
  return found;
}

static bool read_quota(const struct cgroup *group, struct cgroup_cpu *cpu) {
  bool found = group->is_first ? cgroup_number(group, "cpu.cfs_quota_us", &cpu->quota_us) &&
                                     cgroup_number(group, "cpu.cfs_period_us", &cpu->period_us)
                               : read_max(group, cpu);
  return found && cpu->period_us;
}

static void read_throttling(const struct cgroup *group, struct cgroup_cpu *cpu) {
  cgroup_stat(group, "cpu.stat", "nr_periods", &cpu->periods);
  cgroup_stat(group, "cpu.stat", "nr_throttled", &cpu->throttled);
  if (!group->is_first && cgroup_stat(group, "cpu.stat", "throttled_usec", &cpu->throttled_ns))
    cpu->throttled_ns *= 1000;
  else
    cgroup_stat(group, "cpu.stat", "throttled_time", &cpu->throttled_ns);
}

static bool is_tighter(const struct cgroup_cpu *a, const struct cgroup_cpu *b) {
  return !b->period_us ||
         (double)a->quota_us / (double)a->period_us < (double)b->quota_us / (double)b->period_us;
}

bool cgroup_cpu_read(pid_t pid, struct cgroup_cpu *cpu) {
  static const struct cgroup_controller controller = {"cpu", "cpu.cfs_quota_us", "cpu.max"};
  struct cgroup group;
  *cpu = (struct cgroup_cpu){0};
  if (!cgroup_find(pid, &controller, &group))
    return false;
  do {
    struct cgroup_cpu here = {0};
    if (!read_quota(&group, &here) || !is_tighter(&here, cpu))
      continue;
    read_throttling(&group, &here);
    *cpu = here;
  } while (cgroup_up(&group));
  return cpu->period_us != 0;
}

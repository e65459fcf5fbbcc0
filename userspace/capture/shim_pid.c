/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the search for a region's process in /proc. */
#include "capture/shim_pid.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "capture/clock.h"
#include "capture/maps.h"
#include "region.h"

#define SEARCH_COST 50 /* a search may take one part in so many of the time */

/* *hidden: it is there but does not show what it maps (it changed its user). */
static bool maps_file(uint32_t pid, uint64_t inode, bool *hidden) {
  char path[32], *line = NULL;
  size_t capacity = 0;
  snprintf(path, sizeof(path), "/proc/%u/maps", pid);
  FILE *file = fopen(path, "re");
  bool found = false;
  *hidden = !file && (errno == EACCES || errno == EPERM);
  while (file && !found && getline(&line, &capacity, file) > 0) {
    unsigned long mapped;
    found = sscanf(line, "%*s %*s %*s %*s %lu", &mapped) == 1 && mapped == inode &&
            strstr(line, "/" REGION_FOLDER_PREFIX);
  }
  free(line);
  if (file)
    fclose(file);
  return found;
}

/* What a process or thread calls itself: the last number of NSpid; 0 when that is its only one. */
static uint32_t inner_number(uint32_t pid) {
  char path[32], line[256];
  unsigned long number = 0;
  snprintf(path, sizeof(path), "/proc/%u/status", pid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof(line), file))
    if (!strncmp(line, "NSpid:", 6)) {
      char *first = strchr(line, '\t'), *last = strrchr(line, '\t');
      number = last != first ? strtoul(last, NULL, 10) : 0;
      break;
    }
  if (file)
    fclose(file);
  return (uint32_t)number;
}

static void visit(void *context, pid_t pid) {
  struct shim_pids *pids = context;
  uint32_t inner_pid = inner_number((uint32_t)pid);
  struct foreign_pid *grown =
      inner_pid ? array_grown(pids->at, pids->count, &pids->capacity, sizeof(*grown)) : NULL;
  if (!grown)
    return;
  pids->at = grown;
  pids->at[pids->count++] = (struct foreign_pid){(uint32_t)pid, inner_pid};
}

static void list(struct shim_pids *pids, uint64_t now_ns) {
  uint64_t begin_ns = clock_cost_ns();
  pids->count = 0;
  process_each(visit, pids);
  pids->listed_ns = now_ns;
  pids->list_from_ns = now_ns + (clock_cost_ns() - begin_ns) * SEARCH_COST;
}

uint32_t shim_pid_find(struct shim_pids *pids, uint32_t inner_pid, const char *name, uint64_t inode,
                       uint64_t seen_ns, uint64_t now_ns, bool *gone) {
  bool hidden, other_hidden;
  *gone = false;
  if (maps_file(inner_pid, inode, &hidden))
    return inner_pid;
  if (pids->listed_ns < seen_ns && now_ns >= pids->list_from_ns)
    list(pids, now_ns);
  for (uint32_t i = 0; i < pids->count; i++)
    if (pids->at[i].inner_pid == inner_pid && maps_file(pids->at[i].pid, inode, &other_hidden))
      return pids->at[i].pid;
  if (pids->listed_ns < seen_ns)
    return 0;
  struct process_status status;
  *gone =
      !hidden || process_status_read((pid_t)inner_pid, &status) || strcmp(status.name, name) != 0;
  return inner_pid;
}

uint32_t shim_pid_thread(uint32_t pid, uint32_t inner_tid) {
  char path[32];
  uint32_t found = pid;
  snprintf(path, sizeof(path), "/proc/%u/task", pid);
  DIR *list = opendir(path);
  for (struct dirent *entry; list && (entry = readdir(list));) {
    uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
    if (tid && inner_number(tid) == inner_tid)
      found = tid;
  }
  if (list)
    closedir(list);
  return found;
}

int shim_pid_open(uint32_t pid) {
  return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

bool shim_pid_lives(uint32_t pid) {
  struct process_status status;
  return !process_status_read((pid_t)pid, &status) && status.has_memory;
}

bool shim_pid_may_own(uint32_t pid, uint32_t owner) {
  struct process_status status;
  return owner == 0 || owner == geteuid() || process_status_read((pid_t)pid, &status) ||
         status.uid == owner;
}

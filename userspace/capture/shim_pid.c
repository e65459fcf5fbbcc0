/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the search for a region's process in /proc. */
#include "capture/shim_pid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/clock.h"
#include "capture/maps.h"
#include "region.h"

#define SEARCH_COST 50 /* a search may take one part in so many of the time */

/* Also when it is there but does not show what it maps (it changed its user). */
static bool maps_file(uint32_t pid, uint64_t inode) {
  char path[32], *line = NULL;
  size_t capacity = 0;
  snprintf(path, sizeof(path), "/proc/%u/maps", pid);
  FILE *file = fopen(path, "re");
  bool found = !file && (errno == EACCES || errno == EPERM);
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

/* What a process calls itself: the last number of NSpid. */
static uint32_t inner_number(uint32_t pid) {
  char path[32], line[256];
  unsigned long number = 0;
  snprintf(path, sizeof(path), "/proc/%u/status", pid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof(line), file))
    if (!strncmp(line, "NSpid:", 6)) {
      char *last = strrchr(line, '\t');
      number = last ? strtoul(last, NULL, 10) : 0;
      break;
    }
  if (file)
    fclose(file);
  return (uint32_t)number;
}

struct search {
  uint32_t inner_pid;
  uint64_t inode;
  uint32_t found;
};

static void visit(void *context, pid_t pid) {
  struct search *search = context;
  if (!search->found && (uint32_t)pid != search->inner_pid &&
      inner_number((uint32_t)pid) == search->inner_pid && maps_file((uint32_t)pid, search->inode))
    search->found = (uint32_t)pid;
}

uint32_t shim_pid_find(uint32_t inner_pid, uint64_t inode, uint64_t *search_from_ns,
                       uint64_t now_ns, bool *gone) {
  *gone = false;
  if (maps_file(inner_pid, inode))
    return inner_pid;
  if (now_ns >= *search_from_ns) {
    struct search search = {.inner_pid = inner_pid, .inode = inode};
    uint64_t begin_ns = clock_cost_ns();
    process_each(visit, &search);
    *search_from_ns = now_ns + (clock_cost_ns() - begin_ns) * SEARCH_COST;
    if (search.found)
      return search.found;
  }
  *gone = true;
  return inner_pid;
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the parsing of /proc/PID/maps, status, exe and the list of processes. */
#include "capture/maps.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"

#define DELETED " (deleted)"

static bool parse_line(char *text, struct maps_line *line) {
  unsigned major, minor;
  char permissions[5];
  int path_at = 0;
  unsigned long start, end, offset, inode;
  if (sscanf(text, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, permissions, &offset, &major,
             &minor, &inode, &path_at) < 7 ||
      permissions[2] != 'x')
    return false;
  char *path = text + path_at;
  size_t length = strcspn(path, "\n");
  path[length] = '\0';
  size_t tail = strlen(DELETED);
  if (length > tail && !strcmp(path + length - tail, DELETED))
    path[length - tail] = '\0';
  *line = (struct maps_line){.start = start,
                             .end = end,
                             .offset = offset,
                             .device = makedev(major, minor),
                             .inode = inode,
                             .path = path};
  return true;
}

int maps_read(pid_t pid, int (*callback)(void *context, const struct maps_line *line),
              void *context) {
  char name[32];
  snprintf(name, sizeof(name), "/proc/%d/maps", pid);
  FILE *file = fopen(name, "re");
  if (!file)
    return error_errno("%s", name);
  char *text = NULL;
  size_t capacity = 0;
  int result = 0;
  while (result >= 0 && getline(&text, &capacity, file) > 0) {
    struct maps_line line;
    if (parse_line(text, &line))
      result = callback(context, &line);
  }
  free(text);
  fclose(file);
  return result < 0 ? result : 0;
}

int process_status_read(pid_t pid, struct process_status *status) {
  char name[32], line[256];
  snprintf(name, sizeof(name), "/proc/%d/status", pid);
  FILE *file = fopen(name, "re");
  if (!file)
    return error_set(ESRCH, "no process with PID %d", pid);
  *status = (struct process_status){0};
  while (fgets(line, sizeof(line), file)) {
    int value;
    unsigned uid;
    if (sscanf(line, "Name:\t%15[^\n]", status->name) == 1)
      continue;
    if (sscanf(line, "Tgid:\t%d", &value) == 1)
      status->tgid = value;
    else if (sscanf(line, "PPid:\t%d", &value) == 1)
      status->parent = value;
    else if (sscanf(line, "Uid:\t%*u\t%u", &uid) == 1)
      status->uid = uid;
    else if (!strncmp(line, "VmSize:", 7))
      status->has_memory = true;
  }
  fclose(file);
  return status->tgid ? 0 : error_set(ESRCH, "process %d ended", pid);
}

char *process_executable(pid_t pid) {
  char name[32], path[PATH_MAX];
  snprintf(name, sizeof(name), "/proc/%d/exe", pid);
  ssize_t length = readlink(name, path, sizeof(path) - 1);
  if (length < 0)
    return NULL;
  path[length] = '\0';
  return strdup(path);
}

void process_each(void (*callback)(void *context, pid_t pid), void *context) {
  DIR *directory = opendir("/proc");
  if (!directory)
    return;
  for (struct dirent *entry; (entry = readdir(directory));)
    if (isdigit((unsigned char)entry->d_name[0]))
      callback(context, atoi(entry->d_name));
  closedir(directory);
}

struct child_search {
  pid_t parent;
  void (*callback)(void *context, pid_t child);
  void *context;
};

static void visit_child(void *context, pid_t pid) {
  struct child_search *search = context;
  struct process_status status;
  if (!process_status_read(pid, &status) && status.parent == search->parent)
    search->callback(search->context, pid);
}

/* By the parents of all processes: the file "children" is there only on some kernels. */
void process_children(pid_t pid, void (*callback)(void *context, pid_t child), void *context) {
  struct child_search search = {.parent = pid, .callback = callback, .context = context};
  process_each(visit_child, &search);
}

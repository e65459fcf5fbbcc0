/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doctor's look at one process: whether it may be profiled and how much its stacks will say. Reads
 * /proc only; the process is neither stopped nor traced. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/maps.h"
#include "cli/doctor.h"
#include "unwind/cpython.h"

#define PROC_PATH_BYTES 64

struct target {
  struct checkup *checkup;
  pid_t pid;
  bool may_read_maps;
  bool has_python;
  bool has_unknown_python;
  struct cpython_binary python;
  char python_path[CHECK_TEXT_BYTES / 2];
  char python_cause[CHECK_TEXT_BYTES / 2];
  uint64_t last_device, last_inode;
};

static void proc_path(char path[PROC_PATH_BYTES], pid_t pid, const char *name) {
  snprintf(path, PROC_PATH_BYTES, "/proc/%d/%s", pid, name);
}

/* The file behind a mapping, also when it was deleted or lies in a container. map_files needs a
 * privilege; the path below the process's root is the second best. */
static int open_mapped(pid_t pid, const struct maps_line *line) {
  char path[4096 + PROC_PATH_BYTES];
  struct stat status;
  snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)line->start,
           (unsigned long long)line->end);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    snprintf(path, sizeof(path), "/proc/%d/root%s", pid, line->path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  }
  if (fd >= 0 && (fstat(fd, &status) || !S_ISREG(status.st_mode))) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static int look_for_python(void *context, const struct maps_line *line) {
  struct target *target = context;
  bool is_same = line->device == target->last_device && line->inode == target->last_inode;
  if (line->path[0] != '/' || is_same || target->has_python || target->has_unknown_python)
    return 0;
  target->last_device = line->device;
  target->last_inode = line->inode;
  int fd = open_mapped(target->pid, line);
  if (fd < 0)
    return 0;
  int error = cpython_probe(&target->python, fd, line->path);
  close(fd);
  target->has_python = error == 0;
  target->has_unknown_python = error == -ENOTSUP;
  if (target->has_python || target->has_unknown_python)
    snprintf(target->python_path, sizeof(target->python_path), "%s", line->path);
  if (target->has_unknown_python)
    snprintf(target->python_cause, sizeof(target->python_cause), "%s", error_text());
  return 0;
}

static void check_maps(struct target *target) {
  int error = maps_read(target->pid, look_for_python, target);
  target->may_read_maps = error == 0;
  struct check *check = check_add(target->checkup, error ? CHECK_MISSING : CHECK_OK, "memory map",
                                  "%s", error ? strerror(-error) : "readable");
  if (error)
    check_explain(check, "its code cannot be told apart: no stacks, no symbols",
                  "run ragprof with sudo, or as the process's owner");
}

static void check_runtime(struct target *target, const char *executable) {
  const char *base = executable ? strrchr(executable, '/') : NULL;
  char micro[16] = "", map[PROC_PATH_BYTES];
  if (target->has_python) {
    if (target->python.micro != UINT32_MAX)
      snprintf(micro, sizeof(micro), ".%u", target->python.micro);
    check_add(target->checkup, CHECK_OK, "runtime", "CPython %u.%u%s in %s",
              target->python.version >> 8, target->python.version & 0xff, micro,
              target->python_path);
  } else if (target->has_unknown_python) {
    check_explain(check_add(target->checkup, CHECK_LIMITED, "runtime", "CPython in %s: %s",
                            target->python_path, target->python_cause),
                  "stacks show the interpreter's C functions instead of Python's",
                  "use CPython 3.8 to 3.13");
  } else if (base && strcmp(base, "/node") == 0) {
    snprintf(map, sizeof(map), "/tmp/perf-%d.map", target->pid);
    bool has_map = access(map, R_OK) == 0;
    check_explain(check_add(target->checkup, has_map ? CHECK_OK : CHECK_LIMITED, "runtime",
                            "node, %s %s", has_map ? "names in" : "no", map),
                  has_map ? NULL : "JavaScript functions have no names",
                  has_map ? NULL : "start it with NODE_OPTIONS=--perf-basic-prof");
  } else {
    check_add(target->checkup, CHECK_OK, "runtime", "native code");
  }
}

/* A kernel thread is what has no memory and is no zombie. */
static bool check_alive(struct target *target, const struct process_status *status) {
  char path[PROC_PATH_BYTES], state[64];
  proc_path(path, target->pid, "status");
  doctor_read_field(path, "State", state, sizeof(state));
  struct checkup *checkup = target->checkup;
  if (status->tgid != target->pid) {
    struct check *check = check_add(checkup, CHECK_LIMITED, "process", "%d is a thread of %d",
                                    target->pid, status->tgid);
    check_explain(check, "a capture follows whole processes", "name the process");
  } else if (state[0] == 'Z') {
    check_explain(check_add(checkup, CHECK_MISSING, "process", "%d (%s) has ended", target->pid,
                            status->name),
                  "it waits for its parent to take its status", NULL);
    return false;
  } else if (!status->has_memory) {
    check_explain(check_add(checkup, CHECK_MISSING, "process", "%d (%s) is a kernel thread",
                            target->pid, status->name),
                  "it has no user code", NULL);
    return false;
  } else {
    check_add(checkup, CHECK_OK, "process", "%d (%s), %s", target->pid, status->name, state);
  }
  return true;
}

static void check_owner(struct target *target, const struct process_status *status) {
  bool is_own = status->uid == geteuid() || geteuid() == 0;
  struct check *check = check_add(target->checkup, is_own ? CHECK_OK : CHECK_INFO, "owner",
                                  "uid %u", (unsigned)status->uid);
  if (!is_own)
    check_explain(check, "another user's process", "run ragprof with sudo");
}

/* The files of a process that may not be dumped belong to root (proc(5), /proc/PID). */
static void check_dumpable(struct target *target, const struct process_status *status) {
  char path[PROC_PATH_BYTES];
  struct stat file;
  proc_path(path, target->pid, "maps");
  if (stat(path, &file))
    return;
  bool is_hidden = file.st_uid == 0 && status->uid != 0;
  bool is_obstacle = is_hidden && geteuid() != 0;
  struct check *check = check_add(target->checkup, is_obstacle ? CHECK_LIMITED : CHECK_OK,
                                  "dumpable", "%s", is_hidden ? "no" : "yes");
  if (is_obstacle)
    check_explain(check, "its memory and maps are root's", "run ragprof with sudo");
}

static void check_confinement(struct target *target) {
  char path[PROC_PATH_BYTES], seccomp[16], ids[128], root[16] = "";
  static const char *const modes[] = {"none", "strict", "filter"};
  proc_path(path, target->pid, "status");
  if (doctor_read_field(path, "Seccomp", seccomp, sizeof(seccomp)) && seccomp[0] >= '0' &&
      seccomp[0] <= '2')
    check_explain(check_add(target->checkup, CHECK_OK, "seccomp", "%s", modes[seccomp[0] - '0']),
                  "a capture adds nothing to the process, so no filter is in its way", NULL);
  if (doctor_read_field(path, "NSpid", ids, sizeof(ids)) && strpbrk(ids, "\t "))
    check_explain(check_add(target->checkup, CHECK_OK, "container", "yes, PIDs %s", ids),
                  "files are read through /proc/PID/root", NULL);
  proc_path(path, target->pid, "root");
  ssize_t length = readlink(path, root, sizeof(root) - 1);
  if (length < 0)
    check_explain(
        check_add(target->checkup, CHECK_LIMITED, "root directory", "%s", strerror(errno)),
        "files of a container cannot be found", "run ragprof with sudo");
}

static void check_binary(struct target *target) {
  char path[PROC_PATH_BYTES];
  proc_path(path, target->pid, "exe");
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    check_explain(check_add(target->checkup, CHECK_LIMITED, "executable", "%s", strerror(errno)),
                  "it cannot be read: no symbols, no unwind tables", "run ragprof with sudo");
    return;
  }
  char *name = process_executable(target->pid);
  doctor_check_executable(target->checkup, fd, name ? name : path);
  free(name);
  close(fd);
}

void doctor_check_target(struct checkup *checkup, pid_t pid) {
  struct target target = {.checkup = checkup, .pid = pid};
  struct process_status status;
  int error = process_status_read(pid, &status);
  if (error) {
    struct check *check = check_add(checkup, CHECK_MISSING, "process", "%d: %s", pid,
                                    error == -ESRCH ? "no such process" : strerror(-error));
    check_explain(check, NULL, "pgrep -f NAME lists processes by name");
    return;
  }
  if (!check_alive(&target, &status))
    return;
  check_owner(&target, &status);
  check_dumpable(&target, &status);
  check_maps(&target);
  char *executable = process_executable(pid);
  if (target.may_read_maps)
    check_runtime(&target, executable);
  free(executable);
  check_confinement(&target);
  check_binary(&target);
}

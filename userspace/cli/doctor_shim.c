/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doctor's look at what `run` preloads: whether the library is there and loads, and where processes
 * can keep their counts. What it makes to try is removed again. */
#include <dlfcn.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/preload.h"
#include "capture/shim_folder.h"
#include "cli/doctor.h"

/* In a process of its own, which it can do no harm to. */
static bool loads(const char *path) {
  int status;
  pid_t child = fork();
  if (child == 0)
    _exit(dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL);
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool check_library(struct checkup *checkup) {
  static const char meaning[] = "run records no allocations, and nothing without privileges";
  char path[PATH_MAX];
  if (preload_find(path)) {
    struct check *check = check_add(checkup, CHECK_LIMITED, "library", "%s", error_text());
    check_explain(check, meaning, "sudo make install, or set RAGPROF_LIBRARY to its path");
    return false;
  }
  bool is_good = loads(path);
  struct check *check = check_add(checkup, is_good ? CHECK_OK : CHECK_LIMITED, "library", "%s%s",
                                  path, is_good ? "" : " does not load");
  if (!is_good)
    check_explain(check, meaning, "rebuild it on this host");
  return is_good;
}

static bool check_folder(struct checkup *checkup) {
  struct shim_folder *folder;
  if (shim_folder_new(&folder, false)) {
    struct check *check = check_add(checkup, CHECK_LIMITED, "shared memory", "%s", error_text());
    check_explain(check, "the library has nowhere to keep its counts",
                  "make room in /dev/shm, or set TMPDIR to a folder that can be written");
    return false;
  }
  const char *note = shim_folder_note(folder);
  struct check *check = check_add(checkup, note[0] ? CHECK_LIMITED : CHECK_OK, "shared memory",
                                  "%s", note[0] ? note : "/dev/shm");
  if (note[0])
    check_explain(check, "counts are kept in files on a disk, which costs the target some time",
                  "make room in /dev/shm, in a container by --shm-size");
  shim_folder_free(folder);
  return true;
}

void doctor_check_shim(struct checkup *checkup) {
  bool has_library = check_library(checkup), has_folder = check_folder(checkup);
  checkup->run_works = has_library && has_folder;
}

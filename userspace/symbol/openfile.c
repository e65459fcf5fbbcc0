/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns opening files that may be anything by the time they are opened. */
#include "symbol/openfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

/* O_PATH opens the name only: nothing happens to what is behind it, be it a FIFO or a device. */
static int open_name(const char *root, const char *path, bool refuse_link) {
  int root_fd = open(root[0] ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0)
    return error_errno("%s", root);
  while (*path == '/')
    path++;
  struct open_how how = {.flags = O_PATH | O_CLOEXEC | (refuse_link ? O_NOFOLLOW : 0),
                         .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
  int result = fd < 0 ? error_errno("%s/%s", root, path) : fd;
  close(root_fd);
  return result;
}

static int check_regular(int fd, const char *root, const char *path, struct stat *status) {
  if (fstat(fd, status))
    return error_errno("%s%s", root, path);
  if (S_ISLNK(status->st_mode))
    return error_set(EPERM, "%s%s: is a symbolic link", root, path);
  if (!S_ISREG(status->st_mode))
    return error_set(EPERM, "%s%s: not a regular file", root, path);
  return 0;
}

int openfile_regular(const char *root, const char *path, bool refuse_link, struct stat *status) {
  int name = open_name(root, path, refuse_link);
  if (name < 0)
    return name;
  int result = check_regular(name, root, path, status);
  if (!result) {
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", name);
    result = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (result < 0)
      result = error_errno("%s%s", root, path);
  }
  close(name);
  return result;
}

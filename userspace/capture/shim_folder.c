/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the session's folder. A locked file in it tells the living from the dead. */
#include "capture/shim_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "region.h"

#define ROOM_BYTES (64ull << 20) /* what a place must have free */
#define PATH_BYTES 200           /* of the folder: the shim keeps 255, blanks take three */
#define LOCK_NAME "lock"

struct shim_folder {
  char path[PATH_BYTES];
  char note[256];
  int fd;
  int lock_fd;
};

/* ---- places ---- */

#define PLACES 4

static void list_places(const char *places[PLACES]) {
  places[0] = "/dev/shm";
  places[1] = getenv("XDG_RUNTIME_DIR");
  places[2] = getenv("TMPDIR");
  places[3] = "/tmp";
}

/* NULL when files can be made there; else what stands against it. */
static const char *objection(const char *place) {
  struct statvfs space;
  if (access(place, W_OK | X_OK))
    return strerror(errno);
  if (statvfs(place, &space))
    return strerror(errno);
  return (uint64_t)space.f_bavail * space.f_frsize < ROOM_BYTES ? "no space left" : NULL;
}

/* ---- what is in a folder ---- */

static void each_entry(int folder_fd, void (*visit)(void *context, int fd, const char *name),
                       void *context) {
  int copy = folder_fd < 0 ? -1 : openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
  if (!list) {
    if (copy >= 0)
      close(copy);
    return;
  }
  for (struct dirent *entry; (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      visit(context, folder_fd, entry->d_name);
  closedir(list);
}

static void remove_entry(void *context, int folder_fd, const char *name) {
  (void)context;
  if (unlinkat(folder_fd, name, 0) && errno == EISDIR)
    unlinkat(folder_fd, name, AT_REMOVEDIR);
}

static void remove_all(const struct shim_folder *folder) {
  each_entry(folder->fd, remove_entry, NULL);
}

struct taking {
  void (*callback)(void *context, int fd);
  void *context;
};

static void take_entry(void *context, int folder_fd, const char *name) {
  struct taking *taking = context;
  struct stat info;
  if (!strcmp(name, LOCK_NAME))
    return;
  bool is_file = !fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) && S_ISREG(info.st_mode);
  int fd = is_file ? openat(folder_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) : -1;
  bool may_come_later = fd < 0 && (errno == EMFILE || errno == ENFILE);
  if (is_file && may_come_later)
    return;
  remove_entry(NULL, folder_fd, name);
  if (fd >= 0 && !fstat(fd, &info) && S_ISREG(info.st_mode))
    taking->callback(taking->context, fd);
  else if (fd >= 0)
    close(fd);
}

void shim_folder_take(struct shim_folder *folder, void (*callback)(void *context, int fd),
                      void *context) {
  struct taking taking = {callback, context};
  each_entry(folder->fd, take_entry, &taking);
}

/* ---- the dead ---- */

/* Whether a folder is ours by owner and has a lock that nobody holds. */
static bool is_stale(int fd) {
  struct stat info;
  if (fstat(fd, &info) || info.st_uid != geteuid())
    return false;
  int lock_fd = openat(fd, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (lock_fd < 0)
    return false;
  bool is_free = !flock(lock_fd, LOCK_EX | LOCK_NB);
  close(lock_fd);
  return is_free;
}

static void visit_place(void *context, int place_fd, const char *name) {
  (void)context;
  if (strncmp(name, REGION_FOLDER_PREFIX, strlen(REGION_FOLDER_PREFIX)) != 0 ||
      strlen(name) != strlen(REGION_FOLDER_PREFIX) + 6)
    return;
  int fd = openat(place_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    return;
  if (is_stale(fd)) {
    each_entry(fd, remove_entry, NULL);
    unlinkat(place_fd, name, AT_REMOVEDIR);
    log_debug("removed %s, left behind by a ragprof that died", name);
  }
  close(fd);
}

static void remove_stale(const char *const places[PLACES]) {
  for (int i = 0; i < PLACES; i++) {
    int fd = places[i] ? open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
      continue;
    each_entry(fd, visit_place, NULL);
    close(fd);
  }
}

/* ---- life ---- */

static int make_in(struct shim_folder *folder, const char *place, bool is_shared) {
  int length =
      snprintf(folder->path, sizeof(folder->path), "%s/" REGION_FOLDER_PREFIX "XXXXXX", place);
  if (length >= (int)sizeof(folder->path) || !mkdtemp(folder->path))
    return error_errno("cannot make a folder in %s", place);
  folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (folder->fd >= 0)
    folder->lock_fd = openat(folder->fd, LOCK_NAME, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  /* no list for others, and only its owner removes a file */
  if (folder->fd < 0 || folder->lock_fd < 0 || flock(folder->lock_fd, LOCK_EX | LOCK_NB) ||
      (is_shared && fchmod(folder->fd, 01733))) {
    int result = error_errno("%s", folder->path);
    remove_all(folder);
    rmdir(folder->path);
    return result;
  }
  return 0;
}

int shim_folder_new(struct shim_folder **out, bool is_shared) {
  const char *places[PLACES];
  struct shim_folder *folder = calloc(1, sizeof(*folder));
  if (!folder)
    return error_set(ENOMEM, "out of memory");
  folder->fd = -1;
  folder->lock_fd = -1;
  list_places(places);
  remove_stale(places);
  for (int i = 0; i < PLACES; i++) {
    const char *against = places[i] ? objection(places[i]) : NULL;
    if (!places[i])
      continue;
    if (!against && !make_in(folder, places[i], is_shared)) {
      *out = folder;
      return 0;
    }
    if (!folder->note[0])
      snprintf(folder->note, sizeof(folder->note), "%s: %s", places[i],
               against ? against : strerror(errno));
  }
  int result = error_set(ENOSPC, "no place for what the library counts (%s)", folder->note);
  free(folder);
  return result;
}

void shim_folder_free(struct shim_folder *folder) {
  if (!folder)
    return;
  remove_all(folder);
  if (rmdir(folder->path))
    log_warning("%s cannot be removed: %s", folder->path, strerror(errno));
  close(folder->fd);
  close(folder->lock_fd);
  free(folder);
}

const char *shim_folder_path(const struct shim_folder *folder) {
  return folder->path;
}

const char *shim_folder_note(const struct shim_folder *folder) {
  return folder->note;
}

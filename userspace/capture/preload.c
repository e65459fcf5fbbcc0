/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the look at the library and at the command that is to carry it. */
#include "capture/preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"

#define LIBRARY "libragprof.so"
#define SCRIPTS_MAX 5 /* as the kernel has it: fs/exec.c */
#define HEADERS_MAX 64
#define DEFAULT_PATH "/bin:/usr/bin" /* of execvp(3) */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

/* ---- the library ---- */

static int use(char path[PATH_MAX]) {
  if (access(path, R_OK))
    return error_errno("%s", path);
  if (strpbrk(path, " :")) /* they separate the names in LD_PRELOAD */
    return error_set(EINVAL, "%s: the path of the library must hold no blank and no colon", path);
  return 0;
}

int preload_find(char path[PATH_MAX]) {
  static const char *const places[] = {LIBRARY, "../lib/ragprof/" LIBRARY};
  char self[PATH_MAX], name[2 * PATH_MAX];
  const char *given = getenv("RAGPROF_LIBRARY");
  if (given && *given)
    return realpath(given, path) ? use(path) : error_errno("RAGPROF_LIBRARY: %s", given);
  ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length < 0)
    return error_errno("/proc/self/exe");
  self[length] = '\0';
  *strrchr(self, '/') = '\0';
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
    snprintf(name, sizeof(name), "%s/%s", self, places[i]);
    if (realpath(name, path))
      return use(path);
  }
  return error_set(ENOENT, "no " LIBRARY " beside %s/ragprof or in ../lib/ragprof", self);
}

/* ---- the command ---- */

bool preload_command(const char *command, char path[PATH_MAX]) {
  if (strchr(command, '/'))
    return snprintf(path, PATH_MAX, "%s", command) < PATH_MAX;
  const char *folders = getenv("PATH");
  for (const char *at = folders ? folders : DEFAULT_PATH; *at;) {
    size_t length = strcspn(at, ":");
    int written = snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, at, length ? "/" : "", command);
    struct stat info;
    if (written < PATH_MAX && !access(path, X_OK) && !stat(path, &info) && S_ISREG(info.st_mode))
      return true;
    at += length;
    at += *at == ':';
  }
  return false;
}

/* Whether running the file gives rights that its caller lacks: the dynamic linker then heeds no
 * LD_PRELOAD with a slash in it (ld.so(8)). */
static int check_rights(int fd, const char *path) {
  struct stat info;
  if (fstat(fd, &info))
    return 0;
  bool changes_group = (info.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  if (info.st_mode & S_ISUID && info.st_uid != getuid())
    return error_set(ENOTSUP, "%s is set-user-ID: the system loads no other library into it", path);
  if (changes_group && info.st_gid != getgid())
    return error_set(ENOTSUP, "%s is set-group-ID: the system loads no other library into it",
                     path);
  if (getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0)
    return error_set(ENOTSUP, "%s has file capabilities: the system loads no other library into it",
                     path);
  return 0;
}

static int check_interpreter(int fd, const char *path, const Elf64_Phdr *header) {
  char name[PATH_MAX] = "";
  size_t bytes = header->p_filesz < sizeof(name) ? header->p_filesz : sizeof(name) - 1;
  if (pread(fd, name, bytes, (off_t)header->p_offset) != (ssize_t)bytes)
    return 0;
  if (strstr(name, "ld-musl"))
    return error_set(ENOTSUP, "%s uses musl (%s): the library is made for glibc", path, name);
  return 0;
}

static int check_elf(int fd, const char *path, const Elf64_Ehdr *header) {
  Elf64_Phdr headers[HEADERS_MAX];
  size_t count = header->e_phnum < HEADERS_MAX ? header->e_phnum : HEADERS_MAX;
  if (header->e_ident[EI_CLASS] != ELFCLASS64)
    return error_set(ENOTSUP, "%s is a 32-bit program: the library is made for 64 bits", path);
  if (header->e_machine != MACHINE)
    return error_set(ENOTSUP, "%s is a program for another machine", path);
  if (pread(fd, headers, count * sizeof(*headers), (off_t)header->e_phoff) !=
      (ssize_t)(count * sizeof(*headers)))
    return 0;
  for (size_t i = 0; i < count; i++)
    if (headers[i].p_type == PT_INTERP)
      return check_interpreter(fd, path, &headers[i]);
  return error_set(ENOTSUP, "%s is statically linked: no library can be loaded into it", path);
}

/* The program of a "#!" line. */
static bool find_script_program(const char *head, char path[PATH_MAX]) {
  const char *name = head + 2 + strspn(head + 2, " \t");
  size_t length = strcspn(name, " \t\n");
  if (!length || length >= PATH_MAX)
    return false;
  memcpy(path, name, length);
  path[length] = '\0';
  return true;
}

int preload_check(const char *command) {
  char path[PATH_MAX];
  if (!preload_command(command, path))
    return 0;
  for (int depth = 0; depth < SCRIPTS_MAX; depth++) {
    union {
      Elf64_Ehdr elf;
      char text[256];
    } head = {.text = ""};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
      return 0;
    ssize_t got = read(fd, head.text, sizeof(head.text) - 1);
    bool is_elf = got >= (ssize_t)sizeof(head.elf) && !memcmp(head.text, ELFMAG, SELFMAG);
    int result = is_elf ? check_rights(fd, path) : 0;
    if (is_elf && !result)
      result = check_elf(fd, path, &head.elf);
    close(fd);
    if (is_elf || strncmp(head.text, "#!", 2) != 0 || !find_script_program(head.text, path))
      return result;
  }
  return 0;
}

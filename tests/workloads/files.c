/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does to files what can be counted: the same calls on each run. `files WHAT FOLDER`; the names of
 * WHAT are in the table at the end. */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(bool ok, const char *what) {
  if (!ok) {
    perror(what);
    exit(1);
  }
}

static int open_at(const char *name, int flags) {
  int fd = open(name, flags | O_CLOEXEC, 0600);
  must(fd >= 0, name);
  return fd;
}

static void write_bytes(int fd, size_t bytes) {
  static char zeros[4096];
  for (size_t part; bytes; bytes -= part) {
    part = bytes < sizeof(zeros) ? bytes : sizeof(zeros);
    must(write(fd, zeros, part) == (ssize_t)part, "write");
  }
}

static void *read_by_turns(void *name) {
  char bytes[100];
  int first = open_at("first", O_RDONLY), own = open_at(name, O_RDWR | O_CREAT);
  write_bytes(own, 1000);
  for (int i = 0; i < 2000; i++) {
    must(pread(first, bytes, 1 + i % 100, 0) > 0, "pread");
    must(pwrite(own, bytes, 7, i) == 7, "pwrite");
  }
  close(own);
  close(first);
  return NULL;
}

static void many_threads(void) {
  static char *const names[] = {"thread 0", "thread 1", "thread 2", "thread 3"};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, read_by_turns, names[i]);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
}

static void vectors(int fd) {
  char a[10], b[20];
  struct iovec parts[] = {{a, sizeof(a)}, {b, sizeof(b)}};
  lseek(fd, 0, SEEK_SET);
  for (int i = 0; i < 5; i++)
    must(readv(fd, parts, 2) == 30, "readv");
  for (int i = 0; i < 3; i++)
    must(writev(fd, parts, 2) == 30, "writev");
  for (int i = 0; i < 2; i++)
    must(preadv(fd, parts, 2, 0) == 30 && pwritev(fd, parts, 2, 0) == 30, "preadv");
}

static void failures(int fd) {
  char byte;
  int only_read = open_at("first", O_RDONLY);
  for (int i = 0; i < 17; i++)
    must(open("no such file", O_RDONLY) < 0 && errno == ENOENT, "open");
  must(open("first/no folder", O_RDONLY) < 0 && errno == ENOTDIR, "open");
  for (int i = 0; i < 9; i++)
    must(write(only_read, "x", 1) < 0 && errno == EBADF, "write");
  lseek(fd, 0, SEEK_END);
  for (int i = 0; i < 4; i++)
    must(read(fd, &byte, 1) == 0, "read at the end");
  lseek(fd, 0, SEEK_SET);
  must(syscall(SYS_read, fd, 16, 1) < 0 && errno == EFAULT, "read to nowhere");
  close(only_read);
}

/* Several files of one inode number, one after the other; one file of two names. */
static void lives_of_names(void) {
  for (int i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof(name), "again %d", i % 4);
    int fd = open_at(name, O_WRONLY | O_CREAT | O_EXCL);
    write_bytes(fd, 100 + i);
    close(fd);
    unlink(name);
  }
  int fd = open_at("before", O_WRONLY | O_CREAT);
  write_bytes(fd, 10);
  rename("before", "after");
  write_bytes(fd, 20);
  unlink("after");
  write_bytes(fd, 40);
  close(fd);
}

static void copies(int from) {
  int to = open_at("copy", O_RDWR | O_CREAT | O_TRUNC);
  off_t at = 0;
  must(sendfile(to, from, &at, 5000) == 5000, "sendfile");
  loff_t in = 0, out = 5000;
  must(syscall(SYS_copy_file_range, from, &in, to, &out, 3000, 0) == 3000, "copy_file_range");
  must(!fsync(to) && !fdatasync(to) && !sync_file_range(to, 0, 100, 2), "fsync");
  char *view = mmap(NULL, 8000, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
  must(view != MAP_FAILED, "mmap");
  view[100] = 1;
  munmap(view, 8000);
  close(to);
}

static void all(void) {
  int first = open_at("first", O_RDWR | O_CREAT | O_TRUNC);
  write_bytes(first, 20000);
  many_threads();
  vectors(first);
  failures(first);
  lives_of_names();
  copies(first);
  close(first);
  pid_t child = fork();
  must(child >= 0, "fork");
  if (!child) {
    int fd = open_at("first", O_RDONLY);
    char bytes[64];
    for (int i = 0; i < 50; i++)
      must(read(fd, bytes, sizeof(bytes)) == sizeof(bytes), "read");
    close(fd);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

/* Names that are hard to print, deep, or of no folder. */
static void names(void) {
  int fd = open_at("caf\xe9 \"quoted\"", O_WRONLY | O_CREAT);
  write_bytes(fd, 11);
  close(fd);
  for (int i = 0; i < 60; i++)
    must(!mkdir("d", 0700) && !chdir("d"), "mkdir");
  fd = open_at("deep", O_WRONLY | O_CREAT);
  write_bytes(fd, 12);
  close(fd);
  char name[252];
  memset(name, 'n', sizeof(name) - 1);
  name[sizeof(name) - 1] = '\0';
  for (int i = 0; i < 12; i++)
    must(!mkdir(name, 0700) && !chdir(name), "mkdir");
  fd = open_at("long", O_WRONLY | O_CREAT);
  write_bytes(fd, 13);
  close(fd);
  fd = memfd_create("in memory", 0);
  write_bytes(fd, 14);
  close(fd);
  char bytes[10];
  fd = open_at("/proc/self/stat", O_RDONLY);
  must(read(fd, bytes, sizeof(bytes)) == sizeof(bytes), "read");
  close(fd);
}

NOINLINE static void persist_index(int fd) {
  fsync(fd);
  KEEP_FRAME();
}

/* Prints the seconds in fsync. */
static void sync_slowly(void) {
  int fd = open_at("slow", O_WRONLY | O_CREAT | O_TRUNC);
  write_bytes(fd, 2 << 20);
  uint64_t begin_ns = wall_ns();
  persist_index(fd);
  printf("%.6f\n", (double)(wall_ns() - begin_ns) * 1e-9);
  close(fd);
}

NOINLINE static void read_index(int fd, size_t bytes) {
  static char buffer[64 << 10] __attribute__((aligned(4096)));
  for (ssize_t got; bytes && (got = read(fd, buffer, sizeof(buffer))) > 0;)
    bytes -= (size_t)got;
}

/* 8 MiB that are in no cache, twice; then past the cache, by O_DIRECT. Prints read_bytes of
 * /proc/self/io of the three. */
static long device_bytes(void) {
  char line[128];
  long bytes = -1;
  FILE *io = fopen("/proc/self/io", "r");
  while (io && fgets(line, sizeof(line), io))
    sscanf(line, "read_bytes: %ld", &bytes);
  if (io)
    fclose(io);
  return bytes;
}

static void read_cold(void) {
  long before = device_bytes();
  int fd = open_at("cold", O_RDONLY);
  read_index(fd, 8 << 20);
  long cold = device_bytes();
  lseek(fd, 0, SEEK_SET);
  read_index(fd, 8 << 20);
  long warm = device_bytes();
  close(fd);
  fd = open("cold", O_RDONLY | O_DIRECT);
  if (fd >= 0)
    read_index(fd, 1 << 20);
  printf("%ld %ld %ld\n", cold - before, warm - cold, device_bytes() - warm);
}

/* The same by touching a mapping. */
static void touch_cold(void) {
  long before = device_bytes();
  int fd = open_at("cold", O_RDONLY);
  const volatile char *view = mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE, fd, 0);
  must(view != MAP_FAILED, "mmap");
  close(fd);
  for (size_t at = 0; at < 8 << 20; at += 4096)
    (void)view[at];
  printf("%ld\n", device_bytes() - before);
}

/* Waits of 300 ms on things that are no files. */
static void pipes(void) {
  int fds[2];
  char byte;
  must(!pipe(fds), "pipe");
  if (!fork()) {
    usleep(300000);
    must(write(fds[1], "x", 1) == 1, "write");
    _exit(0);
  }
  must(read(fds[0], &byte, 1) == 1, "read");
  wait(NULL);
}

static void make_and_forget(const char *kind, int count) {
  for (int i = 0; i < count; i++) {
    char name[32];
    snprintf(name, sizeof(name), "%s %d", kind, i);
    int fd = open_at(name, O_WRONLY | O_CREAT);
    write_bytes(fd, 3);
    close(fd);
    unlink(name);
  }
}

/* More files than there is room for; later some more. */
static void many_files(void) {
  make_and_forget("many", 12000);
  sleep(4);
  make_and_forget("late", 100);
}

static const struct {
  const char *name;
  void (*run)(void);
} kinds[] = {{"all", all},          {"names", names}, {"slow", sync_slowly}, {"cold", read_cold},
             {"touch", touch_cold}, {"pipes", pipes}, {"many", many_files}};

int main(int count, char **arguments) {
  must(count == 3 && !chdir(arguments[2]), "files WHAT FOLDER");
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
    if (!strcmp(arguments[1], kinds[i].name))
      kinds[i].run();
  return 0;
}

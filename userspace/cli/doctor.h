/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The findings of `ragprof doctor`: one per thing that a capture needs or is limited by. */
#ifndef RAGPROF_CLI_DOCTOR_H
#define RAGPROF_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum check_status {
  CHECK_OK,
  CHECK_LIMITED, /* a capture works, with less in it */
  CHECK_MISSING, /* a capture cannot work */
  CHECK_INFO,    /* neither good nor bad */
};

#define CHECK_TEXT_BYTES 320
#define CHECKS_MAX 64

struct check {
  const char *name; /* static text: "kernel type information" */
  enum check_status status;
  char value[CHECK_TEXT_BYTES];   /* what was found */
  char meaning[CHECK_TEXT_BYTES]; /* what follows from it; "" when nothing */
  char remedy[CHECK_TEXT_BYTES];  /* the exact command or step; "" when there is none */
};

struct checkup {
  struct check checks[CHECKS_MAX];
  size_t count;
  bool run_works; /* without the kernel's side, if need be */
};

/* Adds a finding; NULL texts are empty. The value is a format. Never NULL: past the end, the last
 * entry is used again. */
struct check *check_add(struct checkup *checkup, enum check_status status, const char *name,
                        const char *value_format, ...) __attribute__((format(printf, 4, 5)));
void check_explain(struct check *check, const char *meaning, const char *remedy);
/* Control characters, which a process can put into its name, become '?'. */
void check_clean(char *text);

/* The first line of a small file without its newline; false (and "") when it cannot be read. */
bool doctor_read_line(const char *path, char *line, size_t bytes);
/* The value behind "key:" in a file like /proc/PID/status, without leading blanks. */
bool doctor_read_field(const char *path, const char *key, char *value, size_t bytes);

bool doctor_has_capability(unsigned number);

void doctor_check_host(struct checkup *checkup);   /* kernel, limits, environment */
void doctor_check_events(struct checkup *checkup); /* tries BPF and perf events for real */
void doctor_check_shim(struct checkup *checkup);   /* the library, and where it counts */
void doctor_check_target(struct checkup *checkup, pid_t pid);
/* What an executable file allows: symbols, unwind tables, interpreter. `fd` stays the caller's. */
void doctor_check_executable(struct checkup *checkup, int fd, const char *path);

#endif

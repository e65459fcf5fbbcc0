/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file or stream that a command writes its result to, and what the terminal can show. */
#ifndef RAGPROF_CLI_OUTPUT_H
#define RAGPROF_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/command.h"

struct output {
  FILE *stream;
  char *path;      /* of the finished file; NULL for standard output */
  char *temporary; /* written first, renamed when whole; NULL for streams and devices */
  bool overwrite;
};

/* Opens `path` for writing; NULL or "-" is standard output. A file appears under its name only when
 * output_close has seen all of it written, with mode 0600; an existing one is kept (-EEXIST) unless
 * `overwrite`. 0 or -errno with the cause in error_text(). */
int output_open(struct output *output, const char *path, bool overwrite);
/* Finishes the file when `keep`, else leaves nothing behind. Releases everything. 0 or -errno;
 * -EPIPE when the reader of standard output went away. */
int output_close(struct output *output, bool keep);

/* --color and NO_COLOR (no-color.org) applied to the terminal that `path` (as in output_open) leads
 * to, and that terminal's width; false and 0 for a file. COLUMNS is believed when there is no
 * terminal. */
bool output_color(const struct arguments *arguments, const char *path);
uint32_t output_width_columns(const char *path);

#endif

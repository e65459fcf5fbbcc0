/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `report` and `flame` have in common: one trace file in, one rendered file out. */
#ifndef RAGPROF_CLI_RENDERING_H
#define RAGPROF_CLI_RENDERING_H

#include "cli/command.h"
#include "render/render.h"

struct rendering {
  const char *trace_path;
  const struct render_format *format;
  const char *output_path; /* NULL or "-": standard output */
  bool overwrite;
  const char *noun; /* "flame graph" */
  const char *hint; /* said behind the path of a finished file; NULL: nothing */
};

/* Takes the one operand FILE. EXIT_OK, or EXIT_USAGE after a message. */
int rendering_operand(const struct arguments *arguments, const char **trace_path);

/* Loads, renders, says where the result is. An exit code; failures have been printed. */
int rendering_run(const struct rendering *rendering, const struct render_options *options);

#endif

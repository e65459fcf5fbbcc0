/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a synthetic trace with known content (see tests/unit/synthetic*.h):
 *   make_trace OUT [--samples N] [--waits N] [--threads T] [--depth D] [--seed S] [--heap STEPS]
 *                  [--operations STEPS] */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "synthetic_heap.h"
#include "synthetic_operations.h"

static int usage(void) {
  fprintf(stderr, "usage: make_trace OUT [--samples N] [--waits N] [--threads T] [--depth D] "
                  "[--seed S] [--heap STEPS] [--operations STEPS]\n");
  return 2;
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"samples", required_argument, NULL, 'n'},    {"waits", required_argument, NULL, 'w'},
      {"threads", required_argument, NULL, 't'},    {"depth", required_argument, NULL, 'd'},
      {"seed", required_argument, NULL, 's'},       {"heap", required_argument, NULL, 'h'},
      {"operations", required_argument, NULL, 'o'}, {0},
  };
  struct synthetic_options synthetic = {
      .sample_count = 10000, .wait_count = UINT64_MAX, .thread_count = 4, .seed = 1};
  uint64_t heap_steps = 0, operation_steps = 0;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    unsigned long long value = option == '?' ? 0 : strtoull(optarg, NULL, 10);
    switch (option) {
    case 'n':
      synthetic.sample_count = value;
      break;
    case 'w':
      synthetic.wait_count = value;
      break;
    case 't':
      synthetic.thread_count = (uint32_t)value;
      break;
    case 'd':
      synthetic.depth = (uint32_t)value;
      break;
    case 's':
      synthetic.seed = (uint32_t)value;
      break;
    case 'h':
      heap_steps = value;
      break;
    case 'o':
      operation_steps = value;
      break;
    default:
      return usage();
    }
  }
  if (optind + 1 != argc)
    return usage();
  if (synthetic.wait_count == UINT64_MAX)
    synthetic.wait_count = synthetic.sample_count / 5;
  struct trace_writer *writer;
  int error = trace_writer_open(&writer, argv[optind], true);
  if (!error) {
    synthetic_put(writer, &synthetic);
    if (heap_steps)
      synthetic_heap_put(writer, heap_steps);
    if (operation_steps)
      synthetic_operations_put(writer, synthetic.thread_count, operation_steps);
    error = trace_writer_close(writer);
  }
  if (error)
    fprintf(stderr, "make_trace: %s\n", error_text());
  return error ? 1 : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof flame`: a trace as a flame graph, as an HTML page, an SVG image or folded stacks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/rendering.h"

extern const struct command command_flame;

enum { KEY_FORMAT, KEY_KIND, KEY_OUTPUT, KEY_FORCE, KEY_TITLE, KEY_ICICLE };

static const struct option_spec options[] = {
    {.key = KEY_FORMAT,
     .short_name = 'f',
     .long_name = "format",
     .type = OPTION_CHOICE,
     .value_name = "FORMAT",
     .default_value = "html",
     .choices = "html|svg|folded",
     .summary = "what to write"},
    {.key = KEY_KIND,
     .short_name = 'k',
     .long_name = "kind",
     .type = OPTION_CHOICE,
     .value_name = "KIND",
     .default_value = "cpu",
     .choices = "cpu|off-cpu|wall|alloc|live|leak|peak|syscall|io|block|fault|lock|gil",
     .summary = "what to draw (html: what to show first)"},
    {.key = KEY_OUTPUT,
     .short_name = 'o',
     .long_name = "output",
     .type = OPTION_FILE,
     .value_name = "FILE",
     .summary = "write to FILE (mode 0600), '-' for standard output; without it html and svg go "
                "beside the trace, folded to standard output"},
    {.key = KEY_FORCE,
     .long_name = "force",
     .type = OPTION_FLAG,
     .summary = "replace an existing output file"},
    {.key = KEY_TITLE,
     .short_name = 't',
     .long_name = "title",
     .type = OPTION_TEXT,
     .value_name = "TEXT",
     .summary = "the title; without it the target's script or name"},
    {.key = KEY_ICICLE,
     .short_name = 'i',
     .long_name = "icicle",
     .type = OPTION_FLAG,
     .summary = "draw the root on top (svg, html)"},
    {0},
};

/* "dir/x.ragprof" gives "dir/x.html"; any other name gets the extension added. */
static char *path_beside(const char *trace_path, const char *extension) {
  static const char suffix[] = ".ragprof";
  size_t length = strlen(trace_path), suffix_length = sizeof(suffix) - 1;
  char *path;
  if (length > suffix_length && strcmp(trace_path + length - suffix_length, suffix) == 0)
    length -= suffix_length;
  if (length > INT32_MAX || asprintf(&path, "%.*s.%s", (int)length, trace_path, extension) < 0)
    return NULL;
  return path;
}

static int run(const struct arguments *arguments) {
  struct render_options render = {
      .title = arguments_text(arguments, KEY_TITLE),
      .inverted = arguments_has(arguments, KEY_ICICLE),
  };
  struct rendering rendering = {
      .format = render_format_find(flame_formats, arguments_text(arguments, KEY_FORMAT)),
      .output_path = arguments_text(arguments, KEY_OUTPUT),
      .overwrite = arguments_has(arguments, KEY_FORCE),
      .noun = "flame graph",
  };
  bool is_folded = strcmp(arguments_text(arguments, KEY_FORMAT), "folded") == 0;
  char *beside = NULL;
  int exit_code = rendering_operand(arguments, &rendering.trace_path);
  if (exit_code != EXIT_OK)
    return exit_code;
  if (calltree_kind_parse(arguments_text(arguments, KEY_KIND), &render.kind))
    return command_usage_error(&command_flame, "option --kind: unknown kind");
  if (!rendering.output_path && !is_folded && rendering.format) {
    rendering.output_path = beside = path_beside(rendering.trace_path, rendering.format->extension);
    if (!beside) {
      error_set(ENOMEM, "out of memory");
      return command_failed();
    }
  }
  rendering.hint = is_folded ? NULL : " (open it in a browser)";
  exit_code = rendering_run(&rendering, &render);
  free(beside);
  return exit_code;
}

const struct command command_flame = {
    .name = "flame",
    .synopsis = "flame [OPTIONS] FILE",
    .summary = "draw the flame graph of a trace",
    .description =
        "Reads the trace FILE that 'ragprof attach' or 'ragprof run' wrote and draws its stacks. "
        "The HTML page is one file that needs no network: it zooms, searches, filters by thread "
        "and range of time, and switches between what there is. The SVG image zooms and searches "
        "when it is opened in a browser. Folded stacks are lines of 'root;...;leaf N' for other "
        "tools.\n\n"
        "A graph of time shows on-CPU time (cpu), off-CPU time (off-cpu) or both (wall), folded in "
        "microseconds. A graph of memory shows the bytes that were allocated (alloc), those live "
        "at the end (live) or when most were (peak), folded in bytes, or how fast the stacks that "
        "were found to leak grow (leak), folded in bytes per iteration, or per second where the "
        "capture counted none. It needs a trace with allocations, as 'ragprof run' makes it.\n\n"
        "A graph of what the kernel did ends in what was done to what. It shows the time in system "
        "calls (syscall), of operations on files and sockets (io) or of the disk requests that "
        "they led to (block), all page faults, folded as their number (fault), the time that was "
        "waited for locks (lock) or for Python's (gil: also the stacks that held it meanwhile). It "
        "needs a trace of a capture that could load BPF programs.",
    .examples =
        "# an interactive page beside the trace: trace.html\n"
        "$ ragprof flame trace.ragprof\n"
        "# what the process waited for, as an image\n"
        "$ ragprof flame -f svg --kind off-cpu -o waits.svg trace.ragprof\n"
        "# where the memory went that was live at the end\n"
        "$ ragprof flame --kind live trace.ragprof\n"
        "# which code reads and writes which files and peers, and how long that takes\n"
        "$ ragprof flame --kind io trace.ragprof\n"
        "# the heaviest stacks on the terminal\n"
        "$ ragprof flame -f folded trace.ragprof | awk '{ print $NF, $0 }' | sort -rn | head\n",
    .options = options,
    .run = run,
};

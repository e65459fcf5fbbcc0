/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof report`: the hot functions, waits, memory and leaks of a trace, as text, JSON or
 * Markdown. */
#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/rendering.h"

extern const struct command command_report;

enum { KEY_FORMAT, KEY_OUTPUT, KEY_FORCE, KEY_TOP };

#define TOP_COUNT_MAX 100000

static const struct option_spec options[] = {
    {.key = KEY_FORMAT,
     .short_name = 'f',
     .long_name = "format",
     .type = OPTION_CHOICE,
     .value_name = "FORMAT",
     .default_value = "text",
     .choices = "text|json|markdown",
     .summary = "what to write"},
    {.key = KEY_OUTPUT,
     .short_name = 'o',
     .long_name = "output",
     .type = OPTION_FILE,
     .value_name = "FILE",
     .summary = "write to FILE (mode 0600) instead of standard output"},
    {.key = KEY_FORCE,
     .long_name = "force",
     .type = OPTION_FLAG,
     .summary = "replace an existing output file"},
    {.key = KEY_TOP,
     .short_name = 'n',
     .long_name = "top",
     .type = OPTION_COUNT,
     .value_name = "ROWS",
     .summary = "rows per table; without it each format has its own number"},
    {0},
};

static int run(const struct arguments *arguments) {
  struct rendering rendering = {
      .format = render_format_find(report_formats, arguments_text(arguments, KEY_FORMAT)),
      .output_path = arguments_text(arguments, KEY_OUTPUT),
      .overwrite = arguments_has(arguments, KEY_FORCE),
      .noun = "report",
  };
  uint64_t top_count = arguments_count(arguments, KEY_TOP);
  int exit_code = rendering_operand(arguments, &rendering.trace_path);
  if (exit_code != EXIT_OK)
    return exit_code;
  if (top_count > TOP_COUNT_MAX || (top_count == 0 && arguments_has(arguments, KEY_TOP)))
    return command_usage_error(&command_report, "option --top: expected 1 to %d", TOP_COUNT_MAX);
  struct render_options render = {
      .kind = CALLTREE_WALL,
      .color = output_color(arguments, rendering.output_path),
      .width_columns = output_width_columns(rendering.output_path),
      .top_count = (uint32_t)top_count,
  };
  return rendering_run(&rendering, &render);
}

const struct command command_report = {
    .name = "report",
    .synopsis = "report [OPTIONS] FILE",
    .summary = "show hot functions, waits, memory and leaks of a trace",
    .description =
        "Reads the trace FILE that 'ragprof attach' or 'ragprof run' wrote and shows where the "
        "time of the profiled processes went: the hottest functions by self and by total time, the "
        "hottest paths, the time spent waiting by reason with its stacks, the threads, and how "
        "much of the capture is complete. Where it counted allocations, it also shows which stacks "
        "leak and how fast, who holds the memory, and when it runs out; where it timed calls, how "
        "long they took.\n\n"
        "Needs neither the profiled process nor privileges nor the machine of the capture. A file "
        "that was cut short is shown up to its last whole chunk, with a warning.",
    .examples = "# the first look\n"
                "$ ragprof report trace.ragprof\n"
                "# the ten hottest functions for a script\n"
                "$ ragprof report -f json trace.ragprof | jq '.functions[:10]'\n"
                "# the stacks that leak\n"
                "$ ragprof report -f json trace.ragprof | jq '.heap.sites[] | select(.verdict == "
                "\"leak\")'\n"
                "# for a ticket or a pull request\n"
                "$ ragprof report -f markdown -o report.md trace.ragprof\n",
    .options = options,
    .run = run,
};

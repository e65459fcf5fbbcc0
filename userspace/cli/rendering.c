/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the way from a trace file through a renderer to an output file. */
#include "cli/rendering.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/output.h"

int rendering_operand(const struct arguments *arguments, const char **trace_path) {
  const char *const *rest;
  size_t count = arguments_rest(arguments, &rest);
  if (count == 0)
    return command_usage_error(arguments_command(arguments), "which trace FILE?");
  if (count > 1)
    return command_usage_error(arguments_command(arguments), "one FILE at a time, found also '%s'",
                               rest[1]);
  *trace_path = rest[0];
  return EXIT_OK;
}

static void warn_of_damage(const struct rendering *rendering, const struct profile *profile) {
  const struct trace_status *status = &profile->status;
  if (!status->complete)
    log_warning("%s: incomplete (%s): %llu of %llu bytes could be read", rendering->trace_path,
                status->damage ? status->damage : "no end mark",
                (unsigned long long)status->read_bytes, (unsigned long long)status->file_bytes);
}

static int render_to(struct output *output, const struct rendering *rendering,
                     const struct render_options *options) {
  struct profile *profile = NULL;
  int error = profile_load(&profile, rendering->trace_path);
  if (error)
    return error;
  warn_of_damage(rendering, profile);
  error_clear();
  error = rendering->format->render(output->stream, profile, options);
  if (error && !error_text()[0])
    error_set(-error, "%s: rendering failed: %s", rendering->trace_path, strerror(-error));
  profile_free(profile);
  return error;
}

int rendering_run(const struct rendering *rendering, const struct render_options *options) {
  struct output output;
  if (!rendering->format) {
    error_set(ENOTSUP, "this format is not part of this build");
    return command_failed();
  }
  if (output_open(&output, rendering->output_path, rendering->overwrite))
    return command_failed();
  bool is_file = output.path != NULL;
  int render_error = render_to(&output, rendering, options);
  if (render_error && !ferror(output.stream)) {
    int exit_code = command_failed(); /* before closing can record another cause */
    output_close(&output, false);
    return exit_code;
  }
  int error = output_close(&output, render_error == 0);
  if (error == -EPIPE && !is_file)
    return EXIT_FAILED; /* `| head` needs no message */
  if (error || render_error)
    return command_failed();
  if (is_file)
    log_info("%s: %s%s", rendering->noun, rendering->output_path,
             rendering->hint ? rendering->hint : "");
  return EXIT_OK;
}

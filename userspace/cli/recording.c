/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the stop flag and the common part of the recording commands. */
#include "cli/recording.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/user_probe_spec.h"

#define FREQUENCY_MAX_HZ 10000

volatile sig_atomic_t recording_stop;

volatile sig_atomic_t recording_sent_signal;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)context;
  if (info->si_code == SI_USER || info->si_code == SI_QUEUE)
    recording_sent_signal = number;
  recording_stop = 1;
}

void recording_catch_signals(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
}

/* "ragprof-NAME-PID-TIME.ragprof"; characters of the name that are awkward in a shell become "_".
 */
static void default_path(const char *name, pid_t pid, char path[], size_t bytes) {
  char safe[16], stamp[32];
  size_t length = 0;
  time_t now = time(NULL);
  struct tm local;
  for (; length < sizeof(safe) - 1 && name[length]; length++)
    safe[length] =
        isalnum((unsigned char)name[length]) || strchr("._-", name[length]) ? name[length] : '_';
  safe[length] = '\0';
  strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", localtime_r(&now, &local));
  snprintf(path, bytes, "ragprof-%s-%d-%s.ragprof", safe, pid, stamp);
}

static int check_probes(const struct command *command, const struct session_options *options) {
  for (size_t i = 0; i < options->probe_count; i++) {
    struct probe_spec spec;
    int result = probe_spec_parse(&spec, options->probes[i]);
    probe_spec_fini(&spec);
    if (result == -EINVAL)
      return command_usage_error(command, "option --probe: %s", error_text());
    if (result)
      return command_failed();
  }
  return EXIT_OK;
}

int recording_options(const struct command *command, const struct arguments *arguments,
                      const char *name, pid_t pid, char path[], size_t path_bytes,
                      struct session_options *options) {
  uint64_t frequency_hz = arguments_count(arguments, KEY_FREQUENCY);
  if (frequency_hz < 1 || frequency_hz > FREQUENCY_MAX_HZ)
    return command_usage_error(command, "option --frequency: expected 1 to %d", FREQUENCY_MAX_HZ);
  const char *output = arguments_text(arguments, KEY_OUTPUT);
  if (output)
    snprintf(path, path_bytes, "%s", output);
  else
    default_path(name, pid, path, path_bytes);
  *options = (struct session_options){
      .command = command->name,
      .frequency_hz = (uint32_t)frequency_hz,
      .follow_children = !arguments_has(arguments, KEY_NO_CHILDREN),
      .inlines = !arguments_has(arguments, KEY_NO_INLINES),
      .follow_debuginfod = arguments_has(arguments, KEY_DEBUGINFOD),
      .output = path,
      .overwrite = arguments_has(arguments, KEY_FORCE),
  };
  options->probe_count = arguments_values(arguments, KEY_PROBE, &options->probes);
  return check_probes(command, options);
}

static void say_heap(const struct shim_totals *heap) {
  char live[UNITS_TEXT_BYTES], peak[UNITS_TEXT_BYTES];
  log_info("heap: %llu allocations, %s never freed, %s live at the peak",
           (unsigned long long)heap->allocations, units_bytes(live, heap->live_bytes),
           units_bytes(peak, heap->peak_bytes));
}

int recording_finish(struct session *session, enum session_end end, const char *path) {
  struct session_summary summary;
  char duration[UNITS_TEXT_BYTES], size[UNITS_TEXT_BYTES];
  if (session_finish(session, end, &summary))
    return command_failed();
  log_info("%s of %u process%s, %u thread%s: %llu samples, %s in %s",
           units_ns(duration, summary.duration_ns), summary.processes,
           summary.processes == 1 ? "" : "es", summary.threads, summary.threads == 1 ? "" : "s",
           (unsigned long long)summary.samples, units_bytes(size, summary.file_bytes), path);
  if (summary.heap.counts_heap)
    say_heap(&summary.heap);
  if (summary.lost)
    log_warning("%llu events were lost; the report says which", (unsigned long long)summary.lost);
  log_info("look at it with 'ragprof report %s' or 'ragprof flame %s'", path, path);
  return EXIT_OK;
}

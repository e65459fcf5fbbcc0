/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof attach`: records processes that are already running. */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/maps.h"
#include "cli/recording.h"

extern const struct command command_attach;

enum { KEY_PID = RECORDING_KEYS, KEY_NAME };

#define TARGETS_MAX 256

static const struct option_spec options[] = {
    {.key = KEY_PID,
     .short_name = 'p',
     .long_name = "pid",
     .type = OPTION_COUNT,
     .repeatable = true,
     .value_name = "PID",
     .summary = "a process to record, the same as an operand"},
    {.key = KEY_NAME,
     .long_name = "name",
     .type = OPTION_TEXT,
     .repeatable = true,
     .value_name = "PATTERN",
     .summary = "every process whose name or executable matches, as in a shell: 'uvicorn*'"},
    RECORDING_OPTIONS,
    {0},
};

struct targets {
  pid_t pids[TARGETS_MAX];
  size_t count;
  const char *pattern;
};

static int add_target(struct targets *targets, const char *text) {
  uint64_t value;
  if (units_parse_count(text, &value) || value == 0 || value > INT_MAX)
    return command_usage_error(&command_attach, "'%s' is not a PID", text);
  if (targets->count == TARGETS_MAX)
    return command_usage_error(&command_attach, "more than %d processes", TARGETS_MAX);
  targets->pids[targets->count++] = (pid_t)value;
  return EXIT_OK;
}

static void match_process(void *context, pid_t pid) {
  struct targets *targets = context;
  struct process_status status;
  if (pid == getpid() || process_status_read(pid, &status) || !status.has_memory ||
      targets->count == TARGETS_MAX)
    return;
  char *path = process_executable(pid);
  const char *file = path ? strrchr(path, '/') : NULL;
  if (!fnmatch(targets->pattern, status.name, 0) ||
      (file && !fnmatch(targets->pattern, file + 1, 0)))
    targets->pids[targets->count++] = pid;
  free(path);
}

static int find_targets(const struct arguments *arguments, struct targets *targets) {
  const char *const *values;
  size_t count = arguments_rest(arguments, &values);
  for (size_t i = 0; i < count; i++)
    if (add_target(targets, values[i]))
      return EXIT_USAGE;
  count = arguments_values(arguments, KEY_PID, &values);
  for (size_t i = 0; i < count; i++)
    if (add_target(targets, values[i]))
      return EXIT_USAGE;
  count = arguments_values(arguments, KEY_NAME, &values);
  for (size_t i = 0; i < count; i++) {
    size_t before = targets->count;
    targets->pattern = values[i];
    process_each(match_process, targets);
    if (targets->count == TARGETS_MAX)
      log_warning("only the first %d processes that match are recorded", TARGETS_MAX);
    if (targets->count == before) {
      error_set(ESRCH, "no process matches '%s'", values[i]);
      return command_failed();
    }
  }
  if (!targets->count)
    return command_usage_error(&command_attach, "name a process: a PID, or --name PATTERN");
  return EXIT_OK;
}

static int add_all(struct session *session, const struct targets *targets) {
  for (size_t i = 0; i < targets->count; i++) {
    int result = session_add(session, targets->pids[i]);
    if (result)
      return result;
  }
  return 0;
}

static int run(const struct arguments *arguments) {
  static struct targets targets;
  struct process_status status;
  struct session_options session_options;
  struct session *session;
  char path[PATH_MAX];
  int exit_code = find_targets(arguments, &targets);
  if (exit_code)
    return exit_code;
  for (size_t i = targets.count; i-- > 0;)
    if (process_status_read(targets.pids[i], &status))
      return command_failed();
  exit_code = recording_options(&command_attach, arguments, status.name, targets.pids[0], path,
                                sizeof(path), &session_options);
  if (exit_code)
    return exit_code;
  recording_catch_signals();
  if (session_prepare(&session, &session_options))
    return command_failed();
  if (add_all(session, &targets) || session_activate(session)) {
    session_abandon(session);
    return command_failed();
  }
  enum session_end end =
      session_run(session, arguments_duration_ns(arguments, KEY_DURATION), &recording_stop);
  return recording_finish(session, end, path);
}

const struct command command_attach = {
    .name = "attach",
    .synopsis = "attach [OPTIONS] PID...",
    .summary = "record running processes until Ctrl-C, a duration, or their exit",
    .description =
        "Records what the processes do: on-CPU samples and every interval off the CPU, with full "
        "stacks of native, Python and kernel frames; every system call, what was done to files, "
        "sockets, disks and locks, page faults, memory and throttling. The processes are not "
        "stopped, changed or "
        "restarted. Their children, present and future, are recorded too, into the same trace.\n\n"
        "Ends at Ctrl-C, after --duration, or when every named process has exited. The trace file "
        "then needs neither the processes nor this machine to be read; it is readable up to the "
        "last second even when ragprof is killed.\n\n"
        "Needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; 'ragprof doctor' says what is "
        "missing.",
    .examples = "# a server, until Ctrl-C\n"
                "$ sudo ragprof attach 4242\n"
                "# thirty seconds of all workers of a server, 999 samples a second\n"
                "$ sudo ragprof attach -d 30 -F 999 --name 'gunicorn*'\n",
    .options = options,
    .run = run,
};

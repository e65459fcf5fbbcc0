/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof run`: starts a command and records it from its first instruction. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/recording.h"

extern const struct command command_run;

/* As the shell has it: found but not executable, and not found. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

static const struct option_spec options[] = {RECORDING_OPTIONS, {0}};

/* The command, held before its exec until `gate` is closed. */
struct child {
  pid_t pid;
  int gate;
};

static void become_command(int gate, const char *const *words) {
  char nothing;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  if (read(gate, &nothing, 1) != 1) /* the profiler gave up: do not start */
    _exit(EXIT_FAILED);
  execvp(words[0], (char *const *)words);
  int reason = errno;
  fprintf(stderr, "ragprof: %s: %s\n", words[0], strerror(reason));
  _exit(reason == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static int start_child(struct child *child, const char *const *words) {
  int gate[2];
  if (pipe2(gate, O_CLOEXEC))
    return error_errno("pipe");
  child->pid = fork();
  if (child->pid < 0) {
    int result = error_errno("fork");
    close(gate[0]);
    close(gate[1]);
    return result;
  }
  if (child->pid == 0) {
    close(gate[1]);
    become_command(gate[0], words);
  }
  close(gate[0]);
  child->gate = gate[1];
  return 0;
}

/* Lets the command go; or, with `go` false, has it end without having run. */
static void open_gate(struct child *child, bool go) {
  if (go && write(child->gate, "g", 1) != 1)
    log_warning("the command ended before it began");
  close(child->gate);
}

/* The status that a shell would report. */
static int exit_status(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      return EXIT_FAILED;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Records until the command ends. A signal to ragprof reaches the command too (the terminal sends
 * it to both; otherwise it is passed on), and the command decides what to do about it. */
static int record(struct session *session, struct child *child, uint64_t duration_ns,
                  const char *path) {
  char text[16];
  open_gate(child, true);
  enum session_end end = session_run(session, duration_ns, &recording_stop);
  if (recording_sent_signal)
    kill(child->pid, recording_sent_signal);
  int status = 0;
  bool exited = end == SESSION_TARGETS_EXITED || recording_stop;
  if (exited) {
    status = exit_status(child->pid);
    snprintf(text, sizeof(text), "%d", status);
    session_note(session, "target.exit_status", text);
  }
  int exit_code = recording_finish(session, end, path);
  if (!exited)
    status = exit_status(child->pid);
  return exit_code ? exit_code : status;
}

static int run(const struct arguments *arguments) {
  const char *const *words;
  struct session_options session_options;
  struct session *session;
  struct child child = {0};
  char path[PATH_MAX];
  if (!arguments_rest(arguments, &words))
    return command_usage_error(&command_run, "name a command: ragprof run -- python3 app.py");
  if (start_child(&child, words))
    return command_failed();
  const char *slash = strrchr(words[0], '/');
  int exit_code = recording_options(&command_run, arguments, slash ? slash + 1 : words[0],
                                    child.pid, path, sizeof(path), &session_options);
  if (!exit_code) {
    recording_catch_signals();
    if (session_prepare(&session, &session_options))
      exit_code = command_failed();
  }
  if (exit_code) {
    open_gate(&child, false);
    exit_status(child.pid);
    return exit_code;
  }
  if (session_add(session, child.pid) || session_activate(session)) {
    session_abandon(session);
    open_gate(&child, false);
    exit_status(child.pid);
    return command_failed();
  }
  return record(session, &child, arguments_duration_ns(arguments, KEY_DURATION), path);
}

const struct command command_run = {
    .name = "run",
    .synopsis = "run [OPTIONS] -- COMMAND [ARG]...",
    .summary = "start a command and record it",
    .description =
        "Starts COMMAND and records it and its children from their first instruction to the "
        "command's exit, as 'ragprof attach' does. The exit status of the command is passed "
        "through; Ctrl-C reaches it as well. With --duration, recording stops after that time and "
        "the command goes on; ragprof then waits for it.\n\n"
        "Recording needs root for now, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; 'ragprof "
        "doctor' says what is missing. The command runs as the user who runs ragprof, with sudo "
        "as root: put a command that changes the user before it where that matters.",
    .examples =
        "# a script, from its first import on\n"
        "$ sudo ragprof run -- python3 app.py --port 8080\n"
        "# into a file of a known name\n"
        "$ sudo ragprof run -o ingest.ragprof --force -- python3 ingest.py\n"
        "# as another user\n"
        "$ sudo ragprof run -- setpriv --reuid app --regid app --init-groups python3 app.py\n",
    .options = options,
    .takes_command = true,
    .run = run,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof run`: starts a command and records it from its first instruction. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/preload.h"
#include "capture/probe.h"
#include "cli/recording.h"

extern const struct command command_run;

/* As the shell has it: found but not executable, and not found. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

enum {
  KEY_ALLOC = RECORDING_KEYS,
  KEY_PYTHON_ALLOC,
  KEY_ALLOC_INTERVAL,
  KEY_SNAPSHOT,
  KEY_ITERATION,
  KEY_NO_SHIM,
  KEY_NO_BPF
};

#define ENVIRONMENT_BYTES_MAX (64 * 1024)
#define SNAPSHOT_NS_MIN (10 * NS_PER_MS)

static const struct option_spec options[] = {
    RECORDING_OPTIONS,
    {.key = KEY_ALLOC,
     .long_name = "alloc",
     .type = OPTION_CHOICE,
     .value_name = "MODE",
     .default_value = "every",
     .choices = "every|sampled|off",
     .summary = "allocations of malloc, new, mmap and brk: every one, sampled by bytes, or off"},
    {.key = KEY_PYTHON_ALLOC,
     .long_name = "python-alloc",
     .type = OPTION_CHOICE,
     .value_name = "MODE",
     .default_value = "sampled",
     .choices = "every|sampled|off",
     .summary = "Python's small objects, which never reach malloc: the same"},
    {.key = KEY_ALLOC_INTERVAL,
     .long_name = "alloc-interval",
     .type = OPTION_COUNT,
     .value_name = "BYTES",
     .default_value = "524288",
     .summary = "mean distance of sampled allocations"},
    {.key = KEY_SNAPSHOT,
     .long_name = "snapshot",
     .type = OPTION_DURATION,
     .value_name = "TIME",
     .default_value = "1s",
     .summary = "how often counts are read"},
    {.key = KEY_ITERATION,
     .long_name = "iteration",
     .type = OPTION_TEXT,
     .value_name = "SPEC",
     .summary = "what to count growth by: query (an inbound HTTP request), http:PATH, py:FUNCTION, "
                "uprobe:FILE:SYMBOL, usdt:FILE:PROVIDER:NAME"},
    {.key = KEY_NO_SHIM,
     .long_name = "no-shim",
     .type = OPTION_FLAG,
     .summary = "preload nothing: BPF alone, no allocations"},
    {.key = KEY_NO_BPF,
     .long_name = "no-bpf",
     .type = OPTION_FLAG,
     .summary = "do without BPF, also where it is allowed"},
    {0},
};

/* The command, held before its exec until `gate` says how to go on. */
struct child {
  pid_t pid;
  int gate;
};

/* Reads "NAME=value\0" for each variable to set, and an empty one at the end. False when the
 * profiler gave up: then the command is not to start. */
static bool take_environment(int gate) {
  static char text[ENVIRONMENT_BYTES_MAX];
  size_t length = 0;
  ssize_t got;
  while (length < sizeof(text) && (got = read(gate, text + length, sizeof(text) - length)) > 0)
    length += (size_t)got;
  if (!length || text[length - 1])
    return false;
  for (char *at = text; at < text + length; at += strlen(at) + 1)
    if (*at)
      putenv(at);
  return true;
}

static void become_command(int gate, const char *const *words) {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  if (!take_environment(gate))
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

/* Lets the command go with these variables set; or, without, has it end without having run. */
static void open_gate(struct child *child, struct buf *environment) {
  if (environment) {
    buf_put_u8(environment, 0);
    if (write(child->gate, environment->data, environment->length) != (ssize_t)environment->length)
      log_warning("the command ended before it began");
    buf_fini(environment);
  }
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
  struct buf environment = {0};
  session_environment(session, &environment);
  open_gate(child, &environment);
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

/* Only these know how to find an iteration; what they make of the rest is their business. */
static int check_iteration(const char *spec) {
  static const char *const kinds[] = {"http:", "py:", "uprobe:", "usdt:"};
  if (!spec || !strcmp(spec, "query"))
    return EXIT_OK;
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
    if (!strncmp(spec, kinds[i], strlen(kinds[i])) && spec[strlen(kinds[i])])
      return EXIT_OK;
  return command_usage_error(&command_run, "option --iteration: expected query, http:PATH, "
                                           "py:FUNCTION, uprobe:FILE:SYMBOL or "
                                           "usdt:FILE:PROVIDER:NAME");
}

/* Fills in what is preloaded, and what BPF has to do then. EXIT_OK, or an exit code after a
 * message. */
static int choose_sources(const struct arguments *arguments, const char *command,
                          struct shim_options *shim, char library[PATH_MAX],
                          struct session_options *session) {
  bool wants_shim = !arguments_has(arguments, KEY_NO_SHIM);
  bool wants_bpf = !arguments_has(arguments, KEY_NO_BPF);
  *shim = (struct shim_options){
      .library = library,
      .alloc = arguments_text(arguments, KEY_ALLOC),
      .python = arguments_text(arguments, KEY_PYTHON_ALLOC),
      .interval_bytes = arguments_count(arguments, KEY_ALLOC_INTERVAL),
      .snapshot_ns = arguments_duration_ns(arguments, KEY_SNAPSHOT),
      .iteration = arguments_text(arguments, KEY_ITERATION),
  };
  if (!wants_shim && !wants_bpf)
    return command_usage_error(&command_run, "--no-shim and --no-bpf leave nothing to record");
  if (shim->interval_bytes < 1 || shim->interval_bytes > UINT32_MAX)
    return command_usage_error(&command_run, "option --alloc-interval: expected 1 to %u",
                               UINT32_MAX);
  if (shim->snapshot_ns < SNAPSHOT_NS_MIN)
    return command_usage_error(&command_run, "option --snapshot: expected 10ms or more");
  if (check_iteration(shim->iteration))
    return EXIT_USAGE;
  bool has_shim = wants_shim && !preload_find(library) && !preload_check(command);
  if (wants_shim && !has_shim && !wants_bpf)
    return command_failed();
  if (wants_shim && !has_shim)
    log_info("no allocations: %s", error_text());
  session->shim = has_shim ? shim : NULL;
  bool needs_bpf =
      !has_shim || session->probe_count || (shim->iteration && probe_is_spec(shim->iteration));
  if (needs_bpf && !wants_bpf)
    return command_usage_error(&command_run, "--no-bpf: probes are counted by BPF");
  session->bpf = !wants_bpf  ? SESSION_BPF_OFF
                 : needs_bpf ? SESSION_BPF_NEEDED
                             : SESSION_BPF_IF_ALLOWED;
  return EXIT_OK;
}

static void tell_sources(const struct session *session) {
  if (session_without_bpf(session)[0])
    log_info("without BPF, only the preloaded library records: %s", session_without_bpf(session));
  if (session_shim_note(session)[0])
    log_info("counts are kept elsewhere than usual: %s", session_shim_note(session));
}

static int run(const struct arguments *arguments) {
  const char *const *words;
  struct session_options session_options;
  struct shim_options shim_options;
  struct session *session;
  struct child child = {0};
  char path[PATH_MAX], library[PATH_MAX];
  if (!arguments_rest(arguments, &words))
    return command_usage_error(&command_run, "name a command: ragprof run -- python3 app.py");
  if (start_child(&child, words))
    return command_failed();
  const char *slash = strrchr(words[0], '/');
  int exit_code = recording_options(&command_run, arguments, slash ? slash + 1 : words[0],
                                    child.pid, path, sizeof(path), &session_options);
  if (!exit_code)
    exit_code = choose_sources(arguments, words[0], &shim_options, library, &session_options);
  session_options.awaits_exec = true;
  session_options.target = words[0];
  if (!exit_code) {
    recording_catch_signals();
    if (session_prepare(&session, &session_options))
      exit_code = command_failed();
  }
  if (exit_code) {
    open_gate(&child, NULL);
    exit_status(child.pid);
    return exit_code;
  }
  if (session_add(session, child.pid) || session_activate(session)) {
    session_abandon(session);
    open_gate(&child, NULL);
    exit_status(child.pid);
    return command_failed();
  }
  tell_sources(session);
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
        "Any user may: a library, libragprof.so, is preloaded into the command and its children. "
        "It counts every allocation and every call that may wait by its stack, takes CPU samples, "
        "and leaves the sums in shared memory, from where ragprof takes them into the trace. With "
        "root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, the kernel's side is added: CPU "
        "samples and every interval off the CPU then come from BPF, as with 'ragprof attach'. "
        "Static programs, set-user-ID ones and those of another libc than glibc take no library; "
        "'ragprof doctor' says what this host allows.\n\n"
        "With --alloc=sampled, allocations are sampled by their bytes and the counts are "
        "estimates; with off, none are counted. --iteration names what to count growth by: memory "
        "per inbound request (query), per request for a path (http:/search, http:/v1/*), or per "
        "call of a Python function (py:answer, py:rag.index.Index.search, py:index.py:search); "
        "with BPF also per call of a native one (uprobe:/usr/lib/libindex.so:search, a +OFFSET "
        "may follow) or per pass of a USDT point (usdt:FILE:PROVIDER:NAME).\n\n"
        "The command runs as the user who runs ragprof, with sudo as root: put a command that "
        "changes the user before it where that matters.",
    .examples =
        "# a script, from its first import on\n"
        "$ ragprof run -- python3 app.py --port 8080\n"
        "# with the kernel's side, and memory growth per request\n"
        "$ sudo ragprof run --iteration query -- python3 app.py\n"
        "# into a file of a known name\n"
        "$ ragprof run -o ingest.ragprof --force -- python3 ingest.py\n"
        "# as another user\n"
        "$ sudo ragprof run -- setpriv --reuid app --regid app --init-groups python3 app.py\n",
    .options = options,
    .takes_command = true,
    .run = run,
};

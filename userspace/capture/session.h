/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A capture, from the first look at the target to the finished trace file:
 * prepare → add targets → activate → run → finish. */
#ifndef RAGPROF_CAPTURE_SESSION_H
#define RAGPROF_CAPTURE_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "capture/shim.h"

struct session;

/* Whether the kernel's side is recorded. */
enum session_bpf {
  SESSION_BPF_NEEDED,
  SESSION_BPF_IF_ALLOWED, /* without privileges, the shim alone has to do */
  SESSION_BPF_OFF,
};

struct session_options {
  const char *command; /* "attach", "run": for the record */
  enum session_bpf bpf;
  const struct shim_options *shim; /* NULL: nothing is preloaded; then BPF is needed */
  uint32_t frequency_hz;
  bool follow_children;
  bool awaits_exec; /* the target is a command that has not begun: it counts from its exec on */
  bool inlines;
  bool follow_debuginfod;
  const char *const *probes; /* the user's: see user_probe.h */
  size_t probe_count;
  const char *target; /* of "run": what will be started; NULL */
  const char *output; /* path of the trace */
  bool overwrite;
};

/* Loads the BPF programs and creates the file, and the shim's folder. Nothing runs in the target's
 * way yet. 0 or -errno.
 */
int session_prepare(struct session **out, const struct session_options *options);

/* Adds a process, before session_activate; its children, too, when they are followed. */
int session_add(struct session *session, pid_t pid);

/* Why BPF is not used although it might have been; "" otherwise. */
const char *session_without_bpf(const struct session *session);
/* What the user should know of the shim's folder; "" for nothing. */
const char *session_shim_note(const struct session *session);
/* What a command that is to be recorded by the shim is started with: "NAME=value\0" for each. */
void session_environment(const struct session *session, struct buf *out);

/* From here on samples and waits are recorded. */
int session_activate(struct session *session);

/* Why a capture ended. */
enum session_end {
  SESSION_INTERRUPTED, /* *stop was set */
  SESSION_TIME_IS_UP,
  SESSION_TARGETS_EXITED,
  SESSION_FAILED, /* the file could not be written: error_text() */
};

/* Records until *stop is set, the time is up (0: no limit) or every target has exited. */
enum session_end session_run(struct session *session, uint64_t duration_ns,
                             const volatile sig_atomic_t *stop);

/* What came of it, for the last line on the terminal. */
struct session_summary {
  uint64_t duration_ns;
  uint64_t samples;
  uint64_t lost; /* events of any kind */
  uint64_t file_bytes;
  uint32_t threads;
  uint32_t processes;
  struct shim_totals heap;
};

/* A fact for the trace, such as the exit status of the command. */
void session_note(struct session *session, const char *name, const char *value);

/* Stops the programs, names the frames, closes the file, frees. 0 or -errno. */
int session_finish(struct session *session, enum session_end end, struct session_summary *summary);

/* Frees a session that never ran; removes its file. NULL is fine. */
void session_abandon(struct session *session);

#endif

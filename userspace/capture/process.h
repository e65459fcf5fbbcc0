/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The profiled processes: their executable mappings and interpreter, as read from /proc, and their
 * entries in the BPF maps, where the capture has BPF. */
#ifndef RAGPROF_CAPTURE_PROCESS_H
#define RAGPROF_CAPTURE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/module.h"
#include "ragprof.h"
#include "trace/writer.h"

/* An executable mapping. */
struct mapping {
  uint64_t start;
  uint64_t end;
  uint64_t offset;       /* in the file */
  uint64_t vaddr;        /* of `start`, in the file; UINT64_MAX: unknown */
  struct module *module; /* NULL: anonymous memory (compiled at run time) */
};

struct map_region;

struct process {
  uint32_t pid;
  uint32_t parent_pid;
  uid_t uid;
  uint64_t start_ns; /* since the capture's start; 0: was there before */
  uint64_t end_ns;   /* 0: lives */
  char name[16];
  char *executable;
  char runtime[32]; /* "python 3.11.2" */
  uint32_t generation;
  uint32_t python; /* as in struct process_info */
  struct cpython_binary python_binary;
  uint64_t python_bias;     /* run-time address minus virtual address, of the interpreter's file */
  struct mapping *mappings; /* sorted */
  size_t mapping_count;
  struct map_region *region;
  uint64_t read_ns;     /* when the mappings were read last (CLOCK_MONOTONIC) */
  uint64_t patience_ns; /* how soon they may be read again: longer after each time in vain */
  uint32_t jit_module;  /* trace id of what its run-time compiled code is put under; 0: none yet */
  bool is_target;       /* named by the user, not a child of one */
  bool awaits_exec;     /* a command that has not begun */
  bool is_image; /* in no store: its mappings come from the process itself (capture/shim_stacks.c)
                  */
};

struct process_store;

/* What of the BPF side the processes are entered into. Without BPF: -1, -1, NULL. */
struct process_maps {
  int processes_fd;
  int python_fd;
  struct unwind_mapping *mappings; /* MAPPINGS_MAX entries, shared with BPF */
};

int process_store_new(struct process_store **out, struct module_store *modules,
                      const struct process_maps *maps);
void process_store_free(struct process_store *store);

/* NULL when the process is not known (or ended). */
struct process *process_store_get(struct process_store *store, uint32_t pid);
struct process *process_store_at(struct process_store *store, size_t index); /* also ended ones */
size_t process_store_count(const struct process_store *store);

/* Adds a process and reads its name, executable, owner and mappings, and enters it into the BPF
 * maps. 0, -ESRCH when it is gone, -ENOENT when it has no user memory (a kernel thread), … */
int process_store_add(struct process_store *store, uint32_t pid, struct process **out);

/* A process that can no longer be read. NULL: out of memory. */
struct process *process_store_add_gone(struct process_store *store, uint32_t pid,
                                       uint32_t parent_pid, const char *name);

/* The last process of a PID, also an ended one; NULL when there was none. */
struct process *process_store_last(struct process_store *store, uint32_t pid);

/* A child that BPF has entered already: takes its parent's mappings over. NULL: out of memory. */
struct process *process_store_fork(struct process_store *store, uint32_t parent_pid, uint32_t pid,
                                   const char *name, uint64_t now_ns);

/* Nothing is recorded of it before its exec. 0 or -errno. */
int process_store_await_exec(struct process_store *store, struct process *process);

/* Reads name and mappings again after an exec, which made BPF forget the old ones. */
void process_store_exec(struct process_store *store, struct process *process, uint32_t generation);

/* Reads the mappings again, if that was not done just before. Whether anything changed. */
bool process_store_refresh(struct process_store *store, struct process *process);

/* The mappings are known to have changed: the next refresh reads them at once. */
void process_store_expect(struct process *process);

/* The process ended: what it holds in the BPF maps is given back. */
void process_store_end(struct process_store *store, struct process *process, uint64_t now_ns);

/* Its record in the trace. */
void process_put(const struct process *process, struct trace_writer *writer);

/* Puts a mapping in its place among those of an image; what it overlaps makes room when it may
 * `replace`, else it is left out. False when it is not in now. */
bool process_map(struct process *image, const struct mapping *mapping, bool replace);

/* Looks for an interpreter among the mappings: sets bias, binary and runtime. */
bool process_find_python(struct process *process);

/* The mapping that holds an address; NULL when none does. */
const struct mapping *process_find_mapping(const struct process *process, uint64_t address);

/* What BPF is told of the mapping at an address. False when no mapping holds it. */
bool process_describe(const struct process *process, uint64_t address,
                      struct unwind_mapping *entry);

/* Gives back regions of the mapping table that no BPF program can be reading any more. */
void process_store_reclaim(struct process_store *store, uint64_t now_ns);

#endif

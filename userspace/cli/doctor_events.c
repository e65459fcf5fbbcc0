/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doctor's trials: loads the smallest BPF program of each type that a capture uses, makes the maps,
 * opens the sampling events. Everything is closed again at once; nothing is attached to a process.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/programs.h"
#include "cli/doctor.h"

/* r0 = 0; exit */
static const struct bpf_insn return_zero[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT},
};
#define RETURN_ZERO_COUNT (sizeof(return_zero) / sizeof(return_zero[0]))

static const char *remedy_for(int error) {
  if (error == EPERM || error == EACCES)
    return "run ragprof with sudo; in a container, start it with --privileged";
  if (error == ENOSYS || error == EINVAL)
    return "use a kernel that has it (Debian 12, Ubuntu 24.04 or later)";
  return NULL;
}

static void add_trial(struct checkup *checkup, const char *name, const char *works, int error) {
  if (!error) {
    check_add(checkup, CHECK_OK, name, "%s", works);
    return;
  }
  struct check *check = check_add(checkup, CHECK_MISSING, name, "%s", strerror(error));
  check_explain(check, "the kernel refuses it", remedy_for(error));
}

static int try_close(int fd) {
  if (fd < 0)
    return -fd;
  close(fd);
  return 0;
}

static void try_maps(struct checkup *checkup) {
  LIBBPF_OPTS(bpf_map_create_opts, mappable, .map_flags = BPF_F_MMAPABLE);
  int error = try_close(bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 8, 1, &mappable));
  add_trial(checkup, "BPF maps", "can be made", error);
  error = try_close(bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, 1 << 16, NULL));
  add_trial(checkup, "BPF ring buffer", "can be made", error);
}

static int load_sampler(void) {
  return bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "doctor", "GPL", return_zero, RETURN_ZERO_COUNT,
                       NULL);
}

/* Off-CPU times come from a BTF-typed tracepoint. */
static int load_tracer(void) {
  int type_id = libbpf_find_vmlinux_btf_id("sched_switch", BPF_TRACE_RAW_TP);
  if (type_id < 0)
    return type_id;
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP,
              .attach_btf_id = (__u32)type_id);
  return bpf_prog_load(BPF_PROG_TYPE_TRACING, "doctor", "GPL", return_zero, RETURN_ZERO_COUNT,
                       &options);
}

static void try_programs(struct checkup *checkup) {
  add_trial(checkup, "BPF sampling program", "can be loaded", try_close(load_sampler()));
  add_trial(checkup, "BPF tracing program", "can be loaded", try_close(load_tracer()));
}

/* All processes on CPU 0, the way a capture samples. */
static int open_event(__u32 type, __u64 config) {
  struct perf_event_attr attributes = {
      .type = type,
      .size = sizeof(attributes),
      .config = config,
      .sample_freq = 99,
      .freq = 1,
      .disabled = 1,
  };
  long fd = syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
  return fd < 0 ? -errno : (int)fd;
}

static void try_events(struct checkup *checkup) {
  int cycles = try_close(open_event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES));
  int clock_fd = open_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK);
  add_trial(checkup, "sampling by cpu-clock", "works", clock_fd < 0 ? -clock_fd : 0);
  if (cycles == 0) {
    check_add(checkup, CHECK_OK, "sampling by cycles", "works");
  } else {
    /* Not a loss of truth: the clock samples the same stacks, but cannot see code that runs with
     * interrupts off, which a counter of cycles sees by its non-maskable interrupt. */
    struct check *check =
        check_add(checkup, CHECK_INFO, "sampling by cycles", "no (%s)", strerror(cycles));
    check_explain(check, "cpu-clock is used; usual in virtual machines", NULL);
  }
  if (clock_fd >= 0) {
    int program = load_sampler();
    int failed = program < 0                                        ? -program
                 : ioctl(clock_fd, PERF_EVENT_IOC_SET_BPF, program) ? errno
                                                                    : 0;
    add_trial(checkup, "BPF on samples", "works", failed);
    try_close(program);
    close(clock_fd);
  }
}

static void look_for_sources(struct checkup *checkup) {
  struct source_set set;
  if (programs_look_for_sources(&set))
    return; /* without BPF, which is told above */
  for (int i = 0; i < set.count; i++) {
    const struct source_state *state = &set.at[i];
    bool is_there = !*state->missing;
    struct check *check =
        check_add(checkup, is_there ? CHECK_OK : CHECK_LIMITED, state->source->summary, "%s",
                  is_there ? "can be seen" : state->missing);
    if (!is_there)
      check_explain(check, "reports are without it; the rest works", NULL);
  }
}

static int drop_message(enum libbpf_print_level level, const char *format, va_list args) {
  (void)level;
  (void)format;
  (void)args;
  return 0;
}

void doctor_check_events(struct checkup *checkup) {
  libbpf_print_fn_t before = libbpf_set_print(drop_message);
  try_maps(checkup);
  try_programs(checkup);
  try_events(checkup);
  look_for_sources(checkup);
  libbpf_set_print(before);
}

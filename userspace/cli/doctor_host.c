/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doctor's look at the host: kernel, privileges, limits, namespaces. Reads only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/doctor.h"

/* linux/capability.h */
enum {
  CAP_NR_SYS_PTRACE = 19,
  CAP_NR_SYS_ADMIN = 21,
  CAP_NR_SYSLOG = 34,
  CAP_NR_PERFMON = 38,
  CAP_NR_BPF = 39
};

/* The sleepable task iterator that lists the threads at the start of a capture came with 5.18;
 * bpf_loop is older. */
#define KERNEL_MAJOR_MIN 5
#define KERNEL_MINOR_MIN 18

/* Number of the first PID namespace, include/linux/proc_ns.h: PROC_PID_INIT_INO */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

bool doctor_has_capability(unsigned number) {
  char text[64];
  if (!doctor_read_field("/proc/self/status", "CapEff", text, sizeof(text)))
    return false;
  return strtoull(text, NULL, 16) >> number & 1;
}

static void check_kernel(struct checkup *checkup) {
  struct utsname name;
  unsigned major = 0, minor = 0;
  if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2) {
    check_add(checkup, CHECK_LIMITED, "kernel", "unknown");
    return;
  }
  bool is_new_enough =
      major > KERNEL_MAJOR_MIN || (major == KERNEL_MAJOR_MIN && minor >= KERNEL_MINOR_MIN);
  bool is_known_machine = strcmp(name.machine, "x86_64") == 0;
  struct check *check = check_add(checkup, is_new_enough ? CHECK_OK : CHECK_MISSING, "kernel",
                                  "Linux %s", name.release);
  if (!is_new_enough)
    check_explain(check, "the BPF programs need Linux 5.18 or later", "install a newer kernel");
  check = check_add(checkup, is_known_machine ? CHECK_OK : CHECK_MISSING, "machine", "%s",
                    name.machine);
  if (!is_known_machine)
    check_explain(check, "stacks are unwound on x86_64 only", NULL);
}

static void check_user(struct checkup *checkup) {
  check_add(checkup, geteuid() == 0 ? CHECK_OK : CHECK_INFO, "user", "effective uid %u",
            (unsigned)geteuid());
}

static void check_capabilities(struct checkup *checkup) {
  static const struct {
    unsigned number;
    const char *name, *meaning;
    enum check_status without;
  } rows[] = {
      {CAP_NR_BPF, "CAP_BPF", "BPF programs cannot be loaded", CHECK_MISSING},
      {CAP_NR_PERFMON, "CAP_PERFMON", "processes cannot be sampled or traced", CHECK_MISSING},
      {CAP_NR_SYS_PTRACE, "CAP_SYS_PTRACE", "memory maps of other users' processes are hidden",
       CHECK_LIMITED},
  };
  bool is_admin = doctor_has_capability(CAP_NR_SYS_ADMIN);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    bool has = doctor_has_capability(rows[i].number);
    /* CAP_SYS_ADMIN stands in for the two that were split off it in Linux 5.8. */
    bool by_admin = !has && is_admin && rows[i].number != CAP_NR_SYS_PTRACE;
    struct check *check =
        check_add(checkup, has || by_admin ? CHECK_OK : rows[i].without, rows[i].name, "%s",
                  has        ? "held"
                  : by_admin ? "by CAP_SYS_ADMIN"
                             : "not held");
    if (!has && !by_admin)
      check_explain(check, rows[i].meaning, "run ragprof with sudo");
  }
  check_add(checkup, CHECK_INFO, "CAP_SYS_ADMIN", is_admin ? "held" : "not held");
}

static void check_btf(struct checkup *checkup) {
  static const char path[] = "/sys/kernel/btf/vmlinux";
  struct stat status;
  char size[UNITS_TEXT_BYTES];
  if (access(path, R_OK) == 0 && stat(path, &status) == 0) {
    check_add(checkup, CHECK_OK, "kernel types (BTF)", "%s, %s", path,
              units_bytes(size, (uint64_t)status.st_size));
    return;
  }
  struct check *check = check_add(checkup, CHECK_MISSING, "kernel types (BTF)", "no %s", path);
  check_explain(check, "the BPF programs cannot be fitted to this kernel",
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian and Ubuntu kernels are)");
}

/* Hidden addresses are all zero. So is the first one of kernels whose list begins with per-CPU
 * variables (before 6.15 on x86): a few more are looked at. */
static bool sees_kernel_addresses(void) {
  char line[512];
  unsigned long long address = 0;
  FILE *file = fopen("/proc/kallsyms", "re");
  for (int i = 0; file && !address && i < 100 && fgets(line, sizeof(line), file); i++)
    address = strtoull(line, NULL, 16);
  if (file)
    fclose(file);
  return address != 0;
}

static void check_kernel_symbols(struct checkup *checkup) {
  char setting[32];
  bool are_seen = sees_kernel_addresses();
  doctor_read_line("/proc/sys/kernel/kptr_restrict", setting, sizeof(setting));
  struct check *check = check_add(checkup, are_seen ? CHECK_OK : CHECK_LIMITED, "kernel symbols",
                                  "%s (kptr_restrict %s)", are_seen ? "readable" : "hidden",
                                  setting[0] ? setting : "unknown");
  if (!are_seen)
    check_explain(check, "kernel frames have addresses instead of names",
                  doctor_has_capability(CAP_NR_SYSLOG) ? "sudo sysctl kernel.kptr_restrict=1"
                                                       : "run ragprof with sudo");
}

/* A setting that is told, and explained where its value limits an unprivileged user. */
static void check_setting(struct checkup *checkup, const char *name, const char *path,
                          const char *meaning) {
  char value[64];
  if (!doctor_read_line(path, value, sizeof(value)))
    return;
  check_explain(check_add(checkup, CHECK_INFO, name, "%s", value), meaning, NULL);
}

static void check_yama(struct checkup *checkup) {
  char value[16];
  if (!doctor_read_line("/proc/sys/kernel/yama/ptrace_scope", value, sizeof(value))) {
    check_add(checkup, CHECK_OK, "yama ptrace_scope", "not in this kernel");
    return;
  }
  bool is_open = value[0] == '0' || (value[0] != '3' && doctor_has_capability(CAP_NR_SYS_PTRACE));
  struct check *check =
      check_add(checkup, is_open ? CHECK_OK : CHECK_LIMITED, "yama ptrace_scope", "%s", value);
  if (!is_open)
    check_explain(check, "the memory of processes that are not children cannot be read",
                  value[0] == '3' ? "reboot with kernel.yama.ptrace_scope below 3"
                                  : "run ragprof with sudo");
}

/* "none [integrity] confidentiality": the brackets mark what holds. Confidentiality forbids BPF
 * programs to read memory (Documentation of kernel_lockdown.7). */
static void check_lockdown(struct checkup *checkup) {
  char line[128];
  if (!doctor_read_line("/sys/kernel/security/lockdown", line, sizeof(line))) {
    check_add(checkup, CHECK_OK, "lockdown", "not in use");
    return;
  }
  bool is_closed = strstr(line, "[confidentiality]") != NULL;
  struct check *check =
      check_add(checkup, is_closed ? CHECK_MISSING : CHECK_OK, "lockdown", "%s", line);
  if (is_closed)
    check_explain(check, "BPF programs may not read memory",
                  "boot without lockdown=confidentiality");
}

static void check_tracefs(struct checkup *checkup) {
  static const char *const paths[] = {"/sys/kernel/tracing/events",
                                      "/sys/kernel/debug/tracing/events"};
  for (size_t i = 0; i < 2; i++)
    if (access(paths[i], R_OK) == 0) {
      check_add(checkup, CHECK_OK, "tracefs", "%.*s", (int)(strlen(paths[i]) - strlen("/events")),
                paths[i]);
      return;
    }
  check_explain(check_add(checkup, CHECK_INFO, "tracefs", "not mounted or not readable"),
                "nothing of today's captures needs it",
                "mount -t tracefs tracefs /sys/kernel/tracing");
}

static void check_cgroup(struct checkup *checkup) {
  bool is_second = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  bool is_first = !is_second && access("/sys/fs/cgroup/cpu", F_OK) == 0;
  check_add(checkup, CHECK_INFO, "cgroups", "%s",
            is_second  ? "version 2"
            : is_first ? "version 1"
                       : "not mounted");
}

static void check_container(struct checkup *checkup) {
  char namespace[64] = "", manager[64] = "";
  ssize_t length = readlink("/proc/self/ns/pid", namespace, sizeof(namespace) - 1);
  namespace[length > 0 ? length : 0] = '\0';
  if (access("/.dockerenv", F_OK) == 0)
    snprintf(manager, sizeof(manager), "docker");
  else if (access("/run/.containerenv", F_OK) == 0)
    snprintf(manager, sizeof(manager), "podman");
  else
    doctor_read_line("/run/systemd/container", manager, sizeof(manager));
  bool is_initial = strcmp(namespace, INITIAL_PID_NAMESPACE) == 0;
  struct check *check = check_add(checkup, is_initial ? CHECK_OK : CHECK_MISSING, "PID namespace",
                                  "%s%s%s", is_initial ? "the host's" : "a container's",
                                  manager[0] ? ", inside " : "", manager);
  if (!is_initial)
    check_explain(
        check, "the kernel reports the host's PIDs, which mean nothing in here",
        "run ragprof on the host, or in a container started with --pid=host --privileged");
}

static void check_limits(struct checkup *checkup) {
  struct rlimit limit;
  char size[UNITS_TEXT_BYTES];
  /* Since Linux 5.11 BPF memory is charged to the cgroup, so that this limit matters only to the
   * buffers of perf events. */
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
    check_add(checkup, CHECK_INFO, "locked memory limit", "%s",
              limit.rlim_cur == RLIM_INFINITY ? "unlimited" : units_bytes(size, limit.rlim_cur));
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    check_add(checkup, limit.rlim_max >= 1024 ? CHECK_OK : CHECK_LIMITED, "open files limit",
              "%" PRIu64 ", at most %" PRIu64, (uint64_t)limit.rlim_cur, (uint64_t)limit.rlim_max);
}

static void check_environment(struct checkup *checkup) {
  const char *urls = getenv("DEBUGINFOD_URLS");
  struct stat status;
  check_explain(check_add(checkup, CHECK_OK, "debuginfod", "%s",
                          urls && urls[0] ? "configured; followed with attach --debuginfod only"
                                          : "not configured"),
                "symbols are never fetched from the network unless asked", NULL);
  bool has_directory = stat("/tmp", &status) == 0 && S_ISDIR(status.st_mode);
  struct check *check =
      check_add(checkup, has_directory ? CHECK_OK : CHECK_LIMITED, "perf map directory", "/tmp%s",
                has_directory ? "" : " is missing");
  if (!has_directory)
    check_explain(check, "code compiled at run time stays without names", "mkdir -m 1777 /tmp");
}

static void check_jit(struct checkup *checkup) {
  char value[16];
  if (!doctor_read_line("/proc/sys/net/core/bpf_jit_enable", value, sizeof(value)))
    return; /* always on where the setting is hidden from this user or does not exist */
  struct check *check = check_add(checkup, value[0] == '0' ? CHECK_LIMITED : CHECK_OK,
                                  "BPF compiler", value[0] == '0' ? "off" : "on");
  if (value[0] == '0')
    check_explain(check, "the BPF programs are interpreted: a capture costs several times more",
                  "sudo sysctl net.core.bpf_jit_enable=1");
}

void doctor_check_host(struct checkup *checkup) {
  check_kernel(checkup);
  check_user(checkup);
  check_capabilities(checkup);
  check_btf(checkup);
  check_jit(checkup);
  check_lockdown(checkup);
  check_kernel_symbols(checkup);
  check_yama(checkup);
  check_setting(checkup, "perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid",
                "what users without CAP_PERFMON may not measure");
  check_setting(checkup, "unprivileged BPF off", "/proc/sys/kernel/unprivileged_bpf_disabled",
                "what users without CAP_BPF may not load");
  check_setting(checkup, "perf max sample rate", "/proc/sys/kernel/perf_event_max_sample_rate",
                "samples per second and CPU above which --frequency is refused");
  check_setting(checkup, "perf_cpu_time_max", "/proc/sys/kernel/perf_cpu_time_max_percent",
                "percent of CPU time above which the kernel lowers the sampling rate");
  check_tracefs(checkup);
  check_cgroup(checkup);
  check_container(checkup);
  check_limits(checkup);
  check_environment(checkup);
}

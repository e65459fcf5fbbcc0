/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What writer and reader share, and the names of persisted values. */
#include "trace/format.h"

#include <zlib.h>

#include "trace/trace.h"

/* Tables have holes where values were never given out. */
static const char *name_or_unknown(const char *const *names, unsigned count, unsigned value) {
  return value < count && names[value] ? names[value] : "unknown";
}

const char *wait_reason_name(enum wait_reason reason) {
  static const char *const names[WAIT_REASONS] = {
      [WAIT_UNKNOWN] = "unknown",
      [WAIT_DISK] = "disk",
      [WAIT_FUTEX] = "futex",
      [WAIT_GIL] = "GIL",
      [WAIT_SOCKET] = "socket",
      [WAIT_TIMER] = "timer",
      [WAIT_PAGE_FAULT] = "page fault",
      [WAIT_RUN_QUEUE] = "run queue",
      [WAIT_PIPE] = "pipe",
      [WAIT_CHILD] = "child",
      [WAIT_SIGNAL] = "signal",
      [WAIT_STOPPED] = "stopped",
  };
  return name_or_unknown(names, WAIT_REASONS, reason);
}

const char *heap_kind_name(enum heap_kind kind) {
  static const char *const names[HEAP_KINDS] = {
      [HEAP_MALLOC] = "malloc",
      [HEAP_PYTHON] = "python",
      [HEAP_MAP] = "mmap",
      [HEAP_BREAK] = "brk",
  };
  return name_or_unknown(names, HEAP_KINDS, kind);
}

const char *memory_metric_name(enum memory_metric metric) {
  static const char *const names[MEMORY_METRICS] = {
      [MEMORY_RSS] = "rss",
      [MEMORY_PSS] = "pss",
      [MEMORY_SWAP] = "swap",
      [MEMORY_VIRTUAL] = "virtual",
      [MEMORY_ANONYMOUS] = "anonymous",
      [MEMORY_FILE] = "file",
      [MEMORY_SHARED] = "shared",
      [MEMORY_HEAP_LIVE] = "heap_live",
      [MEMORY_HEAP_PEAK] = "heap_peak",
      [MEMORY_MALLOC_ARENA] = "malloc_arena",
      [MEMORY_MALLOC_MAPPED] = "malloc_mapped",
      [MEMORY_MALLOC_USED] = "malloc_used",
      [MEMORY_MALLOC_FREE] = "malloc_free",
      [MEMORY_MALLOC_TRIM] = "malloc_trim",
      [MEMORY_SHIM] = "shim",
      [MEMORY_CGROUP_USED] = "cgroup_used",
      [MEMORY_CGROUP_CACHE] = "cgroup_cache",
      [MEMORY_CGROUP_LIMIT] = "cgroup_limit",
      [MEMORY_ITERATIONS] = "iterations",
      [MEMORY_HOST_AVAILABLE] = "host_available",
  };
  return name_or_unknown(names, MEMORY_METRICS, metric);
}

const char *object_kind_name(enum object_kind kind) {
  static const char *const names[OBJECT_KINDS] = {
      [OBJECT_FILE] = "file",   [OBJECT_PIPE] = "pipe",     [OBJECT_SOCKET] = "socket",
      [OBJECT_EVENT] = "event", [OBJECT_DEVICE] = "device", [OBJECT_MEMORY] = "memory",
      [OBJECT_LOCK] = "lock",
  };
  return name_or_unknown(names, OBJECT_KINDS, kind);
}

const char *operation_class_name(enum operation_class class) {
  static const char *const names[OPERATION_CLASSES] = {
      [OPERATION_SYSCALL] = "syscall", [OPERATION_FILE] = "file",   [OPERATION_SOCKET] = "socket",
      [OPERATION_BLOCK] = "block",     [OPERATION_FAULT] = "fault", [OPERATION_LOCK] = "lock",
      [OPERATION_PROBE] = "probe",
  };
  return name_or_unknown(names, OPERATION_CLASSES, class);
}

const char *process_happening_name(enum process_happening happening) {
  static const char *const names[HAPPENINGS] = {
      [HAPPENING_FORK] = "fork",
      [HAPPENING_EXEC] = "exec",
      [HAPPENING_EXIT] = "exit",
      [HAPPENING_OOM_KILL] = "OOM kill",
  };
  return name_or_unknown(names, HAPPENINGS, happening);
}

const char *point_metric_name(enum point_metric metric) {
  static const char *const names[POINT_METRICS] = {
      [POINT_THREADS] = "threads",
      [POINT_DESCRIPTORS] = "descriptors",
      [POINT_DESCRIPTORS_LIMIT] = "descriptors_limit",
      [POINT_MINOR_FAULTS] = "minor_faults",
      [POINT_MAJOR_FAULTS] = "major_faults",
      [POINT_READ_BYTES] = "read_bytes",
      [POINT_WRITE_BYTES] = "write_bytes",
      [POINT_READ_CHARS] = "read_chars",
      [POINT_WRITE_CHARS] = "write_chars",
      [POINT_CPU_QUOTA_US] = "cpu_quota_us",
      [POINT_CPU_PERIOD_US] = "cpu_period_us",
      [POINT_CPU_PERIODS] = "cpu_periods",
      [POINT_CPU_THROTTLED] = "cpu_throttled",
      [POINT_CPU_THROTTLED_NS] = "cpu_throttled_ns",
      [POINT_MIGRATIONS] = "migrations",
      [POINT_CPUS_ALLOWED] = "cpus_allowed",
      [POINT_HOST_RUNNABLE] = "host_runnable",
      [POINT_MEMORY_LIMIT] = "memory_limit",
      [POINT_RESIDENT_HEAP] = "resident_heap",
      [POINT_RESIDENT_STACK] = "resident_stack",
      [POINT_RESIDENT_ANONYMOUS] = "resident_anonymous",
      [POINT_RESIDENT_CODE] = "resident_code",
      [POINT_RESIDENT_FILE] = "resident_file",
      [POINT_RESIDENT_SHARED] = "resident_shared",
  };
  return name_or_unknown(names, POINT_METRICS, metric);
}

uint32_t format_chunk_crc(const uint8_t *header, const uint8_t *payload, size_t bytes) {
  uLong crc = crc32(0, header, FORMAT_CHUNK_HEADER_BYTES - 4);
  return (uint32_t)(bytes ? crc32(crc, payload, (uInt)bytes) : crc);
}

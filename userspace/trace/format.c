/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What writer and reader share, and the names of persisted values. */
#include "trace/format.h"

#include <zlib.h>

#include "trace/trace.h"

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
  return (unsigned)reason < WAIT_REASONS ? names[reason] : names[WAIT_UNKNOWN];
}

const char *heap_kind_name(enum heap_kind kind) {
  static const char *const names[HEAP_KINDS] = {
      [HEAP_MALLOC] = "malloc",
      [HEAP_PYTHON] = "python",
      [HEAP_MAP] = "mmap",
      [HEAP_BREAK] = "brk",
  };
  return (unsigned)kind < HEAP_KINDS ? names[kind] : "unknown";
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
  return (unsigned)metric < MEMORY_METRICS ? names[metric] : "unknown";
}

uint32_t format_chunk_crc(const uint8_t *header, const uint8_t *payload, size_t bytes) {
  uLong crc = crc32(0, header, FORMAT_CHUNK_HEADER_BYTES - 4);
  return (uint32_t)(bytes ? crc32(crc, payload, (uInt)bytes) : crc);
}

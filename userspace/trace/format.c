/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What writer, reader and everybody who names a wait share. */
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

uint32_t format_chunk_crc(const uint8_t *header, const uint8_t *payload, size_t bytes) {
  uLong crc = crc32(0, header, FORMAT_CHUNK_HEADER_BYTES - 4);
  return (uint32_t)(bytes ? crc32(crc, payload, (uInt)bytes) : crc);
}

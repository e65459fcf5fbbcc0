/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The constants of the trace file that writer and reader share. docs/trace-format.md explains the
 * bytes; whoever changes one changes both. All fixed-width integers are little-endian.
 *
 *   file   = header chunk* end-chunk
 *
 *   header = magic[8] | u32 version | u32 crc32 of the 12 bytes before
 *
 *   chunk  = u32 magic | u32 kind | u32 stored_bytes | u32 raw_bytes | u32 sequence
 *          | u32 crc32 of the 20 bytes before and the payload | payload[stored_bytes]
 *
 *   raw    = record*                      the payload, decompressed
 *   record = u8 type | varint bytes | body[bytes]
 *
 * A reader skips records of an unknown type and ignores what follows the fields it knows in a body:
 * record types and fields may be added without a new version. New values of an enum, or a new
 * meaning of an old field, need one. */
#ifndef RAGPROF_TRACE_FORMAT_H
#define RAGPROF_TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_MAGIC "\x89RAGP\r\n\x1a" /* not text, and changed by any newline conversion */
#define FORMAT_MAGIC_BYTES 8
#define FORMAT_HEADER_BYTES 16
#define FORMAT_CHUNK_MAGIC 0x4b435052u /* "RPCK" */
#define FORMAT_CHUNK_HEADER_BYTES 24

/* Persisted: append only. */
enum format_chunk_kind {
  CHUNK_ZSTD = 1,   /* the payload is one zstd frame */
  CHUNK_END = 2,    /* no payload; nothing follows */
  CHUNK_STORED = 3, /* the payload is the raw bytes */
};

/* Persisted: append only. */
enum format_record_type {
  RECORD_STRING = 1,
  RECORD_MODULE = 2,
  RECORD_FRAME = 3,
  RECORD_NODE = 4,
  RECORD_PROCESS = 5,
  RECORD_THREAD = 6,
  RECORD_SYMBOL = 7,
  RECORD_SAMPLE = 8,
  RECORD_WAIT = 9,
  RECORD_ACCOUNT = 10,
  RECORD_COUNTER = 11,
  RECORD_META = 12,
  RECORD_HEAP_SITE = 13,
  RECORD_HEAP = 14,
  RECORD_MEMORY = 15,
  RECORD_CALL = 16,
  RECORD_SLOW_CALL = 17,
  RECORD_OBJECT = 18,
  RECORD_OPERATION = 19,
  RECORD_OPERATION_SUM = 20,
  RECORD_OPERATION_DETAIL = 21,
  RECORD_OPERATION_STACK = 22,
  RECORD_SLOW_OPERATION = 23,
  RECORD_HAPPENING = 24,
  RECORD_POINT = 25,
  RECORD_TYPES
};

/* A chunk is written once this much has gathered; a reader accepts up to the second figure. */
#define FORMAT_CHUNK_RAW_BYTES (256u * 1024)
#define FORMAT_CHUNK_RAW_BYTES_MAX (1024u * 1024)
#define FORMAT_CHUNK_STORED_BYTES_MAX (FORMAT_CHUNK_RAW_BYTES_MAX + 16 * 1024)

/* A small file must not unpack into all memory: raw ≤ stored * ratio + slack. A writer that
 * compresses better than that stores the chunk as it is. */
#define FORMAT_RATIO_MAX 256u
#define FORMAT_RATIO_SLACK_BYTES 4096u

#define FORMAT_STRING_BYTES_MAX 65535u
#define FORMAT_BUILD_ID_BYTES_MAX 64u
#define FORMAT_INLINE_DEPTH_MAX 64u /* depths are below it */
/* Times and durations: 104 days, exact in a double. */
#define FORMAT_TIME_NS_MAX (1ull << 53)
/* Blocks and bytes of a heap site: 9 PB, exact in a double as well. */
#define FORMAT_HEAP_COUNT_MAX (1ull << 53)

/* A signed difference as a small unsigned number. Differences wrap modulo 2^64, so any pair of
 * values survives the round trip. */
static inline uint64_t format_zigzag(uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}

static inline uint64_t format_unzigzag(uint64_t value) {
  return (value >> 1) ^ (0 - (value & 1));
}

/* CRC-32 (IEEE 802.3, as in zlib) of a chunk's header up to its CRC, and of its payload. */
uint32_t format_chunk_crc(const uint8_t *header, const uint8_t *payload, size_t bytes);

#endif

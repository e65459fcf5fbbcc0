/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The profile as the page carries it: small enough to send, detailed enough that the page can sum
 * any range of time and any thread by itself.
 *
 * The bytes are zlib-compressed. Inside, integers are LEB128 varints and `text` is a length in
 * bytes and that many bytes of UTF-8:
 *
 *   version (3) | text: facts as JSON | text: all strings, each ended by NUL; string 0 is empty
 *   count, functions: name | file | module (string numbers) | first line | kind | 1: an allocator
 *   notes: see flame_operations.h
 *   count, nodes:     own number - parent's | function | line | flags    (from 1; 0 is the root)
 *   count, streams:   thread | node | way | entry count, then
 *                     entries: bucket - previous bucket | count [| µs when way > 0]
 *   memory: see flame_memory.h; operations: see flame_operations.h; tracks: see flame_tracks.h
 *
 * A stream is what one thread did at one stack: way 0 ran on the CPU, way 1+r waited for reason r.
 * An entry is one bucket of time, `bucket_ns` long. On the CPU a count of n is worth n times the
 * thread's weight_ns. Rounding to microseconds is carried along a stream, so that its sum is right
 * to one. */
#ifndef RAGPROF_RENDER_FLAME_DATA_H
#define RAGPROF_RENDER_FLAME_DATA_H

#include "base/buf.h"
#include "render/flame_memory.h"
#include "render/render.h"

/* Appends the compressed bytes. 0 or -ENOMEM. */
int flame_put_data(struct buf *buf, const struct profile *profile,
                   const struct render_options *options);

/* Appends the facts: target, capture, threads, counters, as one JSON object. 0 or -ENOMEM. */
int flame_put_facts(struct buf *buf, const struct profile *profile,
                    const struct render_options *options, const struct flame_memory *memory,
                    uint64_t bucket_ns, uint32_t bucket_count);

#endif

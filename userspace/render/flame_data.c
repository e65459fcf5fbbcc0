/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the encoding of a profile for the page: sums by bucket of time, thread and stack. */
#include "render/flame_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/hash.h"
#include "base/units.h"
#include "render/flame_operations.h"
#include "render/flame_text.h"
#include "render/flame_tracks.h"
#include "render/report_site.h"

#define DATA_VERSION 3
#define BUCKETS_MAX 800 /* about one per pixel of the timeline */
#define NONE UINT32_MAX
#define COMPRESSION_LEVEL 4 /* half the time of 6 for 5 % more bytes */

struct entry {
  uint64_t ns;
  uint64_t count;
  uint32_t bucket;
  uint32_t next; /* entry of the same stream */
};

struct stream {
  uint32_t thread;
  uint32_t node;
  uint32_t way;
  uint32_t first;
  uint32_t last;
  uint32_t length;
};

struct encoder {
  const struct profile *profile;
  uint64_t bucket_ns;
  uint32_t bucket_count;
  struct entry *entries;
  uint32_t entry_count;
  uint32_t entry_capacity;
  struct stream *streams;
  uint32_t stream_count;
  uint32_t stream_capacity;
  struct hash stream_ids;
  uint32_t *node_ids;     /* profile node → number in the page; 0: not used */
  uint32_t *function_ids; /* profile function → number; NONE: not used */
  struct strtab *strings;
  struct flame_memory *memory;
  struct flame_operations *operations;
  struct flame_tracks *tracks;
  struct entry **sorted; /* room for one stream's entries */
  uint32_t sorted_capacity;
};

static void *grown(void *array, uint32_t *capacity, size_t item_bytes) {
  if (*capacity > UINT32_MAX / 2)
    return NULL;
  uint32_t bigger = *capacity ? *capacity * 2 : 1024;
  void *result = reallocarray(array, bigger, item_bytes);
  if (result)
    *capacity = bigger;
  return result;
}

static uint32_t bucket_of(const struct encoder *encoder, uint64_t time_ns) {
  uint64_t bucket = time_ns / encoder->bucket_ns;
  return bucket < encoder->bucket_count ? (uint32_t)bucket : encoder->bucket_count - 1;
}

static int stream_of(struct encoder *encoder, uint32_t thread, uint32_t node, uint32_t way,
                     uint32_t *stream) {
  /* Threads and nodes fit 30 bits each: the tables of a trace cannot be larger than its memory. */
  uint64_t key = (uint64_t)thread << 34 | (uint64_t)node << 4 | way;
  uint32_t *known = hash_get(&encoder->stream_ids, key);
  if (known) {
    *stream = *known;
    return 0;
  }
  if (encoder->stream_count == encoder->stream_capacity) {
    struct stream *streams =
        grown(encoder->streams, &encoder->stream_capacity, sizeof(*encoder->streams));
    if (!streams)
      return -ENOMEM;
    encoder->streams = streams;
  }
  *stream = encoder->stream_count++;
  encoder->streams[*stream] =
      (struct stream){.thread = thread, .node = node, .way = way, .first = NONE, .last = NONE};
  return hash_put(&encoder->stream_ids, key, *stream);
}

/* Adds to the stream's bucket; the last entry is tried first, as events come in order of time. */
static int put(struct encoder *encoder, uint32_t stream_id, uint32_t bucket, uint64_t ns,
               uint64_t count) {
  struct stream *stream = &encoder->streams[stream_id];
  if (stream->last != NONE && encoder->entries[stream->last].bucket == bucket) {
    encoder->entries[stream->last].ns += ns;
    encoder->entries[stream->last].count += count;
    return 0;
  }
  if (encoder->entry_count == encoder->entry_capacity) {
    struct entry *entries =
        grown(encoder->entries, &encoder->entry_capacity, sizeof(*encoder->entries));
    if (!entries)
      return -ENOMEM;
    encoder->entries = entries;
  }
  uint32_t at = encoder->entry_count++;
  encoder->entries[at] = (struct entry){.ns = ns, .count = count, .bucket = bucket, .next = NONE};
  if (stream->last == NONE)
    stream->first = at;
  else
    encoder->entries[stream->last].next = at;
  stream->last = at;
  stream->length++;
  return 0;
}

static int add_samples(struct encoder *encoder) {
  const struct profile *profile = encoder->profile;
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    uint32_t stream;
    if (stream_of(encoder, sample->thread, sample->node, 0, &stream) ||
        put(encoder, stream, bucket_of(encoder, sample->time_ns), 0, 1))
      return -ENOMEM;
  }
  return 0;
}

/* Spreads `ns` evenly over [start, start + span); the count goes to the first bucket. */
static int spread(struct encoder *encoder, uint32_t stream, const struct profile_wait *wait,
                  uint64_t ns, uint64_t count) {
  uint64_t end_ns;
  if (__builtin_add_overflow(wait->start_ns, wait->span_ns, &end_ns))
    end_ns = UINT64_MAX;
  uint32_t first = bucket_of(encoder, wait->start_ns);
  uint32_t last = bucket_of(encoder, end_ns > wait->start_ns ? end_ns - 1 : end_ns);
  uint64_t given_ns = 0;
  for (uint32_t bucket = first; bucket <= last; bucket++) {
    uint64_t until_ns = ns;
    if (bucket < last)
      until_ns = (uint64_t)((unsigned __int128)ns *
                            ((bucket + 1) * encoder->bucket_ns - wait->start_ns) / wait->span_ns);
    if (put(encoder, stream, bucket, until_ns - given_ns, bucket == first ? count : 0))
      return -ENOMEM;
    given_ns = until_ns;
  }
  return 0;
}

/* Divides a wait as analysis/calltree.h does: queueing for a CPU is a reason of its own. */
static int add_waits(struct encoder *encoder) {
  const struct profile *profile = encoder->profile;
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    bool only_queued = wait->reason == WAIT_RUN_QUEUE;
    uint64_t queued_ns = only_queued ? 0 : wait->run_queue_ns;
    uint64_t own_ns = wait->blocked_ns + (only_queued ? wait->run_queue_ns : 0);
    uint32_t stream;
    if (stream_of(encoder, wait->thread, wait->node, 1 + wait->reason, &stream) ||
        spread(encoder, stream, wait, own_ns, wait->count))
      return -ENOMEM;
    if (queued_ns && (stream_of(encoder, wait->thread, wait->node, 1 + WAIT_RUN_QUEUE, &stream) ||
                      spread(encoder, stream, wait, queued_ns, 0)))
      return -ENOMEM;
  }
  return 0;
}

static void put_string(struct encoder *encoder, struct buf *buf, const char *text) {
  buf_put_varint(buf, strtab_add(encoder->strings, text, strlen(text)));
}

/* Numbers what the streams use, parents before children. */
static void number_nodes(struct encoder *encoder, uint32_t *node_count, uint32_t *function_count) {
  const struct profile *profile = encoder->profile;
  for (uint32_t i = 0; i < encoder->stream_count; i++)
    encoder->node_ids[encoder->streams[i].node] = 1;
  flame_memory_mark(encoder->memory, encoder->node_ids);
  flame_operations_mark(encoder->operations, encoder->node_ids);
  flame_tracks_mark(encoder->tracks, encoder->node_ids);
  for (uint32_t i = profile->node_count; i-- > 0;)
    if (encoder->node_ids[i] && profile->nodes[i].parent != PROFILE_NONE)
      encoder->node_ids[profile->nodes[i].parent] = 1;
  for (uint32_t i = 0; i < profile->function_count; i++)
    encoder->function_ids[i] = NONE;
  *node_count = *function_count = 0;
  for (uint32_t i = 0; i < profile->node_count; i++) {
    if (!encoder->node_ids[i])
      continue;
    encoder->node_ids[i] = ++*node_count;
    uint32_t *id = &encoder->function_ids[profile->frames[profile->nodes[i].frame].function_id];
    if (*id == NONE)
      *id = (*function_count)++;
  }
}

/* In the order of their numbers, which is that of their first use. */
static void put_functions(struct encoder *encoder, struct buf *buf, uint32_t count) {
  const struct profile *profile = encoder->profile;
  buf_put_varint(buf, count);
  uint32_t next = 0;
  for (uint32_t i = 0; i < profile->node_count && next < count; i++) {
    uint32_t id = profile->frames[profile->nodes[i].frame].function_id;
    if (!encoder->node_ids[i] || encoder->function_ids[id] != next)
      continue;
    const struct profile_function *function = &profile->functions[id];
    put_string(encoder, buf, function->name);
    put_string(encoder, buf, function->file);
    put_string(encoder, buf, function->module);
    buf_put_varint(buf, function->first_line);
    buf_put_varint(buf, function->kind);
    buf_put_varint(buf, report_is_allocator(function));
    next++;
  }
}

static void put_nodes(struct encoder *encoder, struct buf *buf, uint32_t count) {
  const struct profile *profile = encoder->profile;
  buf_put_varint(buf, count);
  for (uint32_t i = 0; i < profile->node_count; i++) {
    if (!encoder->node_ids[i])
      continue;
    const struct profile_node *node = &profile->nodes[i];
    const struct profile_frame *frame = &profile->frames[node->frame];
    uint32_t parent = node->parent == PROFILE_NONE ? 0 : encoder->node_ids[node->parent];
    buf_put_varint(buf, encoder->node_ids[i] - parent);
    buf_put_varint(buf, encoder->function_ids[frame->function_id]);
    buf_put_varint(buf, frame->line);
    buf_put_varint(buf, frame->flags);
  }
}

static int by_bucket(const void *a, const void *b) {
  const struct entry *left = *(struct entry *const *)a, *right = *(struct entry *const *)b;
  return (left->bucket > right->bucket) - (left->bucket < right->bucket);
}

/* Gathers a stream's entries in order of bucket; most streams are in order already. */
static int gather(struct encoder *encoder, const struct stream *stream) {
  while (encoder->sorted_capacity < stream->length) {
    struct entry **sorted =
        grown(encoder->sorted, &encoder->sorted_capacity, sizeof(*encoder->sorted));
    if (!sorted)
      return -ENOMEM;
    encoder->sorted = sorted;
  }
  bool in_order = true;
  uint32_t count = 0;
  for (uint32_t at = stream->first; at != NONE; at = encoder->entries[at].next) {
    encoder->sorted[count] = &encoder->entries[at];
    in_order &= count == 0 || encoder->sorted[count - 1]->bucket < encoder->entries[at].bucket;
    count++;
  }
  if (!in_order)
    qsort(encoder->sorted, count, sizeof(*encoder->sorted), by_bucket);
  return 0;
}

static int put_stream(struct encoder *encoder, struct buf *buf, const struct stream *stream) {
  if (gather(encoder, stream))
    return -ENOMEM;
  buf_put_varint(buf, stream->thread);
  buf_put_varint(buf, encoder->node_ids[stream->node]);
  buf_put_varint(buf, stream->way);
  buf_put_varint(buf, stream->length);
  uint32_t bucket = 0;
  uint64_t sum_ns = 0, given_us = 0;
  for (uint32_t i = 0; i < stream->length; i++) {
    const struct entry *entry = encoder->sorted[i];
    buf_put_varint(buf, entry->bucket - bucket);
    buf_put_varint(buf, entry->count);
    bucket = entry->bucket;
    if (stream->way == 0)
      continue;
    sum_ns += entry->ns;
    uint64_t sum_us = (sum_ns + NS_PER_US / 2) / NS_PER_US;
    buf_put_varint(buf, sum_us - given_us);
    given_us = sum_us;
  }
  return 0;
}

static int put_streams(struct encoder *encoder, struct buf *buf) {
  int rc = 0;
  buf_put_varint(buf, encoder->stream_count);
  for (uint32_t i = 0; !rc && i < encoder->stream_count; i++)
    rc = put_stream(encoder, buf, &encoder->streams[i]);
  return rc;
}

static void put_strings(struct encoder *encoder, struct buf *buf) {
  struct buf text = {0};
  for (uint32_t i = 0; i < strtab_count(encoder->strings); i++) {
    flame_put_text(&text, FLAME_PLAIN, strtab_get(encoder->strings, i));
    buf_put_u8(&text, '\0');
  }
  buf_put_varint(buf, text.length);
  buf_put(buf, text.data, text.length);
  buf->failed |= text.failed;
  buf_fini(&text);
}

static int put_body(struct encoder *encoder, struct buf *body) {
  uint32_t node_count, function_count;
  number_nodes(encoder, &node_count, &function_count);
  put_functions(encoder, body, function_count);
  flame_operations_put_notes(encoder->operations, body, encoder->strings);
  put_nodes(encoder, body, node_count);
  int rc = put_streams(encoder, body);
  if (!rc)
    rc = flame_memory_put(encoder->memory, body, encoder->node_ids, encoder->bucket_ns,
                          encoder->bucket_count);
  if (rc)
    return rc;
  flame_operations_put(encoder->operations, body, encoder->node_ids);
  return flame_tracks_put(encoder->tracks, body, encoder->strings, encoder->node_ids,
                          encoder->bucket_ns, encoder->bucket_count);
}

static int encode(struct encoder *encoder, struct buf *buf, const struct render_options *options) {
  struct buf facts = {0}, body = {0};
  int rc = add_samples(encoder);
  if (!rc)
    rc = add_waits(encoder);
  if (!rc)
    rc = flame_put_facts(&facts, encoder->profile, options, encoder->memory, encoder->bucket_ns,
                         encoder->bucket_count);
  if (!rc)
    rc = put_body(encoder, &body);
  if (rc)
    goto out;
  buf_put_varint(buf, DATA_VERSION);
  buf_put_varint(buf, facts.length);
  buf_put(buf, facts.data, facts.length);
  put_strings(encoder, buf);
  buf_put(buf, body.data, body.length);
  if (buf->failed || body.failed)
    rc = -ENOMEM;
out:
  buf_fini(&facts);
  buf_fini(&body);
  return rc;
}

static int deflate_into(struct buf *out, const struct buf *in) {
  uLongf bytes = compressBound(in->length);
  if (!buf_reserve(out, bytes))
    return -ENOMEM;
  if (compress2(out->data + out->length, &bytes, in->data, in->length, COMPRESSION_LEVEL) != Z_OK)
    return -ENOMEM;
  out->length += bytes;
  return 0;
}

static uint64_t last_time_ns(const struct profile *profile) {
  uint64_t last_ns = profile->duration_ns;
  if (!last_ns && profile->sample_count)
    last_ns = profile->samples[profile->sample_count - 1].time_ns + 1;
  if (!last_ns && profile->memory_point_count)
    last_ns = profile->memory_points[profile->memory_point_count - 1].time_ns + 1;
  return last_ns ? last_ns : 1;
}

int flame_put_data(struct buf *buf, const struct profile *profile,
                   const struct render_options *options) {
  uint64_t duration_ns = last_time_ns(profile);
  struct encoder encoder = {.profile = profile};
  encoder.bucket_ns = duration_ns / BUCKETS_MAX + 1;
  encoder.bucket_count = (uint32_t)((duration_ns + encoder.bucket_ns - 1) / encoder.bucket_ns);
  encoder.node_ids = calloc(profile->node_count + 1ull, sizeof(*encoder.node_ids));
  encoder.function_ids = calloc(profile->function_count + 1ull, sizeof(*encoder.function_ids));
  encoder.strings = strtab_new();
  struct buf raw = {0};
  int rc = flame_memory_new(&encoder.memory, profile);
  if (!rc)
    rc = flame_operations_new(&encoder.operations, profile);
  if (!rc)
    rc = flame_tracks_new(&encoder.tracks, profile);
  if (!rc && (!encoder.node_ids || !encoder.function_ids || !encoder.strings))
    rc = -ENOMEM;
  if (!rc)
    rc = encode(&encoder, &raw, options);
  if (!rc)
    rc = deflate_into(buf, &raw);
  buf_fini(&raw);
  flame_memory_free(encoder.memory);
  flame_operations_free(encoder.operations);
  flame_tracks_free(encoder.tracks);
  strtab_free(encoder.strings);
  free(encoder.node_ids);
  free(encoder.function_ids);
  free(encoder.entries);
  free(encoder.streams);
  free(encoder.sorted);
  hash_fini(&encoder.stream_ids);
  return rc;
}

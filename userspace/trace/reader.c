/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a trace file: chunks from a file or from memory, then the records in them. Every length,
 * number and id is checked before it is used; no allocation is larger than what the file really
 * holds times a constant. Layouts are drawn at the encoders in writer.c. Records of
 * operations: reader_operation.c. */
#include "trace/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "trace/reader_internal.h"

int reader_damaged(struct reader *reader, const char *why) {
  reader->status->damage = why;
  return READING_ENDS;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* Reads up to `bytes`; fewer only at the end. The number of bytes, or -errno. */
static ssize_t source_read(struct source *source, uint8_t *to, size_t bytes) {
  if (source->fd < 0) {
    size_t left = cursor_left(&source->memory);
    bytes = bytes < left ? bytes : left;
    const uint8_t *at = cursor_bytes(&source->memory, bytes);
    if (bytes)
      memcpy(to, at, bytes);
    return (ssize_t)bytes;
  }
  size_t done = 0;
  while (done < bytes) {
    ssize_t got = read(source->fd, to + done, bytes - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return error_errno("%s: cannot read it", source->name);
    if (!got)
      break;
    done += (size_t)got;
  }
  return (ssize_t)done;
}

/* ---- Records --------------------------------------------------------------------------------- */

uint32_t reader_id(struct reader *reader, struct cursor *cursor, uint32_t count) {
  uint32_t id = reader_u32(cursor);
  if (id > count)
    reader->has_unknown_id = true;
  return id;
}

uint32_t reader_entry(struct reader *reader, struct cursor *cursor, uint32_t count) {
  uint32_t id = reader_id(reader, cursor, count);
  if (!id)
    reader->has_unknown_id = true;
  return id;
}

const char *reader_text(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_id(reader, cursor, reader->string_count);
  if (!id || id > reader->string_count)
    return "";
  return strtab_get(reader->texts, ((const uint32_t *)reader->text_ids.data)[id - 1]);
}

uint32_t reader_next_id(struct cursor *cursor, uint32_t count) {
  if (count == UINT32_MAX - 1)
    cursor->failed = true;
  return count + 1;
}

int reader_check(struct reader *reader, const struct cursor *cursor) {
  if (cursor->failed) /* then ids are 0, too */
    return reader_damaged(reader, MALFORMED);
  return reader->has_unknown_id ? reader_damaged(reader, UNKNOWN_ID) : 0;
}

static int read_string(struct reader *reader, struct cursor *cursor) {
  size_t bytes = cursor_left(cursor);
  const char *text = (const char *)cursor_bytes(cursor, bytes);
  if (!bytes || bytes > FORMAT_STRING_BYTES_MAX || memchr(text, '\0', bytes) ||
      reader->string_count == UINT32_MAX - 1)
    return reader_damaged(reader, MALFORMED);
  uint32_t text_id = strtab_add(reader->texts, text, bytes);
  buf_put(&reader->text_ids, &text_id, sizeof(text_id));
  if (!text_id || reader->text_ids.failed)
    return error_set(ENOMEM, "out of memory");
  uint32_t id = ++reader->string_count;
  return VISIT(reader, string, id, strtab_get(reader->texts, text_id), bytes);
}

static int read_module(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_next_id(cursor, reader->module_count);
  struct trace_module module = {.path = reader_text(reader, cursor)};
  module.build_id_bytes = reader_u32(cursor);
  if (module.build_id_bytes > FORMAT_BUILD_ID_BYTES_MAX)
    cursor->failed = true;
  module.build_id = cursor_bytes(cursor, module.build_id_bytes);
  if (!module.build_id_bytes)
    module.build_id = NULL;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  reader->module_count = id;
  return VISIT(reader, module, id, &module);
}

static int read_frame(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_next_id(cursor, reader->frame_count);
  struct trace_frame frame = {.kind = reader_u32(cursor)};
  if (frame.kind < FRAME_NATIVE || frame.kind > FRAME_MARK)
    cursor->failed = true;
  frame.flags = reader_u32(cursor);
  frame.module = reader_id(reader, cursor, reader->module_count);
  frame.address = reader_u64(cursor);
  frame.function = reader_id(reader, cursor, reader->string_count);
  frame.file = reader_id(reader, cursor, reader->string_count);
  frame.line = reader_u32(cursor);
  frame.first_line = reader_u32(cursor);
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  reader->frame_count = id;
  return VISIT(reader, frame, id, &frame);
}

static int read_node(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_next_id(cursor, reader->node_count);
  uint32_t back = reader_u32(cursor);
  if (!back || back > id)
    cursor->failed = true;
  struct trace_node node = {.parent = id - back,
                            .frame = reader_id(reader, cursor, reader->frame_count)};
  if (!node.frame)
    reader->has_unknown_id = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  reader->node_count = id;
  return VISIT(reader, node, id, node);
}

static int read_process(struct reader *reader, struct cursor *cursor) {
  struct trace_process process = {.pid = reader_u32(cursor)};
  process.parent_pid = reader_u32(cursor);
  process.start_ns = reader_time(cursor);
  process.end_ns = reader_time(cursor);
  process.name = reader_text(reader, cursor);
  process.executable = reader_text(reader, cursor);
  process.runtime = reader_text(reader, cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, process, &process);
}

static int read_thread(struct reader *reader, struct cursor *cursor) {
  struct trace_thread thread = {.thread = reader_u32(cursor)};
  if (!thread.thread || thread.thread == UINT32_MAX || thread.thread - 1 > reader->thread_count)
    reader->has_unknown_id = true;
  thread.pid = reader_u32(cursor);
  thread.tid = reader_u32(cursor);
  thread.start_ns = reader_time(cursor);
  thread.end_ns = reader_time(cursor);
  thread.name = reader_text(reader, cursor);
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  if (thread.thread > reader->thread_count)
    reader->thread_count = thread.thread;
  return VISIT(reader, thread, &thread);
}

static int read_symbol(struct reader *reader, struct cursor *cursor) {
  struct trace_symbol symbol = {.frame = reader_id(reader, cursor, reader->frame_count)};
  if (!symbol.frame)
    reader->has_unknown_id = true;
  symbol.depth = reader_u32(cursor);
  if (symbol.depth >= FORMAT_INLINE_DEPTH_MAX)
    cursor->failed = true;
  symbol.function = reader_id(reader, cursor, reader->string_count);
  symbol.file = reader_id(reader, cursor, reader->string_count);
  symbol.line = reader_u32(cursor);
  symbol.first_line = reader_u32(cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, symbol, &symbol);
}

static uint64_t read_event_time(struct reader *reader, struct cursor *cursor) {
  reader->last_ns += format_unzigzag(reader_u64(cursor));
  if (reader->last_ns > FORMAT_TIME_NS_MAX)
    cursor->failed = true;
  return reader->last_ns;
}

static int read_sample(struct reader *reader, struct cursor *cursor) {
  struct trace_sample sample = {.time_ns = read_event_time(reader, cursor)};
  sample.thread = reader_entry(reader, cursor, reader->thread_count);
  sample.node = reader_id(reader, cursor, reader->node_count);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, sample, &sample);
}

static int read_wait(struct reader *reader, struct cursor *cursor) {
  struct trace_wait wait = {.start_ns = read_event_time(reader, cursor)};
  wait.thread = reader_entry(reader, cursor, reader->thread_count);
  wait.node = reader_id(reader, cursor, reader->node_count);
  wait.reason = reader_u32(cursor);
  wait.count = reader_u64(cursor);
  wait.blocked_ns = reader_time(cursor);
  wait.run_queue_ns = reader_time(cursor);
  wait.span_ns = wait.blocked_ns + wait.run_queue_ns + format_unzigzag(reader_u64(cursor));
  wait.max_ns = wait.span_ns + format_unzigzag(reader_u64(cursor));
  wait.waker = reader_id(reader, cursor, reader->thread_count);
  wait.waker_tid = reader_u32(cursor);
  if ((unsigned)wait.reason >= WAIT_REASONS || !wait.count || wait.span_ns > FORMAT_TIME_NS_MAX ||
      wait.max_ns > FORMAT_TIME_NS_MAX)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, wait, &wait);
}

static int read_account(struct reader *reader, struct cursor *cursor) {
  struct trace_account account = {.thread = reader_entry(reader, cursor, reader->thread_count)};
  account.time_ns = reader_time(cursor);
  account.wall_ns = reader_time(cursor);
  account.on_cpu_ns = reader_time(cursor);
  account.blocked_ns = reader_time(cursor);
  account.run_queue_ns = reader_time(cursor);
  account.voluntary_switches = reader_u64(cursor);
  account.involuntary_switches = reader_u64(cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, account, &account);
}

static int read_heap_site(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_next_id(cursor, reader->heap_site_count);
  struct trace_heap_site site = {.pid = reader_u32(cursor)};
  site.node = reader_id(reader, cursor, reader->node_count);
  site.kind = reader_u32(cursor);
  if ((unsigned)site.kind >= HEAP_KINDS)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  struct trace_heap nothing = {.site = id};
  buf_put(&reader->heap_entries, &nothing, sizeof(nothing));
  if (reader->heap_entries.failed)
    return error_set(ENOMEM, "out of memory");
  reader->heap_site_count = id;
  return VISIT(reader, heap_site, id, &site);
}

/* A count that only grows. */
static uint64_t read_growth(struct cursor *cursor, uint64_t last) {
  uint64_t growth = reader_u64(cursor);
  if (growth > FORMAT_HEAP_COUNT_MAX - last)
    cursor->failed = true;
  return last + growth;
}

/* What was given back, from the change of what is live; it may not fall either. */
static uint64_t read_freed(struct cursor *cursor, uint64_t last_taken, uint64_t last_freed,
                           uint64_t taken) {
  uint64_t live = last_taken - last_freed + format_unzigzag(reader_u64(cursor));
  if (live > taken || taken - live < last_freed)
    cursor->failed = true;
  return taken - live;
}

static int read_heap(struct reader *reader, struct cursor *cursor) {
  struct trace_heap heap = {.time_ns = read_event_time(reader, cursor)};
  uint64_t site = reader->last_heap_site + format_unzigzag(reader_u64(cursor));
  if (!site || site > reader->heap_site_count)
    return reader_damaged(reader, cursor->failed ? MALFORMED : UNKNOWN_ID);
  struct trace_heap *last = (struct trace_heap *)reader->heap_entries.data + site - 1;
  heap.site = (uint32_t)site;
  heap.allocations = read_growth(cursor, last->allocations);
  heap.allocated_bytes = read_growth(cursor, last->allocated_bytes);
  heap.frees = read_freed(cursor, last->allocations, last->frees, heap.allocations);
  heap.freed_bytes =
      read_freed(cursor, last->allocated_bytes, last->freed_bytes, heap.allocated_bytes);
  heap.peak_bytes = read_growth(cursor, last->peak_bytes);
  if (heap.time_ns < last->time_ns)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  *last = heap;
  reader->last_heap_site = heap.site;
  return VISIT(reader, heap, &heap);
}

/* Bits of later metrics come after the ones that are known here, and so do their values. */
static int read_memory(struct reader *reader, struct cursor *cursor) {
  struct trace_memory memory = {.time_ns = read_event_time(reader, cursor)};
  memory.pid = reader_u32(cursor);
  memory.present = reader_u32(cursor) & ((1u << MEMORY_METRICS) - 1);
  for (uint32_t metric = 0; metric < MEMORY_METRICS; metric++) {
    if (!(memory.present >> metric & 1))
      continue;
    reader->last_memory[metric] += format_unzigzag(reader_u64(cursor));
    memory.values[metric] = reader->last_memory[metric];
  }
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, memory, &memory);
}

void reader_buckets(struct cursor *cursor, uint64_t buckets[TRACE_BUCKETS]) {
  uint64_t used = reader_u64(cursor), next = 0, sum = 0;
  for (uint64_t i = 0; i < used && !cursor->failed; i++) {
    uint64_t skipped = reader_u64(cursor), count = reader_u64(cursor);
    if (skipped >= TRACE_BUCKETS - next || !count || __builtin_add_overflow(sum, count, &sum)) {
      cursor->failed = true;
      return;
    }
    buckets[next + skipped] = count;
    next += skipped + 1;
  }
}

static int read_call(struct reader *reader, struct cursor *cursor) {
  struct trace_call call = {.pid = reader_u32(cursor)};
  call.name = reader_text(reader, cursor);
  call.count = reader_u64(cursor);
  call.errors = reader_u64(cursor);
  call.bytes = reader_u64(cursor);
  call.total_ns = reader_u64(cursor);
  call.max_ns = reader_time(cursor);
  reader_buckets(cursor, call.buckets);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, call, &call);
}

static int read_slow_call(struct reader *reader, struct cursor *cursor) {
  struct trace_slow_call call = {.time_ns = read_event_time(reader, cursor)};
  call.thread = reader_entry(reader, cursor, reader->thread_count);
  call.node = reader_id(reader, cursor, reader->node_count);
  call.name = reader_text(reader, cursor);
  call.duration_ns = reader_time(cursor);
  call.result = (int64_t)format_unzigzag(reader_u64(cursor));
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, slow_call, &call);
}

static int read_counter(struct reader *reader, struct cursor *cursor) {
  const char *name = reader_text(reader, cursor);
  uint64_t value = reader_u64(cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, counter, name, value);
}

static int read_meta(struct reader *reader, struct cursor *cursor) {
  const char *name = reader_text(reader, cursor);
  const char *value = reader_text(reader, cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, meta, name, value);
}

static int (*const record_readers[RECORD_TYPES])(struct reader *, struct cursor *) = {
    [RECORD_STRING] = read_string,
    [RECORD_MODULE] = read_module,
    [RECORD_FRAME] = read_frame,
    [RECORD_NODE] = read_node,
    [RECORD_PROCESS] = read_process,
    [RECORD_THREAD] = read_thread,
    [RECORD_SYMBOL] = read_symbol,
    [RECORD_SAMPLE] = read_sample,
    [RECORD_WAIT] = read_wait,
    [RECORD_ACCOUNT] = read_account,
    [RECORD_COUNTER] = read_counter,
    [RECORD_META] = read_meta,
    [RECORD_HEAP_SITE] = read_heap_site,
    [RECORD_HEAP] = read_heap,
    [RECORD_MEMORY] = read_memory,
    [RECORD_CALL] = read_call,
    [RECORD_SLOW_CALL] = read_slow_call,
    [RECORD_OBJECT] = read_object,
    [RECORD_OPERATION] = read_operation,
    [RECORD_OPERATION_SUM] = read_operation_sum,
    [RECORD_OPERATION_DETAIL] = read_operation_detail,
    [RECORD_OPERATION_STACK] = read_operation_stack,
    [RECORD_SLOW_OPERATION] = read_slow_operation,
    [RECORD_HAPPENING] = read_happening,
    [RECORD_POINT] = read_point,
};

static int read_records(struct reader *reader, const uint8_t *raw, size_t bytes) {
  struct cursor chunk = cursor_of(raw, bytes);
  reader->last_ns = 0;
  reader->last_heap_site = 0;
  memset(reader->last_memory, 0, sizeof(reader->last_memory));
  reader_operations_start_chunk(&reader->operations);
  while (cursor_left(&chunk)) {
    uint8_t type = *chunk.at++;
    uint64_t body_bytes = reader_u64(&chunk);
    const uint8_t *body = cursor_bytes(&chunk, body_bytes);
    if (chunk.failed)
      return reader_damaged(reader, MALFORMED);
    if (type >= RECORD_TYPES || !record_readers[type])
      continue;
    struct cursor cursor = cursor_of(body, body_bytes);
    reader->has_unknown_id = false;
    int end = record_readers[type](reader, &cursor);
    if (end)
      return end;
  }
  return 0;
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

struct chunk {
  uint32_t kind; /* enum format_chunk_kind */
  uint32_t stored_bytes;
  uint32_t raw_bytes;
};

/* Fuzzers cannot guess checksums. */
static bool is_crc_good(uint32_t expected, uint32_t found) {
#ifdef FUZZING
  (void)expected, (void)found;
  return true;
#else
  return expected == found;
#endif
}

static bool are_sizes_sane(const struct chunk *chunk) {
  uint64_t unpacked_max =
      (uint64_t)chunk->stored_bytes * FORMAT_RATIO_MAX + FORMAT_RATIO_SLACK_BYTES;
  if (chunk->stored_bytes > FORMAT_CHUNK_STORED_BYTES_MAX ||
      chunk->raw_bytes > FORMAT_CHUNK_RAW_BYTES_MAX || chunk->raw_bytes > unpacked_max)
    return false;
  if (chunk->kind == CHUNK_ZSTD)
    return true;
  return chunk->kind == CHUNK_END ? !chunk->stored_bytes && !chunk->raw_bytes
                                  : chunk->stored_bytes == chunk->raw_bytes;
}

/* Reads the next chunk's header and payload (into reader->stored). */
static int read_chunk(struct reader *reader, struct chunk *chunk) {
  uint8_t header[FORMAT_CHUNK_HEADER_BYTES];
  ssize_t got = source_read(&reader->source, header, sizeof(header));
  if (got < 0)
    return (int)got;
  if (!got)
    return reader_damaged(reader,
                          "it has no end mark: the capture was killed, or is still running");
  if ((size_t)got < sizeof(header))
    return reader_damaged(reader, "it is cut off within a chunk");
  struct cursor cursor = cursor_of(header, sizeof(header));
  bool is_magic_good = cursor_u32(&cursor) == FORMAT_CHUNK_MAGIC;
  chunk->kind = cursor_u32(&cursor);
  chunk->stored_bytes = cursor_u32(&cursor);
  chunk->raw_bytes = cursor_u32(&cursor);
  uint32_t sequence = cursor_u32(&cursor);
  uint32_t crc = cursor_u32(&cursor);
  if (!is_magic_good || chunk->kind < CHUNK_ZSTD || chunk->kind > CHUNK_STORED ||
      !are_sizes_sane(chunk))
    return reader_damaged(reader, "a chunk's header is damaged");
  got = source_read(&reader->source, reader->stored, chunk->stored_bytes);
  if (got < 0)
    return (int)got;
  if ((size_t)got < chunk->stored_bytes)
    return reader_damaged(reader, "it is cut off within a chunk");
  if (!is_crc_good(format_chunk_crc(header, reader->stored, chunk->stored_bytes), crc))
    return reader_damaged(reader, "a chunk's checksum is wrong");
  if (!is_crc_good(reader->status->chunk_count, sequence))
    return reader_damaged(reader, "a chunk is missing");
  return 0;
}

static int read_content(struct reader *reader, const struct chunk *chunk) {
  const uint8_t *raw = reader->stored;
  if (chunk->kind == CHUNK_ZSTD) {
    size_t bytes = ZSTD_decompressDCtx(reader->zstd, reader->raw, chunk->raw_bytes, reader->stored,
                                       chunk->stored_bytes);
    if (ZSTD_isError(bytes) || bytes != chunk->raw_bytes)
      return reader_damaged(reader, "a chunk does not decompress");
    raw = reader->raw;
  }
  int end = read_records(reader, raw, chunk->raw_bytes);
  if (end)
    return end;
  reader->status->read_bytes += FORMAT_CHUNK_HEADER_BYTES + chunk->stored_bytes;
  reader->status->chunk_count++;
  if (chunk->kind == CHUNK_END) {
    uint8_t more;
    reader->status->complete = true;
    return source_read(&reader->source, &more, 1) > 0
               ? reader_damaged(reader, "something follows its end mark")
               : READING_ENDS;
  }
  return 0;
}

static int read_header(struct reader *reader) {
  const char *name = reader->source.name;
  uint8_t header[FORMAT_HEADER_BYTES];
  ssize_t got = source_read(&reader->source, header, sizeof(header));
  if (got < 0)
    return (int)got;
  if (!got)
    return error_set(EINVAL, "%s: is empty, not a ragprof trace", name);
  size_t magic_bytes = (size_t)got < FORMAT_MAGIC_BYTES ? (size_t)got : FORMAT_MAGIC_BYTES;
  if (memcmp(header, FORMAT_MAGIC, magic_bytes))
    return error_set(EINVAL, "%s: is not a ragprof trace", name);
  if ((size_t)got < sizeof(header))
    return error_set(EINVAL, "%s: is cut off within the header, nothing can be read", name);
  struct cursor cursor = cursor_of(header + FORMAT_MAGIC_BYTES, 8);
  uint32_t version = cursor_u32(&cursor);
  if (!is_crc_good((uint32_t)crc32(0, header, 12), cursor_u32(&cursor)))
    return error_set(EINVAL, "%s: its header is damaged, nothing can be read", name);
  if (version > TRACE_VERSION)
    return error_set(EINVAL, "%s: is of trace version %u; this ragprof reads up to %u", name,
                     version, TRACE_VERSION);
  if (!version)
    return error_set(EINVAL, "%s: is of trace version 0, which never was", name);
  reader->status->read_bytes = sizeof(header);
  return 0;
}

static int read_source(struct reader *reader) {
  int end = read_header(reader);
  while (!end) {
    struct chunk chunk = {0};
    end = read_chunk(reader, &chunk);
    if (!end)
      end = read_content(reader, &chunk);
  }
  return end < 0 ? end : 0;
}

static int read_all(struct source source, uint64_t file_bytes, const struct trace_visitor *visitor,
                    void *context, struct trace_status *status) {
  struct trace_status unused;
  struct reader reader = {.visitor = visitor,
                          .context = context,
                          .status = status ? status : &unused,
                          .source = source};
  *reader.status = (struct trace_status){.file_bytes = file_bytes};
  reader.stored = malloc(FORMAT_CHUNK_STORED_BYTES_MAX);
  reader.raw = malloc(FORMAT_CHUNK_RAW_BYTES_MAX);
  reader.zstd = ZSTD_createDCtx();
  reader.texts = strtab_new();
  int error = reader.stored && reader.raw && reader.zstd && reader.texts
                  ? read_source(&reader)
                  : error_set(ENOMEM, "out of memory");
  if (reader.status->file_bytes < reader.status->read_bytes) /* a pipe, or a growing file */
    reader.status->file_bytes = reader.status->read_bytes;
  free(reader.stored);
  free(reader.raw);
  ZSTD_freeDCtx(reader.zstd);
  strtab_free(reader.texts);
  buf_fini(&reader.text_ids);
  buf_fini(&reader.heap_entries);
  reader_operations_fini(&reader.operations);
  return error;
}

int trace_read(const char *path, const struct trace_visitor *visitor, void *context,
               struct trace_status *status) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return error_errno("%s", path);
  struct stat stat;
  int error;
  if (fstat(fd, &stat))
    error = error_errno("%s", path);
  else if (S_ISDIR(stat.st_mode))
    error = error_set(EISDIR, "%s: is a directory, not a ragprof trace", path);
  else
    error = read_all((struct source){.fd = fd, .name = path},
                     S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0, visitor, context, status);
  close(fd);
  return error;
}

int trace_read_memory(const void *data, size_t bytes, const struct trace_visitor *visitor,
                      void *context, struct trace_status *status) {
  struct source source = {.fd = -1, .memory = cursor_of(data, bytes), .name = "trace"};
  return read_all(source, bytes, visitor, context, status);
}

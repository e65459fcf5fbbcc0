/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a trace file: interns, encodes records, gathers them into chunks. It refuses records that
 * a reader would refuse, and counts them as lost.invalid. Records of operations:
 * writer_operation.c. */
#include "trace/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/error.h"
#include "trace/writer_internal.h"

/* Level 3 makes files 3 % smaller, and a sample 60 ns dearer than the 40 ns of level 1. */
#define COMPRESSION_LEVEL 1

struct module_entry {
  uint32_t path; /* string id */
  uint32_t build_id_bytes;
  uint8_t build_id[FORMAT_BUILD_ID_BYTES_MAX];
};

/* ---- Errors and disk ------------------------------------------------------------------------- */

static void remember(struct trace_writer *writer, int error) {
  if (writer->error)
    return;
  writer->error = error;
  snprintf(writer->error_text, sizeof(writer->error_text), "%s", error_text());
}

void writer_out_of_memory(struct trace_writer *writer) {
  remember(writer, error_set(ENOMEM, "%s: out of memory", writer->path));
}

static int report(const struct trace_writer *writer) {
  return writer->error ? error_set(-writer->error, "%s", writer->error_text) : 0;
}

static int write_all(int fd, const uint8_t *data, size_t bytes) {
  while (bytes) {
    ssize_t written = write(fd, data, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return written ? -errno : -EIO;
    data += written;
    bytes -= (size_t)written;
  }
  return 0;
}

/* Appends to the file, whole or not at all. */
static void append(struct trace_writer *writer, const uint8_t *data, size_t bytes) {
  int error = write_all(writer->fd, data, bytes);
  if (!error) {
    writer->file_bytes += bytes;
    return;
  }
  errno = -error;
  remember(writer, error_errno("%s: cannot write the trace", writer->path));
  /* Best effort: a reader stops at the torn chunk if this fails. */
  if (ftruncate(writer->fd, (off_t)writer->file_bytes))
    return;
}

static void put_le32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++)
    at[i] = (uint8_t)(value >> (8 * i));
}

/* `packed` holds room for the header, then the payload. */
static void write_chunk(struct trace_writer *writer, enum format_chunk_kind kind, size_t stored,
                        size_t raw) {
  uint8_t *header = writer->packed.data;
  put_le32(header, FORMAT_CHUNK_MAGIC);
  put_le32(header + 4, kind);
  put_le32(header + 8, (uint32_t)stored);
  put_le32(header + 12, (uint32_t)raw);
  put_le32(header + 16, writer->sequence++);
  put_le32(header + 20, format_chunk_crc(header, header + FORMAT_CHUNK_HEADER_BYTES, stored));
  append(writer, header, FORMAT_CHUNK_HEADER_BYTES + stored);
}

static void flush_chunk(struct trace_writer *writer) {
  size_t raw = writer->raw.length;
  if (!raw || writer->error)
    return;
  buf_clear(&writer->packed);
  if (!buf_reserve(&writer->packed, FORMAT_CHUNK_HEADER_BYTES + ZSTD_compressBound(raw))) {
    writer_out_of_memory(writer);
    return;
  }
  uint8_t *payload = writer->packed.data + FORMAT_CHUNK_HEADER_BYTES;
  size_t stored = ZSTD_compressCCtx(writer->zstd, payload, ZSTD_compressBound(raw),
                                    writer->raw.data, raw, COMPRESSION_LEVEL);
  bool is_packed = !ZSTD_isError(stored) && stored < raw &&
                   raw <= stored * FORMAT_RATIO_MAX + FORMAT_RATIO_SLACK_BYTES;
  if (!is_packed) {
    memcpy(payload, writer->raw.data, raw);
    stored = raw;
  }
  write_chunk(writer, is_packed ? CHUNK_ZSTD : CHUNK_STORED, stored, raw);
  buf_clear(&writer->raw);
  writer->last_ns = 0;
  writer->last_heap_site = 0;
  memset(writer->last_memory, 0, sizeof(writer->last_memory));
  writer_operations_start_chunk(&writer->operations);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

/* Takes an old file away so that the new one has its own owner and mode. */
static int remove_old(const char *path) {
  struct stat old;
  if (lstat(path, &old))
    return errno == ENOENT ? 0 : error_errno("%s", path);
  if (!S_ISREG(old.st_mode))
    return error_set(EEXIST, "%s: not a regular file, will not replace it", path);
  if (unlink(path))
    return error_errno("%s: cannot replace it", path);
  return 0;
}

static int create(const char *path, bool overwrite) {
  int error = overwrite ? remove_old(path) : 0;
  if (error)
    return error;
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST)
    return error_set(EEXIST, "%s: exists already, will not overwrite it", path);
  if (fd < 0)
    return error_errno("%s: cannot create it", path);
  if (fchmod(fd, 0600)) { /* an odd umask */
    error = error_errno("%s: cannot set its mode", path);
    unlink(path);
    close(fd);
    return error;
  }
  return fd;
}

static void release(struct trace_writer *writer) {
  if (writer->fd >= 0)
    close(writer->fd);
  ZSTD_freeCCtx(writer->zstd);
  strtab_free(writer->strings);
  hash_fini(&writer->modules);
  hash_fini(&writer->frames);
  hash_fini(&writer->nodes);
  buf_fini(&writer->raw);
  buf_fini(&writer->packed);
  buf_fini(&writer->module_entries);
  buf_fini(&writer->frame_entries);
  hash_fini(&writer->heap_sites);
  buf_fini(&writer->heap_site_entries);
  buf_fini(&writer->heap_entries);
  writer_operations_fini(&writer->operations);
  buf_fini(&writer->scratch);
  free(writer->path);
  free(writer);
}

static void write_header(struct trace_writer *writer) {
  uint8_t header[FORMAT_HEADER_BYTES];
  memcpy(header, FORMAT_MAGIC, FORMAT_MAGIC_BYTES);
  put_le32(header + 8, TRACE_VERSION);
  put_le32(header + 12, (uint32_t)crc32(0, header, 12));
  append(writer, header, sizeof(header));
}

int trace_writer_open(struct trace_writer **out, const char *path, bool overwrite) {
  struct trace_writer *writer = calloc(1, sizeof(*writer));
  if (!writer)
    return error_set(ENOMEM, "out of memory");
  writer->fd = -1;
  writer->path = strdup(path);
  writer->zstd = ZSTD_createCCtx();
  writer->strings = strtab_new();
  writer->string_count = 1; /* id 0 is the empty string, never written */
  if (!writer->path || !writer->zstd || !writer->strings) {
    release(writer);
    return error_set(ENOMEM, "out of memory");
  }
  writer->fd = create(path, overwrite);
  if (writer->fd < 0) {
    int error = writer->fd;
    release(writer);
    return error;
  }
  write_header(writer);
  int error = report(writer);
  if (error)
    trace_writer_abandon(writer);
  else
    *out = writer;
  return error;
}

int trace_writer_flush(struct trace_writer *writer) {
  flush_chunk(writer);
  return report(writer);
}

uint64_t trace_writer_bytes(const struct trace_writer *writer) {
  return writer->file_bytes;
}

int trace_writer_close(struct trace_writer *writer) {
  if (!writer)
    return 0;
  if (writer->invalid_count)
    trace_put_counter(writer, "lost.invalid", writer->invalid_count);
  flush_chunk(writer);
  if (!writer->error && !buf_reserve(&writer->packed, FORMAT_CHUNK_HEADER_BYTES))
    writer_out_of_memory(writer);
  if (!writer->error)
    write_chunk(writer, CHUNK_END, 0, 0);
  if (fsync(writer->fd) && errno != EINVAL && errno != EROFS)
    remember(writer, error_errno("%s: cannot sync the trace", writer->path));
  if (close(writer->fd))
    remember(writer, error_errno("%s: cannot close the trace", writer->path));
  writer->fd = -1;
  int error = report(writer);
  release(writer);
  return error;
}

void trace_writer_abandon(struct trace_writer *writer) {
  if (!writer)
    return;
  unlink(writer->path);
  release(writer);
}

/* ---- Records --------------------------------------------------------------------------------- */

void writer_put_record(struct trace_writer *writer, enum format_record_type type, const void *body,
                       size_t bytes) {
  struct body head = {.length = 1, .bytes = {(uint8_t)type}};
  body_varint(&head, bytes);
  if (!buf_reserve(&writer->raw, head.length + bytes)) {
    writer_out_of_memory(writer);
    return;
  }
  uint8_t *at = writer->raw.data + writer->raw.length;
  memcpy(at, head.bytes, head.length);
  memcpy(at + head.length, body, bytes);
  writer->raw.length += head.length + bytes;
  if (writer->raw.length >= FORMAT_CHUNK_RAW_BYTES)
    flush_chunk(writer);
}

void writer_put_body(struct trace_writer *writer, enum format_record_type type,
                     const struct body *body) {
  writer_put_record(writer, type, body->bytes, body->length);
}

bool writer_accept(struct trace_writer *writer, bool is_valid) {
  if (writer->error)
    return false;
  writer->invalid_count += !is_valid;
  return is_valid;
}

/* string = text[bytes], no NUL, at most FORMAT_STRING_BYTES_MAX */
uint32_t trace_put_string(struct trace_writer *writer, const char *text, size_t bytes) {
  if (writer->error)
    return 0;
  bytes = strnlen(text, bytes < FORMAT_STRING_BYTES_MAX ? bytes : FORMAT_STRING_BYTES_MAX);
  if (!bytes)
    return 0;
  uint32_t id = strtab_add(writer->strings, text, bytes);
  if (!id)
    writer_out_of_memory(writer);
  if (id && id == writer->string_count) {
    writer->string_count++;
    writer_put_record(writer, RECORD_STRING, text, bytes);
  }
  return writer->error ? 0 : id;
}

uint32_t writer_put_text(struct trace_writer *writer, const char *text) {
  return text ? trace_put_string(writer, text, SIZE_MAX) : 0;
}

static bool is_string(const struct trace_writer *writer, uint32_t id) {
  return id < writer->string_count;
}

uint32_t writer_find_entry(const struct hash *hash, uint64_t *key, const struct buf *entries,
                           const void *wanted, size_t bytes) {
  for (uint32_t *id; (id = hash_get(hash, *key)); (*key)++)
    if (!memcmp(entries->data + (size_t)(*id - 1) * bytes, wanted, bytes))
      return *id;
  return 0;
}

uint32_t writer_add_entry(struct trace_writer *writer, struct hash *hash, uint64_t key,
                          struct buf *entries, uint32_t *count, const void *entry, size_t bytes) {
  buf_put(entries, entry, bytes);
  if (entries->failed || *count == UINT32_MAX - 1 || hash_put(hash, key, *count + 1)) {
    writer_out_of_memory(writer);
    return 0;
  }
  return ++*count;
}

/* module = path | build_id_bytes | build_id[build_id_bytes] */
uint32_t trace_put_module(struct trace_writer *writer, const struct trace_module *module) {
  uint32_t id_bytes = module->build_id ? module->build_id_bytes : 0;
  struct module_entry entry;
  memset(&entry, 0, sizeof(entry));
  entry.path = writer_put_text(writer, module->path);
  entry.build_id_bytes =
      id_bytes < FORMAT_BUILD_ID_BYTES_MAX ? id_bytes : FORMAT_BUILD_ID_BYTES_MAX;
  if (entry.build_id_bytes)
    memcpy(entry.build_id, module->build_id, entry.build_id_bytes);
  if (writer->error)
    return 0;
  uint64_t key = hash_bytes(&entry, sizeof(entry));
  uint32_t id =
      writer_find_entry(&writer->modules, &key, &writer->module_entries, &entry, sizeof(entry));
  if (id)
    return id;
  id = writer_add_entry(writer, &writer->modules, key, &writer->module_entries,
                        &writer->module_count, &entry, sizeof(entry));
  if (!id)
    return 0;
  struct body body = {0};
  body_varint(&body, entry.path);
  body_varint(&body, entry.build_id_bytes);
  memcpy(body.bytes + body.length, entry.build_id, entry.build_id_bytes);
  body.length += entry.build_id_bytes;
  writer_put_body(writer, RECORD_MODULE, &body);
  return writer->error ? 0 : id;
}

static bool is_frame_valid(const struct trace_writer *writer, const struct trace_frame *frame) {
  return frame->kind >= FRAME_NATIVE && frame->kind <= FRAME_MARK &&
         frame->module <= writer->module_count && is_string(writer, frame->function) &&
         is_string(writer, frame->file);
}

static uint32_t add_frame(struct trace_writer *writer, uint64_t key,
                          const struct trace_frame *frame) {
  uint32_t id = writer_add_entry(writer, &writer->frames, key, &writer->frame_entries,
                                 &writer->frame_count, frame, sizeof(*frame));
  if (!id)
    return 0;
  struct body body = {0};
  body_varint(&body, frame->kind);
  body_varint(&body, frame->flags);
  body_varint(&body, frame->module);
  body_varint(&body, frame->address);
  body_varint(&body, frame->function);
  body_varint(&body, frame->file);
  body_varint(&body, frame->line);
  body_varint(&body, frame->first_line);
  writer_put_body(writer, RECORD_FRAME, &body);
  return writer->error ? 0 : id;
}

/* frame = kind | flags | module | address | function | file | line | first_line */
uint32_t trace_put_frame(struct trace_writer *writer, const struct trace_frame *frame) {
  if (!writer_accept(writer, is_frame_valid(writer, frame)))
    return 0;
  struct trace_frame entry;
  memset(&entry, 0, sizeof(entry)); /* padding is compared, too */
  entry.kind = frame->kind;
  entry.flags = frame->flags;
  entry.module = frame->module;
  entry.address = frame->address;
  entry.function = frame->function;
  entry.file = frame->file;
  entry.line = frame->line;
  entry.first_line = frame->first_line;
  uint64_t key = hash_bytes(&entry, sizeof(entry));
  uint32_t id =
      writer_find_entry(&writer->frames, &key, &writer->frame_entries, &entry, sizeof(entry));
  return id ? id : add_frame(writer, key, &entry);
}

/* node = id - parent | frame                      (the parent is mostly the node before: 1) */
uint32_t trace_put_node(struct trace_writer *writer, struct trace_node node) {
  if (!writer_accept(writer, node.parent <= writer->node_count && node.frame &&
                                 node.frame <= writer->frame_count))
    return 0;
  uint64_t key = (uint64_t)node.parent << 32 | node.frame;
  const uint32_t *known = hash_get(&writer->nodes, key);
  if (known)
    return *known;
  if (writer->node_count == UINT32_MAX - 1 ||
      hash_put(&writer->nodes, key, writer->node_count + 1)) {
    writer_out_of_memory(writer);
    return 0;
  }
  uint32_t id = ++writer->node_count;
  struct body body = {0};
  body_varint(&body, id - node.parent);
  body_varint(&body, node.frame);
  writer_put_body(writer, RECORD_NODE, &body);
  return writer->error ? 0 : id;
}

/* process = pid | parent_pid | start_ns | end_ns | name | executable | runtime */
void trace_put_process(struct trace_writer *writer, const struct trace_process *process) {
  uint32_t name = writer_put_text(writer, process->name);
  uint32_t executable = writer_put_text(writer, process->executable);
  uint32_t runtime = writer_put_text(writer, process->runtime);
  if (!writer_accept(writer, writer_is_time(process->start_ns) && writer_is_time(process->end_ns)))
    return;
  struct body body = {0};
  body_varint(&body, process->pid);
  body_varint(&body, process->parent_pid);
  body_varint(&body, process->start_ns);
  body_varint(&body, process->end_ns);
  body_varint(&body, name);
  body_varint(&body, executable);
  body_varint(&body, runtime);
  writer_put_body(writer, RECORD_PROCESS, &body);
}

/* thread = thread | pid | tid | start_ns | end_ns | name */
void trace_put_thread(struct trace_writer *writer, const struct trace_thread *thread) {
  uint32_t name = writer_put_text(writer, thread->name);
  /* Ids are dense: a known one, or the next. */
  if (!writer_accept(writer, thread->thread && thread->thread - 1 <= writer->thread_count &&
                                 writer_is_time(thread->start_ns) &&
                                 writer_is_time(thread->end_ns)))
    return;
  if (thread->thread > writer->thread_count)
    writer->thread_count = thread->thread;
  struct body body = {0};
  body_varint(&body, thread->thread);
  body_varint(&body, thread->pid);
  body_varint(&body, thread->tid);
  body_varint(&body, thread->start_ns);
  body_varint(&body, thread->end_ns);
  body_varint(&body, name);
  writer_put_body(writer, RECORD_THREAD, &body);
}

/* symbol = frame | depth | function | file | line | first_line */
void trace_put_symbol(struct trace_writer *writer, const struct trace_symbol *symbol) {
  if (!writer_accept(writer, symbol->frame && symbol->frame <= writer->frame_count &&
                                 symbol->depth < FORMAT_INLINE_DEPTH_MAX &&
                                 is_string(writer, symbol->function) &&
                                 is_string(writer, symbol->file)))
    return;
  struct body body = {0};
  body_varint(&body, symbol->frame);
  body_varint(&body, symbol->depth);
  body_varint(&body, symbol->function);
  body_varint(&body, symbol->file);
  body_varint(&body, symbol->line);
  body_varint(&body, symbol->first_line);
  writer_put_body(writer, RECORD_SYMBOL, &body);
}

/* Times of events are differences to that of the event before in the same chunk. */
static void body_time(struct body *body, struct trace_writer *writer, uint64_t ns) {
  body_varint(body, format_zigzag(ns - writer->last_ns));
  writer->last_ns = ns;
}

/* sample = zigzag(time_ns - last) | thread | node */
void trace_put_sample(struct trace_writer *writer, const struct trace_sample *sample) {
  if (!writer_accept(writer, writer_is_thread(writer, sample->thread) &&
                                 sample->node <= writer->node_count &&
                                 writer_is_time(sample->time_ns)))
    return;
  struct body body;
  body.length = 0;
  body_time(&body, writer, sample->time_ns);
  body_varint(&body, sample->thread);
  body_varint(&body, sample->node);
  writer_put_body(writer, RECORD_SAMPLE, &body);
}

static bool is_wait_valid(const struct trace_writer *writer, const struct trace_wait *wait) {
  return writer_is_thread(writer, wait->thread) && wait->node <= writer->node_count &&
         wait->count && writer_is_time(wait->start_ns) && writer_is_time(wait->span_ns) &&
         writer_is_time(wait->blocked_ns) && writer_is_time(wait->run_queue_ns) &&
         writer_is_time(wait->max_ns) && (unsigned)wait->reason < WAIT_REASONS;
}

/* wait = zigzag(start_ns - last) | thread | node | reason | count | blocked_ns | run_queue_ns
 *      | zigzag(span_ns - blocked_ns - run_queue_ns) | zigzag(max_ns - span_ns)
 *      | waker | waker_tid                        (the differences of a single interval are 0) */
void trace_put_wait(struct trace_writer *writer, const struct trace_wait *wait) {
  if (!writer_accept(writer, is_wait_valid(writer, wait)))
    return;
  struct body body;
  body.length = 0;
  body_time(&body, writer, wait->start_ns);
  body_varint(&body, wait->thread);
  body_varint(&body, wait->node);
  body_varint(&body, wait->reason);
  body_varint(&body, wait->count);
  body_varint(&body, wait->blocked_ns);
  body_varint(&body, wait->run_queue_ns);
  body_varint(&body, format_zigzag(wait->span_ns - wait->blocked_ns - wait->run_queue_ns));
  body_varint(&body, format_zigzag(wait->max_ns - wait->span_ns));
  body_varint(&body, writer_is_thread(writer, wait->waker) ? wait->waker : 0);
  body_varint(&body, wait->waker_tid);
  writer_put_body(writer, RECORD_WAIT, &body);
}

/* account = thread | time_ns | wall_ns | on_cpu_ns | blocked_ns | run_queue_ns
 *         | voluntary_switches | involuntary_switches */
void trace_put_account(struct trace_writer *writer, const struct trace_account *account) {
  if (!writer_accept(
          writer, writer_is_thread(writer, account->thread) && writer_is_time(account->time_ns) &&
                      writer_is_time(account->wall_ns) && writer_is_time(account->on_cpu_ns) &&
                      writer_is_time(account->blocked_ns) && writer_is_time(account->run_queue_ns)))
    return;
  struct body body = {0};
  body_varint(&body, account->thread);
  body_varint(&body, account->time_ns);
  body_varint(&body, account->wall_ns);
  body_varint(&body, account->on_cpu_ns);
  body_varint(&body, account->blocked_ns);
  body_varint(&body, account->run_queue_ns);
  body_varint(&body, account->voluntary_switches);
  body_varint(&body, account->involuntary_switches);
  writer_put_body(writer, RECORD_ACCOUNT, &body);
}

/* heap_site = pid | node | kind */
uint32_t trace_put_heap_site(struct trace_writer *writer, const struct trace_heap_site *site) {
  if (!writer_accept(writer, site->node <= writer->node_count && (unsigned)site->kind < HEAP_KINDS))
    return 0;
  uint64_t key = hash_mix(hash_mix(site->pid, site->node), site->kind);
  uint32_t id =
      writer_find_entry(&writer->heap_sites, &key, &writer->heap_site_entries, site, sizeof(*site));
  if (id)
    return id;
  struct trace_heap nothing = {0};
  buf_put(&writer->heap_entries, &nothing, sizeof(nothing));
  if (writer->heap_entries.failed)
    writer_out_of_memory(writer);
  else
    id = writer_add_entry(writer, &writer->heap_sites, key, &writer->heap_site_entries,
                          &writer->heap_site_count, site, sizeof(*site));
  if (!id)
    return 0;
  struct body body = {0};
  body_varint(&body, site->pid);
  body_varint(&body, site->node);
  body_varint(&body, site->kind);
  writer_put_body(writer, RECORD_HEAP_SITE, &body);
  return writer->error ? 0 : id;
}

_Static_assert(sizeof(struct trace_heap_site) == 12, "no padding: sites are compared as bytes");

static bool has_not_fallen(const struct trace_heap *last, const struct trace_heap *heap) {
  return heap->time_ns >= last->time_ns && heap->allocations >= last->allocations &&
         heap->allocated_bytes >= last->allocated_bytes && heap->frees >= last->frees &&
         heap->freed_bytes >= last->freed_bytes && heap->peak_bytes >= last->peak_bytes;
}

static bool is_heap_in_range(const struct trace_heap *heap) {
  return writer_is_time(heap->time_ns) && heap->allocations <= FORMAT_HEAP_COUNT_MAX &&
         heap->allocated_bytes <= FORMAT_HEAP_COUNT_MAX &&
         heap->peak_bytes <= FORMAT_HEAP_COUNT_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* heap = zigzag(time_ns - last) | zigzag(site - last site) | allocations | allocated_bytes
 *      | zigzag(allocations - frees) | zigzag(allocated_bytes - freed_bytes) | peak_bytes
 * The last five are differences to those of the site's record before, in whatever chunk; so a site
 * that frees what it takes has two zeros. Counters are read while they move: a free seen before its
 * allocation is left for the next record. */
void trace_put_heap(struct trace_writer *writer, const struct trace_heap *heap) {
  if (!writer_accept(writer, heap->site && heap->site <= writer->heap_site_count))
    return;
  struct trace_heap *last = (struct trace_heap *)writer->heap_entries.data + heap->site - 1;
  struct trace_heap now = *heap;
  now.frees = smaller(now.frees, now.allocations);
  now.freed_bytes = smaller(now.freed_bytes, now.allocated_bytes);
  if (!writer_accept(writer, is_heap_in_range(&now) && has_not_fallen(last, &now)))
    return;
  uint64_t live = now.allocations - now.frees;
  uint64_t live_bytes = now.allocated_bytes - now.freed_bytes;
  struct body body;
  body.length = 0;
  body_time(&body, writer, now.time_ns);
  body_varint(&body, format_zigzag((uint64_t)now.site - writer->last_heap_site));
  body_varint(&body, now.allocations - last->allocations);
  body_varint(&body, now.allocated_bytes - last->allocated_bytes);
  body_varint(&body, format_zigzag(live - (last->allocations - last->frees)));
  body_varint(&body, format_zigzag(live_bytes - (last->allocated_bytes - last->freed_bytes)));
  body_varint(&body, now.peak_bytes - last->peak_bytes);
  writer->last_heap_site = now.site;
  *last = now;
  writer_put_body(writer, RECORD_HEAP, &body);
}

/* memory = zigzag(time_ns - last) | pid | present | zigzag(value - last of the metric)...
 * for each bit of `present`, the lowest first. */
void trace_put_memory(struct trace_writer *writer, const struct trace_memory *memory) {
  if (!writer_accept(writer,
                     writer_is_time(memory->time_ns) && !(memory->present >> MEMORY_METRICS)))
    return;
  struct body body;
  body.length = 0;
  body_time(&body, writer, memory->time_ns);
  body_varint(&body, memory->pid);
  body_varint(&body, memory->present);
  for (uint32_t metric = 0; metric < MEMORY_METRICS; metric++) {
    if (!(memory->present >> metric & 1))
      continue;
    body_varint(&body, format_zigzag(memory->values[metric] - writer->last_memory[metric]));
    writer->last_memory[metric] = memory->values[metric];
  }
  writer_put_body(writer, RECORD_MEMORY, &body);
}

bool writer_are_buckets_valid(const uint64_t buckets[TRACE_BUCKETS]) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    if (__builtin_add_overflow(sum, buckets[i], &sum))
      return false;
  return true;
}

/* buckets = used | (bucket - the one before - 1, count)[used]          (those that are not empty)
 */
void writer_put_buckets(struct buf *body, const uint64_t buckets[TRACE_BUCKETS]) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    used += buckets[i] != 0;
  buf_put_varint(body, used);
  for (uint32_t i = 0, next = 0; i < TRACE_BUCKETS; i++) {
    if (!buckets[i])
      continue;
    buf_put_varint(body, i - next);
    buf_put_varint(body, buckets[i]);
    next = i + 1;
  }
}

void writer_put_scratch(struct trace_writer *writer, enum format_record_type type) {
  if (writer->scratch.failed)
    writer_out_of_memory(writer);
  else
    writer_put_record(writer, type, writer->scratch.data, writer->scratch.length);
}

/* call = pid | name | count | errors | bytes | total_ns | max_ns | buckets */
void trace_put_call(struct trace_writer *writer, const struct trace_call *call) {
  uint32_t name = writer_put_text(writer, call->name);
  if (!writer_accept(writer, writer_is_time(call->max_ns) && call->name && *call->name &&
                                 writer_are_buckets_valid(call->buckets)))
    return;
  struct buf *body = &writer->scratch;
  buf_clear(body);
  buf_put_varint(body, call->pid);
  buf_put_varint(body, name);
  buf_put_varint(body, call->count);
  buf_put_varint(body, call->errors);
  buf_put_varint(body, call->bytes);
  buf_put_varint(body, call->total_ns);
  buf_put_varint(body, call->max_ns);
  writer_put_buckets(body, call->buckets);
  writer_put_scratch(writer, RECORD_CALL);
}

/* slow_call = zigzag(time_ns - last) | thread | node | name | duration_ns | zigzag(result) */
void trace_put_slow_call(struct trace_writer *writer, const struct trace_slow_call *call) {
  uint32_t name = writer_put_text(writer, call->name);
  if (!writer_accept(writer,
                     writer_is_thread(writer, call->thread) && call->node <= writer->node_count &&
                         writer_is_time(call->time_ns) && writer_is_time(call->duration_ns)))
    return;
  struct body body;
  body.length = 0;
  body_time(&body, writer, call->time_ns);
  body_varint(&body, call->thread);
  body_varint(&body, call->node);
  body_varint(&body, name);
  body_varint(&body, call->duration_ns);
  body_varint(&body, format_zigzag((uint64_t)call->result));
  writer_put_body(writer, RECORD_SLOW_CALL, &body);
}

/* counter = name | value */
void trace_put_counter(struct trace_writer *writer, const char *name, uint64_t value) {
  struct body body = {0};
  body_varint(&body, writer_put_text(writer, name));
  body_varint(&body, value);
  if (!writer->error)
    writer_put_body(writer, RECORD_COUNTER, &body);
}

/* meta = name | value */
void trace_put_meta(struct trace_writer *writer, const char *name, const char *value) {
  struct body body = {0};
  body_varint(&body, writer_put_text(writer, name));
  body_varint(&body, writer_put_text(writer, value));
  if (!writer->error)
    writer_put_body(writer, RECORD_META, &body);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the distrust of regions: every read of one goes through here. */
#include "capture/shim_region.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_BYTES offsetof(struct region, calls)
#define EVENT_BATCH 256
#define LINES_BYTES_MAX (1u << 20)

static bool read_at(const struct region_source *source, uint64_t offset, void *out, size_t bytes) {
  if (source->fd >= 0)
    return pread(source->fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
  if (offset > source->bytes || bytes > source->bytes - offset)
    return false;
  memcpy(out, source->data + offset, bytes);
  return true;
}

static void clamp(uint32_t *count, uint32_t most) {
  if (*count > most)
    *count = most;
}

enum region_read region_read_head(const struct region_source *source, struct region_head *head) {
  uint8_t raw[HEAD_BYTES];
  if (!read_at(source, 0, raw, sizeof(raw)))
    return REGION_READ_BAD;
#define TAKE(type, field)                                                                          \
  memcpy(&head->field, raw + offsetof(struct region, field), sizeof(head->field));
  REGION_HEAD_FIELDS(TAKE)
#undef TAKE
  memcpy(head->name, raw + offsetof(struct region, name), sizeof(head->name));
  head->name[sizeof(head->name) - 1] = '\0';
  if (head->state == REGION_STARTING)
    return REGION_READ_STARTING;
  if (head->magic != REGION_MAGIC || head->version != REGION_VERSION ||
      head->bytes != sizeof(struct region))
    return REGION_READ_BAD;
  clamp(&head->site_count, REGION_SITES_MAX);
  clamp(&head->word_count, REGION_WORDS_MAX);
  clamp(&head->module_count, REGION_MODULES_MAX);
  clamp(&head->code_count, REGION_CODES_MAX);
  clamp(&head->text_bytes, REGION_TEXT_BYTES);
  if (head->site_count <= REGION_CALLS) /* those that stand for stacks without room */
    head->site_count = REGION_CALLS + 1;
  return REGION_READ_OK;
}

/* ---- sites and stacks ---- */

uint32_t region_read_sites(const struct region_source *source, uint32_t first, uint32_t count,
                           struct region_site *out) {
  uint64_t offset = offsetof(struct region, sites) + (uint64_t)first * sizeof(*out);
  if (first > REGION_SITES_MAX || count > REGION_SITES_MAX - first)
    return 0;
  return read_at(source, offset, out, count * sizeof(*out)) ? count : 0;
}

uint32_t region_site_kind(uint32_t index, const struct region_site *site) {
  const uint32_t none = REGION_CALLS + REGION_CALL_COUNT;
  if (index < REGION_CALLS)
    return index;
  if (index == REGION_CALLS || site->state != 1 || site->kind > none)
    return none;
  return site->kind;
}

static bool read_words(const struct region_source *source, const struct region_head *head,
                       uint32_t first, uint32_t count, __u64 *words) {
  if (first > head->word_count || count > head->word_count - first)
    return false;
  return !count || read_at(source, offsetof(struct region, words) + (uint64_t)first * 8, words,
                           count * sizeof(*words));
}

bool region_read_stack(const struct region_source *source, const struct region_head *head,
                       const struct region_site *site, __u64 words[REGION_STACK_WORDS_MAX]) {
  if (site->native_count > NATIVE_FRAMES_MAX || site->python_count > PYTHON_FRAMES_MAX ||
      !(site->native_count + site->python_count) || site->native_tail.count > site->native_count ||
      site->python_tail.count > site->python_count)
    return false;

  uint32_t native_own = site->native_count - site->native_tail.count;
  uint32_t python_own = site->python_count - site->python_tail.count;
  __u64 *python = words + site->native_count;
  return site->word_first <= head->word_count &&
         read_words(source, head, site->word_first, native_own, words) &&
         read_words(source, head, site->native_tail.first, site->native_tail.count,
                    words + native_own) &&
         read_words(source, head, site->word_first + native_own, python_own, python) &&
         read_words(source, head, site->python_tail.first, site->python_tail.count,
                    python + python_own);
}

/* ---- text ---- */

static bool read_text(const struct region_source *source, const struct region_head *head,
                      uint32_t offset, uint32_t bytes, void *out) {
  if (offset > head->text_bytes || bytes > head->text_bytes - offset)
    return false;
  return !bytes || read_at(source, offsetof(struct region, text) + offset, out, bytes);
}

bool region_read_module(const struct region_source *source, const struct region_head *head,
                        uint32_t index, struct region_module_text *out) {
  struct region_module *module = &out->module;
  uint64_t offset = offsetof(struct region, modules) + (uint64_t)index * sizeof(*module);
  if (index >= head->module_count || !read_at(source, offset, module, sizeof(*module)))
    return false;
  if (module->start >= module->end || module->path_bytes >= sizeof(out->path) ||
      module->build_id_bytes > sizeof(out->build_id) ||
      !read_text(source, head, module->path_off, module->path_bytes, out->path) ||
      !read_text(source, head, module->build_id_off, module->build_id_bytes, out->build_id))
    return false;
  out->path[module->path_bytes] = '\0';
  out->build_id_bytes = module->build_id_bytes;
  return strlen(out->path) == module->path_bytes;
}

/* Cut to what an event holds; one that does not hold becomes unreadable, not absent. */
static void take_text(const struct region_source *source, const struct region_head *head,
                      const struct region_text *from, struct code_text *to) {
  bool is_sound = from->kind == 1 || from->kind == 2 || from->kind == 4;
  uint32_t room = is_sound ? CODE_TEXT_MAX / from->kind : 0;
  uint32_t length = from->length < room ? from->length : room;
  *to = (struct code_text){.length = from->length, .kind = from->kind};
  if (!is_sound || !read_text(source, head, from->off, length * from->kind, to->data))
    to->kind = 0;
}

struct event_code *region_read_code(const struct region_source *source,
                                    const struct region_head *head, uint32_t index, size_t *bytes) {
  struct region_code code;
  uint64_t offset = offsetof(struct region, codes) + (uint64_t)index * sizeof(code);
  if (index >= head->code_count || !read_at(source, offset, &code, sizeof(code)) ||
      code.state != 1 || code.lines_bytes > LINES_BYTES_MAX)
    return NULL;
  *bytes = offsetof(struct event_code, lines) + code.lines_bytes;
  size_t room = *bytes > sizeof(struct event_code) ? *bytes : sizeof(struct event_code);
  struct event_code *event = calloc(1, room);
  if (!event)
    return NULL;
  event->type = EVENT_CODE;
  event->version = code.version;
  event->first_line = code.first_line;
  event->flags = code.flags;
  take_text(source, head, &code.name, &event->name);
  take_text(source, head, &code.file, &event->file);
  uint8_t *lines = (uint8_t *)event + offsetof(struct event_code, lines);
  if (read_text(source, head, code.lines_off, code.lines_bytes, lines))
    event->lines_bytes = code.lines_bytes;
  return event;
}

/* ---- events and calls ---- */

/* How many of `count` slots, beginning with that of event `from`, could be read at once. */
static uint64_t read_slots(const struct region_source *source, uint64_t from, uint64_t count,
                           struct region_event *out) {
  uint64_t slot = from % REGION_EVENTS_MAX;
  if (count > EVENT_BATCH)
    count = EVENT_BATCH;
  if (count > REGION_EVENTS_MAX - slot)
    count = REGION_EVENTS_MAX - slot;
  uint64_t offset = offsetof(struct region, events) + slot * sizeof(*out);
  return read_at(source, offset, out, count * sizeof(*out)) ? count : 0;
}

uint64_t region_read_events(const struct region_source *source, const struct region_head *head,
                            uint64_t *next, bool final,
                            void (*callback)(void *context, const struct region_event *event),
                            void *context) {
  struct region_event events[EVENT_BATCH];
  uint64_t end = head->event_count, lost = 0;
  if (end <= *next)
    return 0;
  if (end - *next > REGION_EVENTS_MAX) {
    lost = end - *next - REGION_EVENTS_MAX;
    *next = end - REGION_EVENTS_MAX;
  }
  while (*next < end) {
    uint64_t count = read_slots(source, *next, end - *next, events);
    if (!count)
      return lost + (end - *next);
    for (uint64_t i = 0; i < count; i++, ++*next) {
      bool is_whole = events[i].sequence == *next + 1;
      bool is_coming = !is_whole && events[i].sequence <= *next;
      if (is_coming && !final)
        return lost;
      if (is_whole)
        callback(context, &events[i]);
      else
        lost++;
    }
  }
  return lost;
}

#define QUICK_CALLS (sizeof(((struct region *)0)->quick[0]) / sizeof(uint64_t))

/* Calls that were counted without being timed. */
static void add_quick(const struct region_source *source, uint32_t call,
                      struct region_call_total *total) {
  uint64_t quick[REGION_STRIPES][QUICK_CALLS];
  uint32_t column = call - REGION_CALL_MUTEX_LOCK;
  if (column >= QUICK_CALLS ||
      !read_at(source, offsetof(struct region, quick), quick, sizeof(quick)))
    return;
  for (uint32_t i = 0; i < REGION_STRIPES; i++) {
    total->count += quick[i][column];
    total->buckets[0] += quick[i][column];
  }
}

bool region_read_call(const struct region_source *source, uint32_t call,
                      struct region_call_total *out) {
  if (call >= REGION_CALL_COUNT ||
      !read_at(source, offsetof(struct region, calls) + call * sizeof(*out), out, sizeof(*out)))
    return false;
  add_quick(source, call, out);
  return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a frame is named in flame graphs, and the cleaning of what the target named. */
#include "render/flame_text.h"

#include <stdio.h>
#include <string.h>

#include "analysis/target.h"
#include "base/units.h"
#include "base/utf8.h"

#define UNKNOWN "[unknown] "       /* stands before module+offset when no symbol was found */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static const char *escape(enum flame_place place, uint32_t code) {
  if (place == FLAME_FOLDED)
    return code == ';' ? ":" : NULL;
  if (place != FLAME_XML)
    return NULL;
  switch (code) {
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '&':
    return "&amp;";
  case '"':
    return "&quot;";
  case '\'':
    return "&#39;";
  default:
    return NULL;
  }
}

void flame_put_text(struct buf *buf, enum flame_place place, const char *text) {
  uint32_t code;
  for (size_t bytes; (bytes = utf8_decode(text, &code)) > 0; text += bytes) {
    const char *instead = escape(place, code);
    if (code == '\n' || code == '\t')
      instead = " ";
    else if (code == UTF8_REPLACEMENT || utf8_is_control(code))
      instead = REPLACEMENT;
    if (instead)
      buf_put_text(buf, instead);
    else
      buf_put(buf, text, bytes);
  }
}

const char *flame_short_path(const char *path) {
  const char *base = strrchr(path, '/');
  if (!base)
    return path;
  if (strncmp(base, "/__", 3))
    return base + 1;
  while (base > path && base[-1] != '/')
    base--;
  return base == path && *base == '/' ? base + 1 : base;
}

void flame_put_note(struct buf *buf, enum flame_place place, const struct calltree_note *note) {
  buf_put_text(buf, note->class ? "" : "waiting: ");
  flame_put_text(buf, place, note->class ? note->name : wait_reason_name(note->reason));
  if (!note->class || !*note->object)
    return;
  buf_put_text(buf, " ");
  flame_put_text(buf, place, note->object);
}

const char *flame_tone_name(enum flame_tone tone) {
  static const char *const names[TONES] = {[TONE_SYSCALL] = "system call",
                                           [TONE_FILE] = "file",
                                           [TONE_SOCKET] = "socket",
                                           [TONE_DISK] = "disk",
                                           [TONE_MINOR_FAULT] = "minor fault",
                                           [TONE_MAJOR_FAULT] = "major fault",
                                           [TONE_LOCK] = "lock",
                                           [TONE_GIL_WAIT] = "waiting for the GIL",
                                           [TONE_GIL_HOLD] = "holding the GIL",
                                           [TONE_PROBE] = "probe",
                                           [TONE_PIPE] = "pipe",
                                           [TONE_EVENT] = "event or timer"};
  return (unsigned)tone < TONES ? names[tone] : "other";
}

enum flame_tone flame_note_tone(const struct calltree_note *note) {
  static const struct {
    enum operation_class class;
    const char *beginning;
    enum flame_tone tone;
  } tones[] = {
      {OPERATION_FILE, "", TONE_FILE},
      {OPERATION_SOCKET, "", TONE_SOCKET},
      {OPERATION_BLOCK, "", TONE_DISK},
      {OPERATION_FAULT, "major", TONE_MAJOR_FAULT},
      {OPERATION_FAULT, "", TONE_MINOR_FAULT},
      {OPERATION_LOCK, "waiting for the GIL", TONE_GIL_WAIT},
      {OPERATION_LOCK, "holding the GIL", TONE_GIL_HOLD},
      {OPERATION_LOCK, "", TONE_LOCK},
      {OPERATION_PROBE, "", TONE_PROBE},
  };
  for (size_t i = 0; i < sizeof(tones) / sizeof(tones[0]); i++)
    if (tones[i].class == note->class &&
        !strncmp(note->name, tones[i].beginning, strlen(tones[i].beginning)))
      return tones[i].tone;
  return TONE_SYSCALL;
}

enum flame_tone flame_object_tone(enum object_kind kind) {
  static const enum flame_tone tones[OBJECT_KINDS] = {
      [OBJECT_FILE] = TONE_FILE,   [OBJECT_PIPE] = TONE_PIPE,   [OBJECT_SOCKET] = TONE_SOCKET,
      [OBJECT_EVENT] = TONE_EVENT, [OBJECT_DEVICE] = TONE_FILE, [OBJECT_MEMORY] = TONE_MINOR_FAULT,
      [OBJECT_LOCK] = TONE_LOCK};
  return (unsigned)kind < OBJECT_KINDS ? tones[kind] : TONE_SYSCALL;
}

void flame_put_label(struct buf *buf, enum flame_place place, const struct profile *profile,
                     const struct calltree *tree, const struct calltree_node *node) {
  if (node->note != PROFILE_NONE) {
    flame_put_note(buf, place, &tree->notes[node->note]);
    return;
  }
  if (node->frame == PROFILE_NONE) {
    buf_put_text(buf, "all");
    return;
  }
  const struct profile_function *function = &profile->functions[node->function];
  bool is_short = place != FLAME_FOLDED && !strncmp(function->name, UNKNOWN, strlen(UNKNOWN));
  flame_put_text(buf, place, function->name + (is_short ? strlen(UNKNOWN) : 0));
  if (function->kind != FRAME_PYTHON || !*function->file)
    return;
  buf_put_text(buf, " (");
  flame_put_text(buf, place, flame_short_path(function->file));
  if (function->first_line)
    buf_printf(buf, ":%u", function->first_line);
  buf_put_text(buf, ")");
}

const char *flame_title(const struct profile *profile, const char *title) {
  if (title && *title)
    return title;
  const char *name = target_title(profile);
  return *name ? name : "ragprof";
}

static const char *plain_count(char text[UNITS_TEXT_BYTES], uint64_t value) {
  snprintf(text, UNITS_TEXT_BYTES, "%llu", (unsigned long long)value);
  return text;
}

const char *flame_value(char text[FLAME_VALUE_BYTES], enum calltree_unit unit, uint64_t value) {
  static const struct {
    const char *(*quantity)(char text[UNITS_TEXT_BYTES], uint64_t value);
    const char *rest;
  } units[] = {[CALLTREE_NS] = {units_ns, ""},
               [CALLTREE_BYTES] = {units_bytes, ""},
               [CALLTREE_BYTES_PER_S] = {units_bytes, "/s"},
               [CALLTREE_BYTES_PER_ITERATION] = {units_bytes, " per iteration"},
               [CALLTREE_FAULTS] = {plain_count, " faults"}};
  char quantity[UNITS_TEXT_BYTES];
  snprintf(text, FLAME_VALUE_BYTES, "%s%s", units[unit].quantity(quantity, value),
           units[unit].rest);
  return text;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of frames as the flame graphs show them, made harmless for their place. Symbols come from
 * the target and may hold anything: control characters, broken UTF-8, markup, text direction marks.
 */
#ifndef RAGPROF_RENDER_FLAME_TEXT_H
#define RAGPROF_RENDER_FLAME_TEXT_H

#include "analysis/calltree.h"
#include "base/buf.h"

enum flame_place {
  FLAME_PLAIN,  /* a line of text */
  FLAME_FOLDED, /* a field of the folded format: ';' separates */
  FLAME_XML,    /* text or a quoted attribute of XML */
};

/* Appends `text` as valid UTF-8; what could act on a terminal, a parser or the reading direction is
 * replaced. */
void flame_put_text(struct buf *buf, enum flame_place place, const char *text);

/* Which colour a leaf or a bar has: the page's own numbers, append only together with
 * page/colors.js. */
enum flame_tone {
  TONE_SYSCALL,
  TONE_FILE,
  TONE_SOCKET,
  TONE_DISK,
  TONE_MINOR_FAULT,
  TONE_MAJOR_FAULT,
  TONE_LOCK,
  TONE_GIL_WAIT,
  TONE_GIL_HOLD,
  TONE_PROBE,
  TONE_PIPE,
  TONE_EVENT,
  TONES
};

/* "system call", "file", …; as in page/colors.js. */
const char *flame_tone_name(enum flame_tone tone);
/* Of an operation's note. */
enum flame_tone flame_note_tone(const struct calltree_note *note);
/* Of what a call was done to. */
enum flame_tone flame_object_tone(enum object_kind kind);

/* Appends what a leaf says: "waiting: futex", "read /data/index.faiss". */
void flame_put_note(struct buf *buf, enum flame_place place, const struct calltree_note *note);

/* Appends the label of a node: "function (file.py:12)" for Python (the line of the definition), its
 * note for a leaf that has one, the function's name for the rest; of one without a name
 * "libfoo.so+0x12", in folded stacks after "[unknown] ". */
void flame_put_label(struct buf *buf, enum flame_place place, const struct profile *profile,
                     const struct calltree *tree, const struct calltree_node *node);

/* The last component of a path, with its folder when it says little by itself (__init__.py). */
const char *flame_short_path(const char *path);

/* What the flame graph is about, when no title was asked for: the program, or "ragprof". */
const char *flame_title(const struct profile *profile, const char *title);

/* A value of a call tree with its unit, "1.24 s", "12.0 MiB", "64 B per iteration"; written to
 * `text` and returned. */
#define FLAME_VALUE_BYTES 64
const char *flame_value(char text[FLAME_VALUE_BYTES], enum calltree_unit unit, uint64_t value);

#endif

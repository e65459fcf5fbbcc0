/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads UTF-8 of any origin: what is no character, what would steer a terminal, and how many
 * columns a character takes. */
#ifndef RAGPROF_BASE_UTF8_H
#define RAGPROF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xfffdu

/* Reads the character at `text`, which ends at its NUL. Bytes that are no UTF-8 (overlong forms,
 * surrogates and lone bytes too) yield UTF8_REPLACEMENT. Returns the bytes it took: at least 1,
 * and 0 only at the end. */
size_t utf8_decode(const char *text, uint32_t *code);

/* Characters that change the terminal's state or the direction of text, not fit for display:
 * C0 and C1 controls, line separators, bidirectional controls, the byte order mark. */
bool utf8_is_control(uint32_t code);

/* Columns on a terminal: 0 for combining marks, 2 for East Asian wide characters and emoji, else 1
 * (Unicode 15, the blocks that names are likely to hold). */
int utf8_columns(uint32_t code);
size_t utf8_text_columns(const char *text);

#endif

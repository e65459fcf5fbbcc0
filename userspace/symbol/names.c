/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns which of several names is shown, and how long a name may be. */
#include <string.h>

#include "symbol/internal.h"

void symbol_shorten(char *name) {
  if (strnlen(name, SYMBOL_NAME_MAX_BYTES + 1) <= SYMBOL_NAME_MAX_BYTES)
    return;
  size_t length = SYMBOL_NAME_MAX_BYTES - 3;
  while (length && ((unsigned char)name[length] & 0xc0) == 0x80) /* inside a UTF-8 character */
    length--;
  memcpy(name + length, "...", 4);
}

static int compare_sizes(size_t a, size_t b) {
  return (a < b) - (a > b);
}

int symbol_compare_names(const char *a, const char *b) {
  int result = compare_sizes(strspn(a, "_"), strspn(b, "_"));
  if (!result)
    result = compare_sizes(strlen(a), strlen(b));
  return result ? result : strcmp(b, a);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns "did you mean": the edit distance between a misspelt word and the words that exist. */
#include <string.h>

#include "cli/arguments.h"

#define SUGGEST_WORD_MAX 32

static unsigned smaller(unsigned a, unsigned b) {
  return a < b ? a : b;
}

/* The optimal string alignment distance (Damerau 1964, without editing a swapped pair again). */
static unsigned edit_count(const char *a, const char *b) {
  size_t a_length = strlen(a), b_length = strlen(b);
  unsigned rows[3][SUGGEST_WORD_MAX + 1];
  if (a_length > SUGGEST_WORD_MAX || b_length > SUGGEST_WORD_MAX)
    return SUGGEST_WORD_MAX;
  for (size_t j = 0; j <= b_length; j++)
    rows[0][j] = (unsigned)j;
  for (size_t i = 1; i <= a_length; i++) {
    unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
    row[0] = (unsigned)i;
    for (size_t j = 1; j <= b_length; j++) {
      unsigned replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
      row[j] = smaller(replaced, 1 + smaller(above[j], row[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = smaller(row[j], two_above[j - 2] + 1);
    }
  }
  return rows[a_length % 3][b_length];
}

unsigned suggest_limit(const char *word) {
  size_t length = strlen(word);
  if (length <= 2)
    return 1;
  return length <= 5 ? 2 : 3;
}

void suggest_consider(const char *word, const char *candidate, const char **best,
                      unsigned *best_edits) {
  size_t length = strlen(word);
  unsigned edits = edit_count(word, candidate);
  if (length >= 2 && strncmp(word, candidate, length) == 0)
    edits = 1; /* the beginning of a name is as good as a slip of the finger */
  if (edits < *best_edits) {
    *best = candidate;
    *best_edits = edits;
  }
}

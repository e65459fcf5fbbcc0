/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing of plain arrays whose owner keeps count and capacity. */
#ifndef RAGPROF_BASE_ARRAY_H
#define RAGPROF_BASE_ARRAY_H

#include <stdint.h>
#include <stdlib.h>

/* The array with room for at least one item more than `count`; NULL (the old array stays valid)
 * when memory ran out. */
static inline void *array_grown(void *array, uint32_t count, uint32_t *capacity,
                                size_t item_bytes) {
  if (count < *capacity)
    return array;
  if (*capacity > UINT32_MAX / 2)
    return NULL;
  uint32_t bigger = *capacity ? *capacity * 2 : 64;
  void *grown = reallocarray(array, bigger, item_bytes);
  if (grown)
    *capacity = bigger;
  return grown;
}

#endif

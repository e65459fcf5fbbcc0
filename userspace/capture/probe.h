/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a probe goes that `--iteration` names: "uprobe:FILE:SYMBOL[+OFFSET]" or
 * "usdt:FILE:PROVIDER:NAME". */
#ifndef RAGPROF_CAPTURE_PROBE_H
#define RAGPROF_CAPTURE_PROBE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_PLACES_MAX 16

struct probe {
  char path[PATH_MAX];
  char symbol[256]; /* "": the places are file offsets */
  uint32_t place_count;
  struct probe_place {
    uint64_t offset;           /* in the file, or from the symbol */
    uint64_t semaphore_offset; /* in the file; 0: none */
  } places[PROBE_PLACES_MAX];
};

/* Whether a spec is one of a probe. */
bool probe_is_spec(const char *spec);

/* 0, or -EINVAL, -ENOENT, … with the cause in error_text(). */
int probe_find(struct probe *probe, const char *spec);

/* Fills in the places of a USDT point of an open file. 0 or -ENOENT. */
int probe_find_usdt(struct probe *probe, int fd, const char *provider, const char *name);

#endif

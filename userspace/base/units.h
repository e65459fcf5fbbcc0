/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quantities as people write and read them. */
#ifndef RAGPROF_BASE_UNITS_H
#define RAGPROF_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* "30", "30s", "1.5s", "500ms", "5m", "2h" (no unit: seconds). 0 or -EINVAL. */
int units_parse_duration(const char *text, uint64_t *ns);
/* A whole decimal number. 0, -EINVAL or -ERANGE. */
int units_parse_count(const char *text, uint64_t *value);

/* Short forms with a unit, 3 significant digits: "1.24 s", "310 ms", "12.0 µs"; "1.5 MiB";
 * written to `text` and returned. */
#define UNITS_TEXT_BYTES 32
const char *units_ns(char text[UNITS_TEXT_BYTES], uint64_t ns);
const char *units_bytes(char text[UNITS_TEXT_BYTES], uint64_t bytes);

#endif

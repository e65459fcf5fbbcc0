/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading and writing of quantities with their units. */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
  const char *name;
  uint64_t size; /* in ns or bytes */
};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int units_parse_count(const char *text, uint64_t *value) {
  uint64_t sum = 0;
  if (!is_digit(*text))
    return -EINVAL;
  bool too_big = false;
  for (; is_digit(*text); text++)
    too_big |= __builtin_mul_overflow(sum, 10, &sum) ||
               __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum);
  if (*text)
    return -EINVAL;
  if (too_big)
    return -ERANGE;
  *value = sum;
  return 0;
}

static const struct unit *duration_unit(const char *name) {
  static const struct unit units[] = {
      {"", NS_PER_S},    {"s", NS_PER_S},      {"ms", NS_PER_MS},      {"us", NS_PER_US},
      {"µs", NS_PER_US}, {"m", 60 * NS_PER_S}, {"min", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
  };
  for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
    if (!strcmp(name, units[i].name))
      return &units[i];
  return NULL;
}

/* Digits, optionally a point and digits, then the unit. Beyond nanoseconds digits count nothing. */
int units_parse_duration(const char *text, uint64_t *ns) {
  const char *end = text + strspn(text, "0123456789");
  const char *fraction = end;
  const char *fraction_end = end;
  if (end == text)
    return -EINVAL;
  if (*end == '.') {
    fraction = end + 1;
    fraction_end = fraction + strspn(fraction, "0123456789");
    if (fraction_end == fraction)
      return -EINVAL;
  }
  const struct unit *unit = duration_unit(fraction_end);
  if (!unit)
    return -EINVAL;
  uint64_t value = 0;
  for (; text < end; text++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
      return -EINVAL;
  if (__builtin_mul_overflow(value, unit->size, &value))
    return -EINVAL;
  uint64_t place = unit->size;
  uint64_t part = 0;
  for (; fraction < fraction_end && place > 0; fraction++) {
    part += place * (uint64_t)(*fraction - '0') / 10;
    place /= 10;
  }
  return __builtin_add_overflow(value, part, ns) ? -EINVAL : 0;
}

/* The largest unit that leaves at least 1, with as many decimals as make three digits. */
static const char *write_quantity(char text[UNITS_TEXT_BYTES], uint64_t value,
                                  const struct unit *units, size_t count, double limit) {
  size_t i = 0;
  double scaled = (double)value;
  while (i + 1 < count && (value >= units[i + 1].size || scaled >= limit)) {
    i++;
    scaled = (double)value / (double)units[i].size;
  }
  int decimals = i == 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  snprintf(text, UNITS_TEXT_BYTES, "%.*f %s", decimals, scaled, units[i].name);
  return text;
}

const char *units_ns(char text[UNITS_TEXT_BYTES], uint64_t ns) {
  static const struct unit units[] = {
      {"ns", 1},       {"µs", NS_PER_US},      {"ms", NS_PER_MS},
      {"s", NS_PER_S}, {"min", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
  };
  if (ns >= NS_PER_S && ns < 600 * NS_PER_S) /* seconds stay the familiar unit for minutes */
    return write_quantity(text, ns, units, 4, 999.5);
  return write_quantity(text, ns, units, 6, 999.5);
}

const char *units_bytes(char text[UNITS_TEXT_BYTES], uint64_t bytes) {
  static const struct unit units[] = {
      {"B", 1},
      {"KiB", 1ull << 10},
      {"MiB", 1ull << 20},
      {"GiB", 1ull << 30},
      {"TiB", 1ull << 40},
      {"PiB", 1ull << 50},
  };
  return write_quantity(text, bytes, units, 6, 1023.5);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds any bytes as a line table to each format's reader: version, first line and address come
 * first, the rest is the table. */
#include <stdint.h>
#include <string.h>

#include "unwind/cpython.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint32_t versions[] = {0x0308, 0x030a, 0x030b, 0x030d};
  struct {
    uint32_t first_line;
    uint8_t version;
    int64_t address;
  } __attribute__((packed)) head;
  if (size < sizeof(head))
    return 0;
  memcpy(&head, data, sizeof(head));
  (void)cpython_line(versions[head.version & 3], data + sizeof(head), size - sizeof(head),
                     head.first_line, head.address);
  return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds any bytes as an ELF file to the search for an interpreter, and as _Py_DebugOffsets. The
 * corpus best begins with a small real file: the reader wants an ELF header. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unwind/cpython.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct cpython_binary binary;
  struct python_offsets offsets = *cpython_offsets(0x030d);
  (void)cpython_offsets_refine(&offsets, 0x030d, data, size);
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0)
    return 0;
  if (write(fd, data, size) == (ssize_t)size)
    (void)cpython_probe(&binary, fd, "libpython3.13.so");
  close(fd);
  return 0;
}

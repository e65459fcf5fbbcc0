/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's own memory: anonymous mappings, made by system calls so that no hook and no allocator
 * of the target sees them. Hands out whole mappings only. */
#include <sys/mman.h>

#include "sys.h"
#include "thread.h"

bool shim_sealed;
static uint64_t held_bytes;

void shim_memory_tell(void) {
  __atomic_store_n(&shim_region->shim_bytes, __atomic_load_n(&held_bytes, __ATOMIC_RELAXED),
                   __ATOMIC_RELAXED);
}

static void held(int64_t bytes) {
  __atomic_add_fetch(&held_bytes, bytes, __ATOMIC_RELAXED);
  if (shim_region)
    shim_memory_tell();
}

void *shim_map(size_t bytes) {
  long address = shim_syscall(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (address < 0 && address > -4096)
    return NULL;
  shim_syscall(SYS_madvise, address, bytes, MADV_DONTDUMP);
  held((int64_t)bytes);
  return (void *)address;
}

void *shim_map_wiped(size_t bytes) {
  void *memory = shim_map(bytes);

  if (memory && shim_syscall(SYS_madvise, memory, bytes, MADV_WIPEONFORK) < 0) {
    shim_unmap(memory, bytes);
    return NULL;
  }
  return memory;
}

void shim_unmap(void *memory, size_t bytes) {
  if (!memory)
    return;
  shim_syscall(SYS_munmap, memory, bytes);
  held(-(int64_t)bytes);
}

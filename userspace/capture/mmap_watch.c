/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the perf ring buffers of a dummy event that carries nothing but mmap records. */
#include "capture/mmap_watch.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "capture/cpus.h"

#define RING_BYTES (16 * 4096)
#define PAGE_BYTES 4096

struct watch_ring {
  int fd;
  struct perf_event_mmap_page *page;
};

struct mmap_watch {
  struct watch_ring *rings;
  int count;
};

static int open_ring(struct watch_ring *ring, int cpu, int epoll_fd) {
  struct perf_event_attr attr = {
      .type = PERF_TYPE_SOFTWARE,
      .config = PERF_COUNT_SW_DUMMY,
      .size = sizeof(attr),
      .mmap = 1,
      .mmap2 = 1,
      .watermark = 1,
      .wakeup_watermark = 1,
  };
  ring->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
  if (ring->fd < 0)
    return error_errno("cannot watch for new mappings on CPU %d", cpu);
  void *page = mmap(NULL, PAGE_BYTES + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
  if (page == MAP_FAILED)
    return error_errno("cannot map the records of CPU %d", cpu);
  ring->page = page;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = ring->fd};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ring->fd, &event))
    return error_errno("epoll_ctl");
  return 0;
}

int mmap_watch_new(struct mmap_watch **out, int epoll_fd) {
  struct mmap_watch *watch = calloc(1, sizeof(*watch));
  int cpus[CPUS_MAX];
  int count = cpus_online(cpus);
  if (count < 0 || !watch || !(watch->rings = calloc((size_t)count, sizeof(*watch->rings)))) {
    mmap_watch_free(watch);
    return count < 0 ? count : error_set(ENOMEM, "out of memory");
  }
  for (int i = 0; i < count; i++) {
    watch->count++;
    int result = open_ring(&watch->rings[i], cpus[i], epoll_fd);
    if (result) {
      mmap_watch_free(watch);
      return result;
    }
  }
  *out = watch;
  return 0;
}

void mmap_watch_free(struct mmap_watch *watch) {
  if (!watch)
    return;
  for (int i = 0; i < watch->count; i++) {
    if (watch->rings[i].page)
      munmap(watch->rings[i].page, PAGE_BYTES + RING_BYTES);
    if (watch->rings[i].fd >= 0)
      close(watch->rings[i].fd);
  }
  free(watch->rings);
  free(watch);
}

/* Copies out of the ring, which wraps around. */
static void copy_out(const struct watch_ring *ring, uint64_t at, void *to, size_t bytes) {
  const uint8_t *data = (const uint8_t *)ring->page + PAGE_BYTES;
  for (size_t i = 0; i < bytes; i++)
    ((uint8_t *)to)[i] = data[(at + i) % RING_BYTES];
}

static void drain_ring(struct watch_ring *ring, void (*callback)(void *context, uint32_t pid),
                       void *context) {
  uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
  uint64_t at = ring->page->data_tail;
  while (head - at >= sizeof(struct perf_event_header)) {
    struct {
      struct perf_event_header header;
      uint32_t pid;
    } record;
    copy_out(ring, at, &record, sizeof(record));
    if (record.header.size < sizeof(record.header))
      break;
    if (record.header.type == PERF_RECORD_MMAP2 || record.header.type == PERF_RECORD_MMAP)
      callback(context, record.pid);
    at += record.header.size;
  }
  __atomic_store_n(&ring->page->data_tail, head, __ATOMIC_RELEASE);
}

void mmap_watch_drain(struct mmap_watch *watch, void (*callback)(void *context, uint32_t pid),
                      void *context) {
  for (int i = 0; i < watch->count; i++)
    drain_ring(&watch->rings[i], callback, context);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes the reading of regions: the input is laid over a region in which everything claims to be
 * in use, at the places that it names, and all of it is read as a capture would. A read outside of
 * the region or of a buffer is what the sanitizers are to find. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "capture/shim_region.h"

#define PATCHES_MAX 64
#define READ_MAX 64 /* of each table */

/* Where a patch goes: a table, or anywhere in the head. */
static const struct {
  size_t offset, item_bytes;
  uint32_t count;
} tables[] = {
    {0, 8, offsetof(struct region, calls) / 8},
    {offsetof(struct region, sites), sizeof(struct region_site), READ_MAX},
    {offsetof(struct region, modules), sizeof(struct region_module), READ_MAX},
    {offsetof(struct region, codes), sizeof(struct region_code), READ_MAX},
    {offsetof(struct region, events), sizeof(struct region_event), REGION_EVENTS_MAX},
    {offsetof(struct region, words), 8, 4096},
    {offsetof(struct region, text), 1, 65536},
};

static uint64_t sink;

static void on_event(void *context, const struct region_event *event) {
  (void)context;
  sink += event->value + event->site;
}

static void read_all(const struct region_source *source) {
  struct region_head head;
  struct region_site sites[READ_MAX];
  struct region_call_total total;
  static struct region_module_text module;
  static __u64 words[REGION_STACK_WORDS_MAX];
  uint64_t next = 0;
  if (region_read_head(source, &head) != REGION_READ_OK)
    return;
  uint32_t count = head.site_count < READ_MAX ? head.site_count : READ_MAX;
  for (uint32_t i = region_read_sites(source, 0, count, sites); i-- > 0;) {
    sink += region_site_kind(i, &sites[i]);
    if (region_read_stack(source, &head, &sites[i], words))
      sink += words[(uint32_t)sites[i].native_count + sites[i].python_count - 1];
  }
  for (uint32_t i = 0; i < READ_MAX; i++) {
    size_t bytes;
    if (region_read_module(source, &head, i, &module))
      sink += strlen(module.path) + module.build_id_bytes;
    struct event_code *code = region_read_code(source, &head, i, &bytes);
    if (code)
      sink += ((uint8_t *)code)[bytes - 1] + code->name.data[CODE_TEXT_MAX - 1];
    free(code);
  }
  sink += region_read_events(source, &head, &next, false, on_event, NULL);
  sink += region_read_events(source, &head, &next, true, on_event, NULL);
  for (uint32_t i = 0; i <= REGION_CALL_COUNT; i++)
    if (region_read_call(source, i, &total))
      sink += total.count;
}

static struct region *fresh(void) {
  static struct region *region;
  if (!region)
    region = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  else
    madvise(region, sizeof(*region), MADV_DONTNEED);
  region->magic = REGION_MAGIC;
  region->version = REGION_VERSION;
  region->bytes = sizeof(*region);
  region->state = REGION_RUNNING;
  memset(&region->site_count, 0xff, 5 * sizeof(uint32_t));
  return region;
}

/* u8 table, u16 item, u8 offset in it, then eight bytes to put there. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  struct region *region = fresh();
  struct region_source source = {.fd = -1, .data = (uint8_t *)region, .bytes = sizeof(*region)};
  if (bytes >= 4 && data[0] & 0x80) { /* cut short */
    uint32_t cut;
    memcpy(&cut, data, sizeof(cut));
    source.bytes = cut % sizeof(*region);
  }
  for (int i = 0; i < PATCHES_MAX && bytes >= 12; i++, data += 12, bytes -= 12) {
    size_t table = (data[0] & 0x7f) % (sizeof(tables) / sizeof(tables[0]));
    size_t item = (data[1] | (size_t)data[2] << 8) % tables[table].count;
    size_t at = tables[table].offset + item * tables[table].item_bytes +
                (data[3] * 8u) % (tables[table].item_bytes > 8 ? tables[table].item_bytes : 8);
    memcpy((uint8_t *)region + at, data + 4, 8);
  }
  read_all(&source);
  return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This process's file in the session's folder: makes and maps it, makes room in it before it is
 * touched, and appends text and events. Keeps no descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "sys.h"
#include "thread.h"

#define PAGE_BYTES 4096u
#define STEP_BYTES (4 * PAGE_BYTES) /* room is made in these */
#define STEPS ((sizeof(struct region) + STEP_BYTES - 1) / STEP_BYTES)
#define FILES_MAX 1000u /* of one PID, in one session */

struct region *shim_region;
uint32_t shim_region_serial;

struct file {
  struct region *region;
  uint64_t steps_made[(STEPS + 63) / 64]; /* a bit each */
};

static struct file own;
static struct file spare; /* see shim_region_spare */
static uint32_t spare_is_made;

/* Once the file system is full: requests that are turned down before it is asked again. */
#define REFUSALS 4096u
static uint32_t refusals;

/* Has the kernel write to a page on our behalf, which fails where our own write would be a SIGBUS.
 * Adds 0, so that what other threads write there is kept. */
static bool touch_page(const uint8_t *page) {
  return shim_syscall(SYS_futex, page, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, page,
                      FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
}

static bool make_step(const struct region *region, size_t step) {
  const uint8_t *start = (const uint8_t *)region + step * STEP_BYTES;

#ifdef MADV_POPULATE_WRITE /* Linux 5.14 */
  if (shim_syscall(SYS_madvise, start, STEP_BYTES, MADV_POPULATE_WRITE) == 0)
    return true;
#endif
  for (size_t off = 0; off < STEP_BYTES; off += PAGE_BYTES)
    if (!touch_page(start + off))
      return false;
  return true;
}

static bool is_refused(void) {
  uint32_t left = __atomic_load_n(&refusals, __ATOMIC_RELAXED);

  if (left)
    __atomic_store_n(&refusals, left - 1, __ATOMIC_RELAXED);
  return left != 0;
}

static inline bool make_room(struct file *file, const void *data, size_t bytes) {
  size_t off = (size_t)((const uint8_t *)data - (const uint8_t *)file->region);

  for (size_t step = off / STEP_BYTES; step * STEP_BYTES < off + bytes; step++) {
    uint64_t bit = 1ull << step % 64;
    uint64_t *word = &file->steps_made[step / 64];
    if (SHIM_LIKELY(__atomic_load_n(word, __ATOMIC_ACQUIRE) & bit))
      continue;
    if (is_refused())
      return false;
    if (!make_step(file->region, step)) {
      __atomic_store_n(&refusals, REFUSALS, __ATOMIC_RELAXED);
      return false;
    }
    __atomic_fetch_or(word, bit, __ATOMIC_RELEASE);
  }
  return true;
}

bool shim_region_room(const void *data, size_t bytes) {
  return make_room(&own, data, bytes);
}

/* Appends a number in decimal; the end. */
static char *put_number(char *to, uint32_t number) {
  char digits[10];
  int count = 0;

  do
    digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count)
    *to++ = digits[--count];
  *to = 0;
  return to;
}

/* "FOLDER/PID.": where to put N. */
static char *put_path(char *path) {
  const char *from = shim_config.folder;

  while (*from)
    *path++ = *from++;
  *path++ = '/';
  path = put_number(path, (uint32_t)shim_syscall(SYS_getpid));
  *path++ = '.';
  return path;
}

/* A file that may not grow so large kills the one who tries by SIGXFSZ. */
static bool size_is_allowed(void) {
  struct rlimit limit;

  return shim_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) < 0 ||
         limit.rlim_cur >= sizeof(struct region);
}

static int open_new(void) {
  char path[sizeof(shim_config.folder) + 32];
  char *number = put_path(path);
  long descriptor = -1;

  for (uint32_t n = 0; n < FILES_MAX; n++) {
    put_number(number, n);
    descriptor = shim_syscall(SYS_openat, AT_FDCWD, path,
                              O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor != -EEXIST)
      break;
  }
  if (descriptor < 0)
    return -1;
  if (shim_syscall(SYS_ftruncate, descriptor, sizeof(struct region)) == 0)
    return (int)descriptor;
  shim_syscall(SYS_unlink, path);
  shim_syscall(SYS_close, descriptor);
  return -1;
}

static struct region *map_new(void) {
  int descriptor = size_is_allowed() ? open_new() : -1;
  if (descriptor < 0)
    return NULL;

  size_t bytes = STEPS * STEP_BYTES;
  long address =
      shim_syscall(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  shim_syscall(SYS_close, descriptor);
  if (address < 0 && address > -PAGE_BYTES)
    return NULL;
  shim_syscall(SYS_madvise, address, bytes, MADV_DONTDUMP);
  return (struct region *)address;
}

static uint32_t kinds_counted(void) {
  uint32_t kinds = 0;

  if (shim_config.alloc != SHIM_OFF)
    kinds |= 1u << REGION_MALLOC | 1u << REGION_MAP | 1u << REGION_BREAK;
  if (shim_config.python != SHIM_OFF)
    kinds |= 1u << REGION_PYTHON;
  if (shim_config.cpu_hz)
    kinds |= 1u << REGION_CPU;
  if (shim_config.calls)
    kinds |= 1u << REGION_CALLS;
  return kinds;
}

static void describe(struct region *region) {
  region->magic = REGION_MAGIC;
  region->version = REGION_VERSION;
  region->bytes = sizeof(*region);
  region->pid = (uint32_t)shim_syscall(SYS_getpid);
  region->parent_pid = (uint32_t)shim_syscall(SYS_getppid);
  region->start_ns = shim_now_ns();
  region->alloc_interval_bytes = shim_config.alloc == SHIM_SAMPLED ? shim_config.interval_bytes : 0;
  region->python_interval_bytes =
      shim_config.python == SHIM_SAMPLED ? shim_config.interval_bytes : 0;
  region->kinds = kinds_counted();
  region->cpu_hz = shim_config.cpu_hz;
  shim_syscall(SYS_prctl, PR_GET_NAME, region->name);
  region->site_count = REGION_CALLS + 1;
}

/* The sites for stacks that find no room. */
static void make_common_sites(struct region *region) {
  for (uint32_t kind = 0; kind <= REGION_CALLS; kind++) {
    region->sites[kind].hash = kind + 1;
    region->sites[kind].kind = kind;
    region->sites[kind].state = 1;
  }
}

static void unmap(struct file *file) {
  if (file->region)
    shim_syscall(SYS_munmap, file->region, STEPS * STEP_BYTES);
  file->region = NULL;
}

/* A new file with room for what every region has. */
static bool open_file(struct file *file) {
  struct region *region = map_new();
  if (!region)
    return false;

  size_t fixed =
      shim_config.calls ? offsetof(struct region, modules) : offsetof(struct region, calls);
  memset(file->steps_made, 0, sizeof(file->steps_made));
  file->region = region;
  refusals = 0;
  if (make_room(file, region, fixed) &&
      make_room(file, region->sites, (REGION_CALLS + 1) * sizeof(region->sites[0])))
    return true;
  unmap(file);
  return false;
}

/* Counting goes to the own file from here on. */
static void begin(void) {
  struct region *region = own.region;

  describe(region);
  make_common_sites(region);
  shim_sites_start();
  shim_region_serial++;
  shim_region = region;
  shim_memory_tell();
  __atomic_store_n(&region->state, REGION_RUNNING, __ATOMIC_RELEASE);
}

bool shim_region_start(void) {
  if (!open_file(&own))
    return false;
  begin();
  return true;
}

void shim_region_spare(void) {
  if (__atomic_exchange_n(&spare_is_made, 1, __ATOMIC_RELAXED))
    return;
  if (!open_file(&spare))
    spare.region = NULL;
}

/* The first child to come has it. */
static bool take_spare(void) {
  uint32_t nobody = 0, pid = (uint32_t)shim_syscall(SYS_getpid);

  if (!spare.region || !__atomic_compare_exchange_n(&spare.region->pid, &nobody, pid, false,
                                                    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return false;
  own = spare;
  spare.region = NULL;
  return true;
}

bool shim_region_forked(void) {
  struct region *parents = own.region;
  bool has_own = open_file(&own) || take_spare();

  if (!has_own) /* it is told where it still can be */
    __atomic_add_fetch(&parents->lost_threads, 1, __ATOMIC_RELAXED);
  shim_region = NULL;
  shim_syscall(SYS_munmap, parents, STEPS * STEP_BYTES);
  unmap(&spare);
  spare_is_made = 0;
  if (has_own)
    begin();
  return has_own;
}

uint32_t shim_region_text(const void *data, size_t bytes) {
  uint32_t *used = &shim_region->text_bytes;
  uint32_t off = __atomic_load_n(used, __ATOMIC_RELAXED);

  do
    if (bytes > REGION_TEXT_BYTES - off || !shim_region_room(shim_region->text + off, bytes))
      return UINT32_MAX;
  while (!__atomic_compare_exchange_n(used, &off, off + (uint32_t)bytes, true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED));
  memcpy(shim_region->text + off, data, bytes);
  return off;
}

void shim_region_event(const struct region_event *event) {
  uint64_t number = __atomic_fetch_add(&shim_region->event_count, 1, __ATOMIC_RELAXED);
  struct region_event *slot = &shim_region->events[number % REGION_EVENTS_MAX];
  struct region_event filled = *event;

  if (!shim_region_room(slot, sizeof(*slot)))
    return;
  __atomic_exchange_n(&slot->sequence, 0, __ATOMIC_ACQUIRE); /* before the fields */
  filled.sequence = 0;
  *slot = filled;
  __atomic_store_n(&slot->sequence, number + 1, __ATOMIC_RELEASE);
}

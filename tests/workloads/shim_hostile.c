/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A target that works against its profiler: the first argument says how. All leave with status 0,
 * having done to their region, or to the session's folder, what no shim would. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../preload/region.h"
#include "workload.h"

static char folder[256];

static void find_folder(void) {
  const char *text = getenv(REGION_ENVIRONMENT);
  if (!text)
    exit(2);
  snprintf(folder, sizeof(folder), "%.*s", (int)strcspn(text, " "), text);
}

static const char *in_folder(const char *name) {
  static char path[512];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  return path;
}

static uint64_t random_word(void) {
  static uint64_t state = 88172645463325252ull;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* A region of our own making, which claims to be this process's. */
static int make_region(struct region **out) {
  int fd = open(in_folder("1.0"), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(struct region)))
    exit(3);
  struct region *region = mmap(NULL, sizeof(*region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (region == MAP_FAILED)
    exit(3);
  region->magic = REGION_MAGIC;
  region->version = REGION_VERSION;
  region->bytes = sizeof(*region);
  region->pid = (uint32_t)getpid();
  region->start_ns = wall_ns();
  region->kinds = ~0u;
  strcpy(region->name, "hostile");
  *out = region;
  return fd;
}

static void start(struct region *region) {
  __atomic_store_n(&region->state, REGION_RUNNING, __ATOMIC_RELEASE);
  usleep(400000);
}

/* Every count beyond its table, every index and offset out of range. */
static void counts(void) {
  struct region *region;
  make_region(&region);
  memset(&region->site_count, 0xff, 5 * sizeof(uint32_t));
  region->event_count = ~0ull;
  for (uint32_t i = 0; i < 4096; i++) {
    struct region_site *site = &region->sites[i];
    for (size_t w = 0; w < sizeof(*site) / 8; w++)
      ((uint64_t *)site)[w] = random_word();
    site->state = 1;
    site->kind = i % 40;
    site->native_count = i % 3 ? (uint16_t)(i % 64) : 0xffff;
    site->python_count = i % 5 ? (uint16_t)(i % 8) : 0xffff;
    site->word_first = i % 2 ? i : 0xfffffff0u;
  }
  for (uint32_t i = 0; i < 8192; i++)
    region->words[i] = i % 2 ? random_word() : (uint64_t)(i % 300) << 40 | i;
  for (uint32_t i = 0; i < 256; i++) {
    for (size_t w = 0; w < sizeof(region->modules[0]) / 8; w++)
      ((uint64_t *)&region->modules[i])[w] = random_word() >> (i % 3 ? 32 : 0);
    for (size_t w = 0; w < sizeof(region->codes[0]) / 8; w++)
      ((uint64_t *)&region->codes[i])[w] = random_word() >> (i % 3 ? 32 : 0);
    region->codes[i].state = 1;
    region->codes[i].name = (struct region_text){.off = ~0u, .length = ~0u, .kind = i % 5};
  }
  for (uint64_t i = 0; i < REGION_EVENTS_MAX; i++) {
    struct region_event *event = &region->events[i];
    uint64_t number = ~0ull - REGION_EVENTS_MAX + i;
    *event = (struct region_event){.value = ~0ull,
                                   .site = (uint32_t)random_word(),
                                   .type = i % 5,
                                   .call = (uint32_t)i % 40,
                                   .tid = (uint32_t)random_word()};
    region->events[number % REGION_EVENTS_MAX].sequence = number + 1;
  }
  start(region);
}

static void garbage(void) {
  struct region *region;
  make_region(&region);
  start(region);
  for (size_t at = 0; at < sizeof(*region) / 8; at += 512)
    ((uint64_t *)region)[at] = random_word();
  usleep(300000);
}

static void cut_short(void) {
  struct region *region;
  int fd = make_region(&region);
  region->site_count = 100000;
  region->event_count = 1000;
  start(region);
  for (off_t bytes = sizeof(*region); bytes > 0; bytes = bytes / 3) {
    if (ftruncate(fd, bytes))
      exit(3);
    usleep(50000);
  }
}

/* What is no region, under names that regions have. */
static void clutter(void) {
  char name[64];
  if (symlink("/etc/passwd", in_folder("2.0")) || mkdir(in_folder("3.0"), 0700) ||
      mkfifo(in_folder("4.0"), 0600) || symlink("/dev/zero", in_folder("5.0")))
    exit(3);
  for (int i = 0; i < 500; i++) {
    snprintf(name, sizeof(name), "%d.%d", 100 + i, i);
    close(open(in_folder(name), O_CREAT | O_RDWR, 0600));
  }
  int fd = open(in_folder("6.0"), O_CREAT | O_RDWR, 0600);
  if (ftruncate(fd, 1ll << 40))
    errno = 0;
  usleep(400000);
}

/* A region that another user made in the name of this process. */
static void owner(void) {
  struct region *region;
  int fd = make_region(&region);
  region->sites[0].allocations = 424242;
  if (fchown(fd, 65533, 65533))
    exit(3);
  start(region);
}

/* The shim's own region, written over while it counts. */
static void overwrite(void) {
  char line[512], path[256];
  free(malloc(100));
  FILE *maps = fopen("/proc/self/maps", "r");
  bool found = false;
  while (maps && !found && fgets(line, sizeof(line), maps)) {
    unsigned long start_at, end_at;
    found = sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &start_at, &end_at, path) == 3 &&
            strstr(path, "/" REGION_FOLDER_PREFIX);
    if (found)
      for (unsigned long at = start_at; at < start_at + 4096; at += 8)
        *(uint64_t *)at ^= at % 64 ? random_word() : 0;
  }
  /* without a hook: what the shim makes of it is not the question */
  syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = 300000000}, NULL);
  syscall(SYS_exit_group, found ? 0 : 4);
}

static void gone(void) {
  char other[sizeof(folder) + 8];
  snprintf(other, sizeof(other), "%s-gone", folder);
  if (rename(folder, other))
    exit(3);
  usleep(300000);
  if (rename(other, folder))
    exit(3);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*act)(void);
  } acts[] = {{"counts", counts},   {"garbage", garbage}, {"cut", cut_short},
              {"clutter", clutter}, {"owner", owner},     {"overwrite", overwrite},
              {"gone", gone}};
  find_folder();
  for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
    if (argc > 1 && !strcmp(argv[1], acts[i].name)) {
      acts[i].act();
      return 0;
    }
  return 2;
}

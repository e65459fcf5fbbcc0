/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's Python frames against what Python itself takes for the stack: interpreters of all
 * versions run tests/python/shim_stacks.py with the library preloaded, and the region is read from
 * outside. Skips those that the machine lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpython_testing.h"
#include "ragprof.h"
#include "region.h"
#include "unwind/cpython.h"

#define TEXT_MAX 4096
#define PROBES_MIN 100

struct expected_frame {
  char name[TEXT_MAX / 4];
  char file[TEXT_MAX / 4];
  uint32_t line;
};

struct probe {
  int pid;
  uint64_t bytes;
  uint32_t frame_count;
  struct expected_frame frames[1100];
};

/* ---- the region ---- */

static const struct region *open_region(const char *folder, int pid) {
  char path[TEXT_MAX];
  snprintf(path, sizeof(path), "%s/%d.0", folder, pid);
  int file = open(path, O_RDONLY);
  if (file < 0)
    return NULL;
  const struct region *region = mmap(NULL, sizeof(*region), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return region == MAP_FAILED ? NULL : region;
}

/* The site of one allocation of that size. Another one may have taken the place in the counts: none
 * of these sizes is made anywhere else. */
static const struct region_site *find_site(const struct region *region, uint64_t bytes) {
  for (uint32_t i = REGION_CALLS + 1;
       i < REGION_SITES_MAX && i <= region->site_count + REGION_CALLS; i++)
    if (region->sites[i].kind == REGION_MALLOC && region->sites[i].allocations == 1 &&
        region->sites[i].allocated_bytes == bytes)
      return &region->sites[i];
  return NULL;
}

static size_t put_utf8(char *to, uint32_t c) {
  if (c < 0x80) {
    to[0] = (char)c;
    return 1;
  }
  size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
  to[0] = (char)(marks[more] | c >> 6 * more);
  for (size_t i = 1; i <= more; i++)
    to[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
  return more + 1;
}

static void read_text(const struct region *region, struct region_text text, char *out) {
  size_t at = 0;
  for (uint32_t i = 0; i < text.length && at < TEXT_MAX / 4 - 8; i++) {
    uint32_t c = 0;
    memcpy(&c, region->text + text.off + i * text.kind, text.kind);
    at += put_utf8(out + at, c);
  }
  out[at] = 0;
}

/* ---- the comparison ---- */

static bool is_frame(const struct region *region, uint64_t word, const struct expected_frame *frame,
                     bool is_leaf) {
  char name[TEXT_MAX / 4], file[TEXT_MAX / 4];
  uint32_t number = PYTHON_FRAME_CODE(word);
  if (!number || number > region->code_count || region->codes[number - 1].state != 1)
    return false;
  const struct region_code *code = &region->codes[number - 1];
  read_text(region, code->name, name);
  read_text(region, code->file, file);
  uint32_t line = cpython_line(code->version, region->text + code->lines_off, code->lines_bytes,
                               code->first_line, PYTHON_FRAME_ADDRESS(word));
  if (!strcmp(name, frame->name) && !strcmp(file, frame->file) && (is_leaf || line == frame->line))
    return true;
  print_message("  %s %s:%u instead of %s %s:%u\n", name, file, line, frame->name, frame->file,
                frame->line);
  return false;
}

static bool is_same(const struct region *region, const struct probe *probe) {
  const struct region_site *site = find_site(region, probe->bytes);
  if (!site) {
    print_message("  no site of %lu bytes\n", (unsigned long)probe->bytes);
    return false;
  }
  uint32_t own = site->python_count - site->python_tail.count;
  const uint64_t *words =
      region->words + site->word_first + site->native_count - site->native_tail.count;
  const uint64_t *tail = region->words + site->python_tail.first;
  uint32_t at = 0;
  for (uint32_t i = 0; i < site->python_count; i++) {
    uint64_t word = i < own ? words[i] : tail[i - own];
    uint32_t number = PYTHON_FRAME_CODE(word);
    if (number && region->codes[number - 1].flags & CPYTHON_CODE_IS_SHIM)
      continue;
    if (at == probe->frame_count || !is_frame(region, word, &probe->frames[at], at == 0))
      return false;
    at++;
  }
  if (at != probe->frame_count || site->python_end != WALK_ROOT)
    print_message("  %u frames of %u, end %u\n", at, probe->frame_count, site->python_end);
  return at == probe->frame_count && site->python_end == WALK_ROOT;
}

static bool read_probe(FILE *output, struct probe *probe) {
  char line[TEXT_MAX];
  if (!fgets(line, sizeof(line), output) ||
      sscanf(line, "P %d %lu %u", &probe->pid, &probe->bytes, &probe->frame_count) != 3)
    return false;
  assert_true(probe->frame_count <= sizeof(probe->frames) / sizeof(probe->frames[0]));
  for (uint32_t i = 0; i < probe->frame_count; i++) {
    struct expected_frame *frame = &probe->frames[i];
    assert_non_null(fgets(line, sizeof(line), output));
    assert_int_equal(
        sscanf(line, "%1023[^\t]\t%1023[^\t]\t%u", frame->name, frame->file, &frame->line), 3);
  }
  return true;
}

/* The code objects of a file. */
static uint32_t count_codes(const struct region *region, const char *wanted) {
  char file[TEXT_MAX / 4];
  uint32_t count = 0;
  for (uint32_t i = 0; i < region->code_count; i++) {
    read_text(region, region->codes[i].file, file);
    count += !strcmp(file, wanted);
  }
  return count;
}

/* ---- running ---- */

static char library[TEXT_MAX];

static FILE *run_python(const char *python, const char *folder, const char *output) {
  char command[3 * TEXT_MAX];
  snprintf(command, sizeof(command),
           "RAGPROF_SHIM='%s alloc=every python=sampled interval=524288 calls=0 cpu=0' "
           "LD_PRELOAD=%s %s -W ignore tests/python/shim_stacks.py >%s",
           folder, library, python, output);
  assert_int_equal(system(command), 0);
  FILE *file = fopen(output, "r");
  assert_non_null(file);
  return file;
}

static void stacks_of(void **state) {
  static struct probe probe;
  const char *python = *state;
  char folder[] = "/tmp/ragprof-python-XXXXXX", output[64], remove[128];
  uint32_t probes = 0, same = 0, compiled_again = 0;
  const struct region *region = NULL;
  int pid = 0;

  if (!python || access(library, R_OK)) {
    print_message("skipped: no %s\n", python ? library : "interpreter of this version");
    skip();
  }
  assert_non_null(mkdtemp(folder));
  snprintf(output, sizeof(output), "%s/output", folder);
  FILE *file = run_python(python, folder, output);
  while (read_probe(file, &probe)) {
    if (probe.pid != pid) {
      region = open_region(folder, pid = probe.pid);
      compiled_again = region && !compiled_again ? count_codes(region, "<same>") : compiled_again;
    }
    assert_non_null(region);
    probes++;
    same += is_same(region, &probe);
  }
  fclose(file);
  snprintf(remove, sizeof(remove), "rm -rf '%s'", folder);
  assert_int_equal(system(remove), 0);
  print_message("%s: %u of %u stacks as Python has them\n", python, same, probes);
  assert_true(probes >= PROBES_MIN);
  assert_int_equal(same, probes);
  assert_int_equal(compiled_again, 2); /* the module and its function */
}

int main(void) {
  char paths[PYTHON_SLOT_COUNT][PYTHON_PATH_BYTES] = {{0}};
  char self[TEXT_MAX] = {0};

  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
    return 1;
  char *build = strstr(self, "/tests/unit/");
  snprintf(library, sizeof(library), "%.*s/libragprof.so", build ? (int)(build - self) : 0, self);
  find_pythons(paths);
  const struct CMUnitTest tests[] = {PYTHON_TESTS("stacks", stacks_of, paths)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is mapped, against a model that knows of each page whose it is: random calls, and hostile
 * ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/mapped.h"
#include "capture/stacks.h"
#include "model/profile.h"

#define PAGE 4096ull
#define PAGES 64u
#define BASE 0x7f0000000000ull
#define PID 10u

struct fixture {
  char path[64];
  struct trace_writer *writer;
  struct stack_store *stacks;
  struct mapped_store *mapped;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  snprintf(fixture->path, sizeof(fixture->path), "/tmp/mapped_test.%d", (int)getpid());
  assert_int_equal(trace_writer_open(&fixture->writer, fixture->path, true), 0);
  trace_put_process(fixture->writer, &(struct trace_process){
                                         .pid = PID, .name = "", .executable = "", .runtime = ""});
  assert_int_equal(stack_store_new(&fixture->stacks, NULL, NULL, fixture->writer), 0);
  assert_int_equal(mapped_store_new(&fixture->mapped, fixture->stacks, fixture->writer), 0);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  unlink(fixture->path);
  free(fixture);
  return 0;
}

static void call(struct fixture *fixture, uint32_t kind, uint64_t first, uint64_t second,
                 uint64_t third, uint64_t result) {
  mapped_store_call(fixture->mapped, &(struct event_mapping){.tgid = PID,
                                                             .kind = kind,
                                                             .arguments = {first, second, third},
                                                             .result = result,
                                                             .stack = STACK_LOST});
}

/* Closes the trace; the figures of a kind. */
static struct profile_heap_point figures(struct fixture *fixture, enum heap_kind kind) {
  struct profile_heap_point figures = {0};
  struct profile *profile;
  mapped_store_put(fixture->mapped, 1000, true);
  mapped_store_free(fixture->mapped);
  stack_store_free(fixture->stacks);
  assert_int_equal(trace_writer_close(fixture->writer), 0);
  assert_int_equal(profile_load(&profile, fixture->path), 0);
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    if (site->kind == kind)
      figures = profile->heap_points[site->point_first + site->point_count - 1];
  }
  profile_free(profile);
  return figures;
}

static void random_calls_agree_with_a_model_by_page(void **state) {
  struct fixture *fixture = *state;
  bool is_mapped[PAGES] = {false};
  uint64_t taken = 0, freed = 0;
  srand(7);
  for (int i = 0; i < 20000; i++) {
    unsigned first = (unsigned)rand() % PAGES, count = 1 + (unsigned)rand() % (PAGES - first);
    uint64_t at = BASE + first * PAGE, bytes = count * PAGE - (unsigned)rand() % PAGE;
    int choice = rand() % 4; /* mmap, mmap, a reservation, munmap */
    for (unsigned page = first; page < first + count; page++) {
      freed += is_mapped[page] ? PAGE : 0;
      is_mapped[page] = choice < 2;
      taken += choice < 2 ? PAGE : 0;
    }
    if (choice == 3)
      call(fixture, MAPPING_MUNMAP, at, bytes, 0, 0);
    else
      call(fixture, MAPPING_MMAP, 0, bytes, choice < 2 ? PROT_READ : PROT_NONE, at);
  }
  struct profile_heap_point seen = figures(fixture, HEAP_MAP);
  assert_int_equal(seen.allocated_bytes, taken);
  assert_int_equal(seen.freed_bytes, freed);
}

static void the_break_is_known_from_its_first_call_on(void **state) {
  struct fixture *fixture = *state;
  call(fixture, MAPPING_BRK, 0, 0, 0, BASE);
  call(fixture, MAPPING_BRK, 0, 0, 0, BASE + 8 * PAGE);
  call(fixture, MAPPING_BRK, 0, 0, 0, BASE + 5 * PAGE);
  call(fixture, MAPPING_BRK, 0, 0, 0, BASE - 5 * PAGE); /* it was there before */
  struct profile_heap_point seen = figures(fixture, HEAP_BREAK);
  assert_int_equal(seen.allocated_bytes, 8 * PAGE);
  assert_int_equal(seen.freed_bytes, 8 * PAGE);
}

static void a_moved_mapping_ends_and_begins(void **state) {
  struct fixture *fixture = *state;
  call(fixture, MAPPING_MMAP, 0, 4 * PAGE, PROT_READ, BASE);
  call(fixture, MAPPING_MREMAP, BASE, 4 * PAGE, 9 * PAGE, BASE + 100 * PAGE);
  struct profile_heap_point seen = figures(fixture, HEAP_MAP);
  assert_int_equal(seen.allocations, 2);
  assert_int_equal(seen.allocated_bytes, 13 * PAGE);
  assert_int_equal(seen.freed_bytes, 4 * PAGE);
}

static void an_exec_frees_and_an_exit_does_not(void **state) {
  struct fixture *fixture = *state;
  call(fixture, MAPPING_MMAP, 0, 4 * PAGE, PROT_READ, BASE);
  mapped_store_exec(fixture->mapped, PID);
  call(fixture, MAPPING_MMAP, 0, 2 * PAGE, PROT_READ, BASE);
  mapped_store_process_end(fixture->mapped, PID);
  struct profile_heap_point seen = figures(fixture, HEAP_MAP);
  assert_int_equal(seen.allocated_bytes, 6 * PAGE);
  assert_int_equal(seen.freed_bytes, 4 * PAGE);
}

static void absurd_calls_do_no_harm(void **state) {
  struct fixture *fixture = *state;
  static const uint64_t odd[] = {0,    1,          PAGE - 1,          PAGE,
                                 BASE, UINT64_MAX, UINT64_MAX - PAGE, 1ull << 63};
  for (uint32_t kind = 0; kind < 8; kind++)
    for (int i = 0; i < 8 * 8 * 8; i++)
      call(fixture, kind, odd[i % 8], odd[i / 8 % 8], odd[i / 64], odd[(i * 7) % 8]);
  call(fixture, UINT32_MAX, 0, 0, 0, 0);
  struct profile_heap_point seen = figures(fixture, HEAP_MAP);
  assert_true(seen.freed_bytes <= seen.allocated_bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(random_calls_agree_with_a_model_by_page),
      TEST(the_break_is_known_from_its_first_call_on),
      TEST(a_moved_mapping_ends_and_begins),
      TEST(an_exec_frees_and_an_exit_does_not),
      TEST(absurd_calls_do_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

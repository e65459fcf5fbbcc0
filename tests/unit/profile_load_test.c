/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a profile makes of a trace: names, inlined calls, merging, weights, lifetimes, order. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "model/profile.h"
#include "synthetic.h"
#include "trace_content.h"

struct fixture {
  char *path;
  struct trace_writer *writer;
  struct profile *profile;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  fixture->path = trace_path_new();
  *state = fixture;
  return trace_writer_open(&fixture->writer, fixture->path, false);
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  profile_free(fixture->profile);
  if (fixture->writer)
    trace_writer_abandon(fixture->writer);
  trace_path_remove(fixture->path);
  free(fixture);
  return 0;
}

static struct profile *load(struct fixture *fixture) {
  assert_int_equal(trace_writer_close(fixture->writer), 0);
  fixture->writer = NULL;
  assert_int_equal(profile_load(&fixture->profile, fixture->path), 0);
  return fixture->profile;
}

static uint32_t put_text(struct fixture *fixture, const char *text) {
  return trace_put_string(fixture->writer, text, strlen(text));
}

static uint32_t put_frame(struct fixture *fixture, struct trace_frame frame) {
  return trace_put_frame(fixture->writer, &frame);
}

static uint32_t put_node(struct fixture *fixture, uint32_t parent, uint32_t frame) {
  return trace_put_node(fixture->writer, (struct trace_node){parent, frame});
}

static void put_thread(struct fixture *fixture, struct trace_thread thread) {
  thread.name = thread.name ? thread.name : "";
  trace_put_thread(fixture->writer, &thread);
}

static void put_process(struct fixture *fixture, struct trace_process process) {
  process.executable = process.runtime = "";
  trace_put_process(fixture->writer, &process);
}

static void put_sample(struct fixture *fixture, uint64_t time_ns, uint32_t thread, uint32_t node) {
  struct trace_sample sample = {time_ns, thread, node};
  trace_put_sample(fixture->writer, &sample);
}

static void put_symbol(struct fixture *fixture, uint32_t frame, uint32_t depth,
                       const char *function, uint32_t line) {
  struct trace_symbol symbol = {.frame = frame,
                                .depth = depth,
                                .function = put_text(fixture, function),
                                .file = put_text(fixture, "f.c"),
                                .line = line,
                                .first_line = line - 1};
  trace_put_symbol(fixture->writer, &symbol);
}

/* "root;…;leaf" with "(line)" where known and "~" before inlined functions. */
static const char *stack_text(const struct profile *profile, uint32_t node, struct buf *text) {
  uint32_t path[16];
  int depth = 0;
  for (; node != PROFILE_NONE; node = profile->nodes[node].parent)
    path[depth++] = node;
  buf_clear(text);
  while (depth--) {
    const struct profile_node *at = &profile->nodes[path[depth]];
    const struct profile_frame *frame = &profile->frames[at->frame];
    buf_printf(text, "%s%s%s", at->depth ? ";" : "", frame->flags & FRAME_INLINED ? "~" : "",
               frame->function);
    if (frame->line)
      buf_printf(text, "(%u)", frame->line);
  }
  return buf_text(text);
}

static void assert_stack(const struct profile *profile, uint32_t node, const char *expected) {
  struct buf text = {0};
  assert_string_equal(stack_text(profile, node, &text), expected);
  buf_fini(&text);
}

static void inlined_calls_become_frames(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  uint32_t main_frame =
      put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = 1});
  uint32_t deep = put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = 2});
  uint32_t leaf = put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = 3});
  uint32_t node = put_node(fixture, put_node(fixture, 0, main_frame), deep);
  put_sample(fixture, 1, 1, node);
  put_sample(fixture, 2, 1, put_node(fixture, node, leaf));
  /* out of order, and one that is corrected later */
  put_symbol(fixture, deep, 2, "outer", 30);
  put_symbol(fixture, deep, 0, "wrong", 99);
  put_symbol(fixture, leaf, 0, "leaf", 40);
  put_symbol(fixture, deep, 1, "middle", 20);
  put_symbol(fixture, main_frame, 0, "main", 7);
  put_symbol(fixture, deep, 0, "inner", 10);
  const struct profile *profile = load(fixture);
  assert_stack(profile, profile->samples[0].node, "main(7);outer(30);~middle(20);~inner(10)");
  assert_stack(profile, profile->samples[1].node,
               "main(7);outer(30);~middle(20);~inner(10);leaf(40)");
  assert_int_equal(profile->node_count, 5);
  assert_int_equal(profile->nodes[profile->samples[1].node].depth, 4);
  for (uint32_t i = 0; i < profile->node_count; i++)
    assert_true(profile->nodes[i].parent == PROFILE_NONE || profile->nodes[i].parent < i);
}

static void equal_frames_merge_and_lines_share_a_function(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  uint32_t frames[4];
  for (uint32_t i = 0; i < 4; i++) /* four addresses: two of one line, one of another, one alone */
    frames[i] = put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = i + 1});
  put_symbol(fixture, frames[0], 0, "f", 10);
  put_symbol(fixture, frames[1], 0, "f", 10);
  put_symbol(fixture, frames[2], 0, "f", 11);
  put_symbol(fixture, frames[3], 0, "g", 10);
  for (uint32_t i = 0; i < 4; i++)
    put_sample(fixture, i, 1, put_node(fixture, 0, frames[i]));
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->frame_count, 3);
  assert_int_equal(profile->function_count, 2);
  assert_int_equal(profile->node_count, 3);
  assert_int_equal(profile->samples[0].node, profile->samples[1].node);
  const struct profile_frame *other_line =
      &profile->frames[profile->nodes[profile->samples[2].node].frame];
  assert_int_equal(other_line->function_id,
                   profile->frames[profile->nodes[profile->samples[0].node].frame].function_id);
  assert_string_equal(profile->functions[other_line->function_id].name, "f");
  assert_string_equal(profile->functions[other_line->function_id].file, "f.c");
}

static void what_nothing_names_says_where_it_is(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  struct trace_module path = {"/usr/lib/libfoo.so.1", NULL, 0}, vdso = {"[vdso]", NULL, 0};
  uint32_t foo = trace_put_module(fixture->writer, &path);
  uint32_t virtual = trace_put_module(fixture->writer, &vdso);
  const struct {
    struct trace_frame frame;
    const char *name;
    const char *module;
  } rows[] = {
      {{.kind = FRAME_NATIVE, .module = foo, .address = 0x1234},
       "[unknown] libfoo.so.1+0x1234",
       "/usr/lib/libfoo.so.1"},
      {{.kind = FRAME_NATIVE, .module = virtual, .address = 0x10},
       "[unknown] [vdso]+0x10",
       "[vdso]"},
      {{.kind = FRAME_NATIVE, .address = 0xfffffffffffffffe}, "[unknown] 0xfffffffffffffffe", ""},
      {{.kind = FRAME_NATIVE}, "[unknown]", ""},
      {{.kind = FRAME_KERNEL, .address = 0xffffffff81000000},
       "[unknown] [kernel]+0xffffffff81000000",
       "[kernel]"},
      {{.kind = FRAME_JIT, .address = 0x7f00}, "[unknown] jit+0x7f00", ""},
      {{.kind = FRAME_PYTHON}, "[unknown]", ""},
      {{.kind = FRAME_MARK}, "[incomplete]", ""},
  };
  size_t count = sizeof(rows) / sizeof(rows[0]);
  for (size_t i = 0; i < count; i++)
    put_sample(fixture, i, 1, put_node(fixture, 0, put_frame(fixture, rows[i].frame)));
  const struct profile *profile = load(fixture);
  for (size_t i = 0; i < count; i++) {
    const struct profile_frame *frame =
        &profile->frames[profile->nodes[profile->samples[i].node].frame];
    assert_string_equal(frame->function, rows[i].name);
    assert_string_equal(frame->module, rows[i].module);
    assert_int_equal(frame->kind, rows[i].frame.kind);
  }
}

static void marks_at_the_root_are_incomplete(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  uint32_t mark = put_frame(fixture, (struct trace_frame){.kind = FRAME_MARK});
  uint32_t code = put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = 1});
  put_sample(fixture, 1, 1, put_node(fixture, put_node(fixture, 0, mark), code));
  put_sample(fixture, 2, 1, put_node(fixture, 0, code));
  put_sample(fixture, 3, 1, 0); /* no stack at all */
  struct profile *profile = load(fixture);
  const bool complete[] = {false, true, false};
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(profile_is_complete(profile, profile->samples[i].node), complete[i]);
  assert_stack(profile, profile->samples[2].node, "[no stack]");
  struct profile by_hand = *profile;
  by_hand.memory = NULL;
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(profile_is_complete(&by_hand, profile->samples[i].node), complete[i]);
}

static void the_last_record_holds(void **state) {
  struct fixture *fixture = *state;
  put_process(fixture, (struct trace_process){.pid = 9, .name = "sh"});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 9, .tid = 9, .name = "sh"});
  put_process(fixture, (struct trace_process){.pid = 9, .parent_pid = 2, .name = "python3"});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 9, .tid = 9, .name = "python3"});
  trace_put_account(fixture->writer, &(struct trace_account){.thread = 1, .wall_ns = 5});
  trace_put_account(fixture->writer, &(struct trace_account){.thread = 1, .wall_ns = 6});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 9, .tid = 9, .name = "renamed"});
  trace_put_meta(fixture->writer, "capture.end", "a");
  trace_put_meta(fixture->writer, "capture.end", "b");
  trace_put_counter(fixture->writer, "lost.samples", 1);
  trace_put_counter(fixture->writer, "lost.samples", 2);
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->process_count, 1);
  assert_string_equal(profile->processes[0].name, "python3");
  assert_int_equal(profile->processes[0].parent_pid, 2);
  assert_int_equal(profile->thread_count, 1);
  assert_string_equal(profile->threads[0].name, "renamed");
  assert_true(profile->threads[0].has_account);
  assert_int_equal(profile->threads[0].account.wall_ns, 6);
  assert_int_equal(profile->fact_count, 1);
  assert_string_equal(profile_fact(profile, "capture.end"), "b");
  assert_string_equal(profile_fact(profile, "capture.command"), "");
  assert_int_equal(profile->counter_count, 1);
  assert_int_equal(profile_counter(profile, "lost.samples"), 2);
  assert_int_equal(profile_counter(profile, "lost.waits"), 0);
}

static void a_pid_that_is_used_again_is_another_process(void **state) {
  struct fixture *fixture = *state;
  put_process(fixture, (struct trace_process){.pid = 9, .name = "first"});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 9, .tid = 9});
  put_process(fixture, (struct trace_process){.pid = 9, .name = "first", .end_ns = 100});
  put_process(fixture, (struct trace_process){.pid = 9, .name = "second", .start_ns = 200});
  put_thread(fixture, (struct trace_thread){.thread = 2, .pid = 9, .tid = 9, .start_ns = 200});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 9, .tid = 9, .end_ns = 100});
  put_thread(fixture, (struct trace_thread){.thread = 3, .pid = 10, .tid = 10, .name = "stray"});
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->process_count, 3);
  assert_string_equal(profile->processes[profile->threads[0].process].name, "first");
  assert_string_equal(profile->processes[profile->threads[1].process].name, "second");
  assert_int_equal(profile->processes[profile->threads[2].process].pid, 10);
  assert_string_equal(profile->processes[profile->threads[2].process].name, "stray");
}

static void lifetimes_end_with_the_capture(void **state) {
  struct fixture *fixture = *state;
  trace_put_meta(fixture->writer, "capture.duration_ns", "1000");
  put_process(fixture, (struct trace_process){.pid = 1, .name = "p"});
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1, .start_ns = 10});
  put_thread(fixture, (struct trace_thread){.thread = 2, .pid = 1, .start_ns = 10, .end_ns = 20});
  put_thread(fixture, (struct trace_thread){.thread = 3, .pid = 1, .start_ns = 10, .end_ns = 5});
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->duration_ns, 1000);
  assert_int_equal(profile->processes[0].end_ns, 1000);
  assert_int_equal(profile->threads[0].end_ns, 1000);
  assert_int_equal(profile->threads[1].end_ns, 20);
  assert_int_equal(profile->threads[2].end_ns, 10);
}

static void without_its_fact_the_duration_is_the_latest_time(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  put_sample(fixture, 700, 1, 0);
  trace_put_wait(fixture->writer,
                 &(struct trace_wait){.start_ns = 500, .span_ns = 250, .thread = 1, .count = 1});
  trace_put_meta(fixture->writer, "capture.duration_ns", "12 parsecs");
  assert_int_equal(load(fixture)->duration_ns, 750);
}

static void samples_weigh_what_their_thread_ran(void **state) {
  struct fixture *fixture = *state;
  trace_put_meta(fixture->writer, "capture.frequency_hz", "1000");
  for (uint32_t thread = 1; thread <= 3; thread++)
    put_thread(fixture, (struct trace_thread){.thread = thread, .pid = 1, .tid = thread});
  for (uint64_t i = 0; i < 4; i++)
    put_sample(fixture, i, 1, 0);
  put_sample(fixture, 9, 2, 0);
  trace_put_account(fixture->writer, &(struct trace_account){.thread = 1, .on_cpu_ns = 10});
  trace_put_account(fixture->writer, &(struct trace_account){.thread = 3, .on_cpu_ns = 10});
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->frequency_hz, 1000);
  assert_int_equal(profile->threads[0].sample_count, 4);
  assert_int_equal(profile->threads[0].sample_weight_ns, 2);       /* 10 / 4 */
  assert_int_equal(profile->threads[1].sample_weight_ns, 1000000); /* no account: the period */
  assert_int_equal(profile->threads[2].sample_count, 0);
}

static void events_are_in_order_of_time(void **state) {
  struct fixture *fixture = *state;
  static const uint64_t times_ns[] = {50, 10, 40, 20, 30, 20};
  static const uint64_t sorted_ns[] = {10, 20, 20, 30, 40, 50};
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  put_thread(fixture, (struct trace_thread){.thread = 2, .pid = 1});
  for (size_t i = 0; i < 6; i++) {
    put_sample(fixture, times_ns[i], i < 5 ? 2 : 1, 0);
    trace_put_wait(fixture->writer, &(struct trace_wait){.start_ns = times_ns[i],
                                                         .thread = 2,
                                                         .count = i + 1,
                                                         .waker = i % 2 ? 1 : 0});
  }
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->sample_count, 6);
  assert_int_equal(profile->wait_count, 6);
  for (size_t i = 0; i < 6; i++) {
    assert_int_equal(profile->samples[i].time_ns, sorted_ns[i]);
    assert_int_equal(profile->waits[i].start_ns, sorted_ns[i]);
  }
  assert_int_equal(profile->samples[1].thread, 1); /* of equal times, the first in the file */
  assert_int_equal(profile->samples[2].thread, 0);
  assert_int_equal(profile->waits[5].waker, PROFILE_NONE);
  assert_int_equal(profile->waits[0].waker, 0);
}

/* Recursion beyond what a renderer should follow. */
static void endless_stacks_are_bounded(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, (struct trace_thread){.thread = 1, .pid = 1});
  uint32_t frame = put_frame(fixture, (struct trace_frame){.kind = FRAME_NATIVE, .address = 1});
  uint32_t node = 0;
  for (int i = 0; i < 100000; i++)
    node = put_node(fixture, node, frame);
  put_sample(fixture, 1, 1, node);
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->node_count, 4096);
  assert_int_equal(profile->nodes[profile->samples[0].node].depth, 4095);
}

static void a_cut_file_gives_a_profile_of_what_is_there(void **state) {
  struct fixture *fixture = *state;
  struct buf log = {0};
  uint64_t file_bytes[CONTENT_PARTS + 1];
  size_t log_bytes[CONTENT_PARTS + 1];
  trace_writer_abandon(fixture->writer);
  fixture->writer = NULL;
  content_write(fixture->path, &log, file_bytes, log_bytes);
  struct buf file = read_whole(fixture->path);
  for (size_t bytes = 0; bytes <= file.length; bytes++) {
    struct profile *profile = NULL;
    int error = profile_load_memory(&profile, file.data, bytes);
    if (bytes < file_bytes[0]) {
      assert_int_equal(error, -EINVAL);
      assert_null(profile);
      continue;
    }
    assert_int_equal(error, 0);
    /* parts 1 and 2 hold three samples and one */
    size_t samples = bytes < file_bytes[1] ? 0 : bytes < file_bytes[2] ? 3 : 4;
    assert_int_equal(profile->sample_count, samples);
    assert_int_equal(profile->status.complete, bytes == file.length);
    profile_free(profile);
  }
  buf_fini(&file);
  buf_fini(&log);
}

static void files_that_are_no_trace_give_no_profile(void **state) {
  struct fixture *fixture = *state;
  struct profile *profile = NULL;
  assert_int_equal(profile_load(&profile, "/tmp"), -EISDIR);
  assert_int_equal(profile_load(&profile, "/nonexistent/file"), -ENOENT);
  write_whole(fixture->path, "no", 2);
  assert_int_equal(profile_load(&profile, fixture->path), -EINVAL);
  assert_non_null(strstr(error_text(), "not a ragprof trace"));
  assert_null(profile);
  profile_free(NULL);
}

static uint64_t count_samples_of(const struct profile *profile, const char *function) {
  uint64_t count = 0;
  for (size_t i = 0; i < profile->sample_count; i++)
    count +=
        !strcmp(profile->frames[profile->nodes[profile->samples[i].node].frame].function, function);
  return count;
}

/* 10,000 samples: the shares of the scenes as synthetic.h states them. */
static void a_synthetic_trace_has_its_known_shares(void **state) {
  struct fixture *fixture = *state;
  struct synthetic_options options = {
      .sample_count = 10000, .wait_count = 2000, .thread_count = 4, .depth = 40, .seed = 3};
  synthetic_put(fixture->writer, &options);
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->sample_count, 10000);
  assert_int_equal(profile->wait_count, 2000);
  assert_int_equal(count_samples_of(profile, "sgemm_kernel_HASWELL"), 3900); /* 300 + 90 ‰ */
  assert_int_equal(count_samples_of(profile, "sha256_block_data_order"), 400);
  assert_int_equal(count_samples_of(profile, "clear_page_erms"), 200);
  uint64_t incomplete = 0;
  for (size_t i = 0; i < profile->sample_count; i++)
    incomplete += !profile_is_complete(profile, profile->samples[i].node);
  assert_int_equal(incomplete, 50);
  for (uint32_t i = 0; i < 4; i++) {
    const struct profile_thread *thread = &profile->threads[i];
    assert_int_equal(thread->sample_count, 2500);
    assert_int_equal(thread->sample_weight_ns, SYNTHETIC_PERIOD_NS);
    assert_int_equal(thread->account.wall_ns, thread->account.on_cpu_ns +
                                                  thread->account.blocked_ns +
                                                  thread->account.run_queue_ns);
    assert_true(thread->account.wall_ns <= profile->duration_ns);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(inlined_calls_become_frames),
      TEST(equal_frames_merge_and_lines_share_a_function),
      TEST(what_nothing_names_says_where_it_is),
      TEST(marks_at_the_root_are_incomplete),
      TEST(the_last_record_holds),
      TEST(a_pid_that_is_used_again_is_another_process),
      TEST(lifetimes_end_with_the_capture),
      TEST(without_its_fact_the_duration_is_the_latest_time),
      TEST(samples_weigh_what_their_thread_ran),
      TEST(events_are_in_order_of_time),
      TEST(endless_stacks_are_bounded),
      TEST(a_cut_file_gives_a_profile_of_what_is_there),
      TEST(files_that_are_no_trace_give_no_profile),
      TEST(a_synthetic_trace_has_its_known_shares),
  };
  return cmocka_run_group_tests_name("profile_load", tests, NULL, NULL);
}

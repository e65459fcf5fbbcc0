/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks every row of the offsets table on live interpreters: a script puts threads to sleep at the
 * ends of known stacks and prints what the interpreter itself says of them; the stacks are then
 * walked from outside, from the thread pointer on. libunwind counts the native frames of the eval
 * loop, which tells whether the groups of Python frames are told apart rightly. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libunwind-ptrace.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cpython_testing.h"
#include "unwind/cpython.h"
#include "unwind/cpython_elf.h"

#define FRAMES_MAX 128
#define THREADS_MAX 32
#define TEXT_BYTES 512

struct frame {
  char name[TEXT_BYTES];
  char qualname[TEXT_BYTES];
  char file[TEXT_BYTES];
  int first_line;
  int line;
  int flags;
};

struct stack {
  pid_t tid;
  char name[64];
  struct frame frames[FRAMES_MAX]; /* innermost first */
  int count;
  int group_count;
};

struct target {
  pid_t pid;
  int stdin_fd;
  FILE *out;
  struct python_offsets offsets;
  struct cpython_binary binary;
  uint64_t bias; /* address in memory - address in the file */
  struct stack *stacks;
  int stack_count;
  unw_addr_space_t space; /* libunwind's view of it */
};

/* ---- The target's memory -----------------------------------------------------------------------
 */

static bool peek(const struct target *target, uint64_t address, void *data, size_t bytes) {
  struct iovec local = {data, bytes};
  struct iovec remote = {(void *)(uintptr_t)address, bytes};
  return process_vm_readv(target->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

static uint64_t peek_u64(const struct target *target, uint64_t address) {
  uint64_t value = 0;
  assert_true(peek(target, address, &value, sizeof(value)));
  return value;
}

static int32_t peek_i32(const struct target *target, uint64_t address) {
  int32_t value = 0;
  assert_true(peek(target, address, &value, sizeof(value)));
  return value;
}

static uint8_t peek_u8(const struct target *target, uint64_t address) {
  uint8_t value = 0;
  assert_true(peek(target, address, &value, sizeof(value)));
  return value;
}

static char *put_utf8(char *at, uint32_t c) {
  if (c < 0x80) {
    *at++ = (char)c;
  } else if (c < 0x800) {
    *at++ = (char)(0xc0 | c >> 6);
    *at++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *at++ = (char)(0xe0 | c >> 12);
    *at++ = (char)(0x80 | (c >> 6 & 63));
    *at++ = (char)(0x80 | (c & 63));
  } else {
    *at++ = (char)(0xf0 | c >> 18);
    *at++ = (char)(0x80 | (c >> 12 & 63));
    *at++ = (char)(0x80 | (c >> 6 & 63));
    *at++ = (char)(0x80 | (c & 63));
  }
  return at;
}

static void peek_string(const struct target *target, uint64_t object, char *text) {
  const struct python_offsets *offsets = &target->offsets;
  uint64_t length = peek_u64(target, object + offsets->string_length);
  uint32_t state = (uint32_t)peek_i32(target, object + offsets->string_state);
  uint32_t kind = state >> 2 & 7;
  uint8_t data[TEXT_BYTES];
  assert_true(state >> 5 & 1);
  assert_true(kind == 1 || kind == 2 || kind == 4);
  assert_true(length < TEXT_BYTES / 4);
  uint64_t from = object + (state >> 6 & 1 ? offsets->string_ascii : offsets->string_compact);
  assert_true(peek(target, from, data, length * kind));
  for (uint64_t i = 0; i < length; i++) {
    uint32_t c = 0;
    memcpy(&c, data + i * kind, kind);
    text = put_utf8(text, c);
  }
  *text = '\0';
}

/* ---- From the thread pointer to the frames -----------------------------------------------------
 */

/* pthread_getspecific of glibc 2.34+ on x86-64: two levels of 32 {sequence, value} pairs, the first
 * of them inside struct pthread at 0x310, the table of levels at 0x510. */
static uint64_t thread_specific(const struct target *target, uint64_t thread, uint32_t key) {
  if (key < 32)
    return peek_u64(target, thread + 0x310 + 16ull * key + 8);
  uint64_t level = peek_u64(target, thread + 0x510 + 8ull * (key / 32));
  return level ? peek_u64(target, level + 16ull * (key % 32) + 8) : 0;
}

static uint32_t line_of_frame(const struct target *target, uint64_t frame, uint64_t code,
                              uint32_t first_line) {
  const struct python_offsets *offsets = &target->offsets;
  int64_t address = 0;
  if (offsets->instr_kind == PYTHON_LASTI_BYTES)
    address = peek_i32(target, frame + offsets->frame_instr);
  else if (offsets->instr_kind == PYTHON_LASTI_WORDS)
    address = 2ll * peek_i32(target, frame + offsets->frame_instr);
  else
    address =
        (int64_t)(peek_u64(target, frame + offsets->frame_instr) - code - offsets->code_adaptive);
  uint64_t table = peek_u64(target, code + offsets->code_linetable);
  uint64_t bytes = peek_u64(target, table + offsets->bytes_length);
  assert_true(bytes < 1 << 20);
  uint8_t *data = malloc(bytes + 1);
  assert_non_null(data);
  assert_true(peek(target, table + offsets->bytes_data, data, bytes));
  uint32_t line = cpython_line(offsets->version, data, bytes, first_line, address);
  free(data);
  return line;
}

static void read_frame(const struct target *target, uint64_t frame, uint64_t code,
                       struct frame *out) {
  const struct python_offsets *offsets = &target->offsets;
  peek_string(target, peek_u64(target, code + offsets->code_name), out->name);
  peek_string(target, peek_u64(target, code + offsets->code_filename), out->file);
  strcpy(out->qualname, "-");
  if (offsets->code_qualname != OFFSET_NONE)
    peek_string(target, peek_u64(target, code + offsets->code_qualname), out->qualname);
  out->first_line = peek_i32(target, code + offsets->code_firstlineno);
  out->flags = peek_i32(target, code + offsets->code_flags);
  out->line = (int)line_of_frame(target, frame, code, (uint32_t)out->first_line);
}

static bool ends_group(const struct target *target, uint64_t frame) {
  const struct python_offsets *offsets = &target->offsets;
  if (offsets->version <= 0x030a)
    return true;
  if (offsets->version == 0x030b)
    return peek_u8(target, frame + offsets->frame_is_entry);
  return peek_u8(target, frame + offsets->frame_owner) == 3;
}

static void walk(const struct target *target, uint64_t thread, struct stack *out) {
  const struct python_offsets *offsets = &target->offsets;
  uint64_t runtime = target->binary.runtime_vaddr + target->bias;
  int32_t key = peek_i32(target, runtime + offsets->autotss_key);
  assert_in_range(key, 0, 1023);
  uint64_t tstate = thread_specific(target, thread, (uint32_t)key);
  assert_true(tstate != 0);
  uint64_t frame = peek_u64(target, tstate + offsets->tstate_frame);
  if (offsets->cframe_frame != OFFSET_NONE)
    frame = peek_u64(target, frame + offsets->cframe_frame);
  out->count = out->group_count = 0;
  while (frame) {
    bool is_shim = offsets->version >= 0x030c && ends_group(target, frame);
    if (ends_group(target, frame))
      out->group_count++;
    uint64_t code = is_shim ? 0 : peek_u64(target, frame + offsets->frame_code);
    if (code && !(peek_i32(target, code + offsets->code_flags) & CPYTHON_CODE_IS_SHIM)) {
      assert_true(out->count < FRAMES_MAX);
      read_frame(target, frame, code, &out->frames[out->count++]);
    }
    frame = peek_u64(target, frame + offsets->frame_back);
  }
}

/* ---- The native stack, by libunwind -------------------------------------------------------------
 */

static bool is_in_eval(const struct target *target, uint64_t pc) {
  const struct cpython_binary *binary = &target->binary;
  return pc - target->bias - binary->eval_vaddr < binary->eval_bytes ||
         pc - target->bias - binary->eval_cold_vaddr < binary->eval_cold_bytes;
}

static int count_eval_frames(const struct target *target, pid_t tid) {
  void *context = _UPT_create(tid);
  unw_cursor_t cursor;
  int count = 0;
  assert_int_equal(unw_init_remote(&cursor, target->space, context), 0);
  for (int depth = 0; depth < 2000; depth++) {
    unw_word_t pc = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    count += is_in_eval(target, pc - 1);
    if (unw_step(&cursor) <= 0)
      break;
  }
  _UPT_destroy(context);
  return count;
}

/* ---- The target ---------------------------------------------------------------------------------
 */

static void read_expected(struct target *target) {
  char line[4 * TEXT_BYTES];
  struct stack *stack = NULL;
  while (fgets(line, sizeof(line), target->out)) {
    if (strcmp(line, "ready\n") == 0)
      return;
    if (strncmp(line, "thread ", 7) == 0) {
      assert_true(target->stack_count < THREADS_MAX);
      stack = &target->stacks[target->stack_count++];
      assert_int_equal(sscanf(line, "thread %d %63[^\n]", &stack->tid, stack->name), 2);
      continue;
    }
    assert_non_null(stack);
    assert_true(stack->count < FRAMES_MAX);
    struct frame *frame = &stack->frames[stack->count++];
    assert_int_equal(sscanf(line, "frame %d %d %d\t%511[^\t]\t%511[^\t]\t%511[^\n]",
                            &frame->first_line, &frame->line, &frame->flags, frame->name,
                            frame->qualname, frame->file),
                     6);
  }
  fail_msg("the script ended before it was ready");
}

static void start_script(struct target *target, const char *python, const char *script) {
  int input[2], output[2];
  assert_int_equal(pipe(input), 0);
  assert_int_equal(pipe(output), 0);
  target->pid = fork();
  assert_true(target->pid >= 0);
  if (target->pid == 0) {
    dup2(input[0], 0);
    dup2(output[1], 1);
    close(input[1]);
    close(output[0]);
    execl(python, python, script, (char *)NULL);
    _exit(127);
  }
  close(input[0]);
  close(output[1]);
  target->stdin_fd = input[1];
  target->out = fdopen(output[0], "r");
  assert_non_null(target->out);
}

/* Finds the interpreter among the mapped files, as the capture does. */
static void find_interpreter(struct target *target) {
  char path[64], line[4096], file[4096], seen[4096] = "";
  snprintf(path, sizeof(path), "/proc/%d/maps", target->pid);
  FILE *maps = fopen(path, "r");
  assert_non_null(maps);
  bool found = false;
  while (!found && fgets(line, sizeof(line), maps)) {
    uint64_t start = 0, offset = 0;
    if (sscanf(line, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %*s %4095s", &start, &offset, file) !=
            3 ||
        offset != 0 || file[0] != '/' || strcmp(file, seen) == 0)
      continue;
    strcpy(seen, file);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct cpython_elf elf;
    found = fd >= 0 && cpython_probe(&target->binary, fd, file) == 0;
    if (found && cpython_elf_open(&elf, fd))
      target->bias = start - (elf.segments[0].vaddr & ~4095ull);
    close(fd);
  }
  fclose(maps);
  assert_true(found);
  const struct python_offsets *offsets = cpython_offsets(target->binary.version);
  assert_non_null(offsets);
  target->offsets = *offsets;
  target->space = unw_create_addr_space(&_UPT_accessors, 0);
  unw_set_caching_policy(target->space, UNW_CACHE_GLOBAL);
}

static void stop_script(struct target *target) {
  close(target->stdin_fd);
  fclose(target->out);
  unw_destroy_addr_space(target->space);
  kill(target->pid, SIGKILL);
  waitpid(target->pid, NULL, 0);
  free(target->stacks);
}

/* ---- Comparison ---------------------------------------------------------------------------------
 */

static int compare(const struct stack *expected, const struct stack *actual) {
  int wrong = 0;
  if (expected->count != actual->count) {
    print_error("%s: %d frames, expected %d\n", expected->name, actual->count, expected->count);
    wrong++;
  }
  for (int i = 0; i < expected->count || i < actual->count; i++) {
    const struct frame *a = &expected->frames[i], *b = &actual->frames[i];
    if (i < expected->count && i < actual->count && strcmp(a->name, b->name) == 0 &&
        strcmp(a->qualname, b->qualname) == 0 && strcmp(a->file, b->file) == 0 &&
        a->line == b->line && a->first_line == b->first_line && a->flags == b->flags)
      continue;
    print_error("%s frame %d: %s %s %s:%d (%d, %#x), expected %s %s %s:%d (%d, %#x)\n",
                expected->name, i, b->name, b->qualname, b->file, b->line, b->first_line, b->flags,
                a->name, a->qualname, a->file, a->line, a->first_line, a->flags);
    wrong++;
  }
  return wrong;
}

/* Stops a thread until PTRACE_DETACH. Its thread pointer. */
static uint64_t stop_thread(pid_t tid) {
  struct user_regs_struct registers;
  int status = 0;
  assert_int_equal(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
  assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
  assert_int_equal(waitpid(tid, &status, __WALL), tid);
  assert_int_equal(ptrace(PTRACE_GETREGS, tid, 0, &registers), 0);
  return registers.fs_base;
}

static int check_thread(const struct target *target, const struct stack *expected) {
  struct stack *actual = calloc(1, sizeof(*actual));
  assert_non_null(actual);
  walk(target, stop_thread(expected->tid), actual);
  int eval_frames = count_eval_frames(target, expected->tid);
  assert_int_equal(ptrace(PTRACE_DETACH, expected->tid, 0, 0), 0);
  int wrong = compare(expected, actual);
  if (eval_frames != actual->group_count) {
    print_error("%s: %d groups of Python frames, but %d native frames of the eval loop\n",
                expected->name, actual->group_count, eval_frames);
    wrong++;
  }
  free(actual);
  return wrong;
}

static void test_stacks(void **state) {
  const char *python = *state;
  struct target target = {.stacks = calloc(THREADS_MAX, sizeof(struct stack))};
  if (!python) {
    print_message("no such interpreter on this machine\n");
    free(target.stacks);
    skip();
  }
  assert_non_null(target.stacks);
  start_script(&target, python, "tests/python/stacks.py");
  read_expected(&target);
  usleep(200000); /* the threads said what they do before they did it */
  find_interpreter(&target);
  int wrong = 0, frames = 0;
  for (int i = 0; i < target.stack_count; i++) {
    wrong += check_thread(&target, &target.stacks[i]);
    frames += target.stacks[i].count;
  }
  print_message("%s: %d threads, %d frames, %d wrong\n", python, target.stack_count, frames, wrong);
  assert_int_equal(target.stack_count, 15);
  stop_script(&target);
  assert_int_equal(wrong, 0);
}

/* ---- Stops at random ----------------------------------------------------------------------------
 */

#define STOP_COUNT 200

/* Where the frames cannot be followed there is no group. */
static int count_groups(const struct target *target, uint64_t thread) {
  const struct python_offsets *offsets = &target->offsets;
  uint64_t runtime = target->binary.runtime_vaddr + target->bias;
  uint64_t tstate =
      thread_specific(target, thread, (uint32_t)peek_i32(target, runtime + offsets->autotss_key));
  uint64_t frame = peek_u64(target, tstate + offsets->tstate_frame);
  int groups = 0;
  if (offsets->cframe_frame != OFFSET_NONE)
    frame = peek_u64(target, frame + offsets->cframe_frame);
  for (int depth = 0; frame && depth < FRAMES_MAX; depth++) {
    uint8_t bytes[112];
    if (!peek(target, frame, bytes, sizeof(bytes)))
      break;
    groups += ends_group(target, frame);
    memcpy(&frame, bytes + offsets->frame_back, sizeof(frame));
  }
  return groups;
}

/* What cpython.c says of the groups: as many as native frames of the eval loop, or one less while
 * the innermost is at its beginning or end, or the chain is cut short, which is rare. */
static void test_random_stops(void **state) {
  struct target target = {.stacks = calloc(THREADS_MAX, sizeof(struct stack))};
  int equal = 0, one_more = 0, cut = 0;
  if (!*state) {
    print_message("no such interpreter on this machine\n");
    free(target.stacks);
    skip();
  }
  start_script(&target, *state, "tests/python/busy.py");
  read_expected(&target);
  find_interpreter(&target);
  srandom(1);
  for (int i = 0; i < STOP_COUNT; i++) {
    usleep(200 + random() % 800);
    int groups = count_groups(&target, stop_thread(target.pid));
    int more = count_eval_frames(&target, target.pid) - groups;
    assert_int_equal(ptrace(PTRACE_DETACH, target.pid, 0, 0), 0);
    equal += more == 0;
    one_more += more == 1 && groups > 0;
    cut += more > 1 || (more == 1 && groups == 0);
  }
  stop_script(&target);
  print_message(
      "%s: of %d stops, %d with as many groups as native frames, %d with one less, %d cut\n",
      (const char *)*state, STOP_COUNT, equal, one_more, cut);
  assert_int_equal(equal + one_more + cut, STOP_COUNT);
  assert_true(equal > STOP_COUNT * 85 / 100);
  assert_true(cut < STOP_COUNT * 4 / 100);
}

/* 3.13 describes itself; on 3.13.0, where the table's row was taken, both say the same. */
static void test_debug_offsets(void **state) {
  const char *python = *state;
  struct target target = {.stacks = calloc(THREADS_MAX, sizeof(struct stack))};
  uint8_t bytes[1024];
  if (!python) {
    print_message("no Python 3.13 on this machine\n");
    free(target.stacks);
    skip();
  }
  start_script(&target, python, "tests/python/stacks.py");
  read_expected(&target);
  find_interpreter(&target);
  struct python_offsets refined = target.offsets;
  assert_true(peek(&target, target.binary.runtime_vaddr + target.bias, bytes, sizeof(bytes)));
  assert_true(cpython_offsets_refine(&refined, target.binary.version, bytes, sizeof(bytes)));
  if (target.binary.micro == 0)
    assert_memory_equal(&refined, &target.offsets, sizeof(refined));
  stop_script(&target);
}

int main(void) {
  static char paths[PYTHON_SLOT_COUNT][PYTHON_PATH_BYTES];
  find_pythons(paths);
  const struct CMUnitTest tests[] = {
      PYTHON_TESTS("stacks", test_stacks, paths),
      PYTHON_TESTS("random_stops", test_random_stops, paths),
      PYTHON_TEST("debug_offsets", test_debug_offsets, paths, PYTHON_SLOT_3_13, "3_13"),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

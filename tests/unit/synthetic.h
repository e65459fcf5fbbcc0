/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Synthetic traces of a RAG service with known content, through the product's own writer. Header
 * only: unit tests are single programs, and tests/workloads/make_trace.c includes it as well.
 *
 * What is known about a synthetic trace of N samples, T threads:
 *   - sample i is of the scene that holds permille (i * 617) % 1000 in the order of
 *     synthetic_scenes: for N a multiple of 1000, a scene has exactly N * permille / 1000 samples;
 *     the same holds for waits with synthetic_wait_scenes;
 *   - thread t (from 0) has every sample i with i % T == t, and every wait likewise;
 *   - of each thread, on-CPU time is samples * SYNTHETIC_PERIOD_NS, blocked and run-queue time are
 *     the sums of its waits, and wall time is the sum of all three;
 *   - samples and waits of a thread follow one another without gaps. */
#ifndef RAGPROF_TESTS_SYNTHETIC_H
#define RAGPROF_TESTS_SYNTHETIC_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/writer.h"

#define SYNTHETIC_FREQUENCY_HZ 99
#define SYNTHETIC_PERIOD_NS (1000000000ull / SYNTHETIC_FREQUENCY_HZ)
#define SYNTHETIC_PID 4242
#define SYNTHETIC_VARIANTS 64
#define SYNTHETIC_DEPTH_MAX 512

struct synthetic_options {
  uint64_t sample_count;
  uint64_t wait_count;
  uint32_t thread_count;
  uint32_t depth; /* stacks are padded to it by Python frames; 0: as they come */
  uint32_t seed;
};

enum synthetic_module { NO_MODULE, PYTHON, LIBC, FAISS, OPENBLAS, NUMPY, CRYPTO, STRIPPED, VDSO };

static const struct trace_module synthetic_modules[] = {
    [PYTHON] = {"/usr/bin/python3.11", (const uint8_t *)"0123456789abcdefghij", 20},
    [LIBC] = {"/usr/lib/x86_64-linux-gnu/libc.so.6", (const uint8_t *)"libc-build-id-20byte", 20},
    [FAISS] = {"/opt/venv/lib/python3.11/site-packages/faiss/_swigfaiss.so", NULL, 0},
    [OPENBLAS] = {"/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so", NULL, 0},
    [NUMPY] = {"/opt/venv/lib/python3.11/site-packages/numpy/_multiarray_umath.so", NULL, 0},
    [CRYPTO] = {"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", NULL, 0},
    [STRIPPED] = {"/srv/rag/lib/libstripped <b>.so", NULL, 0},
    [VDSO] = {"[vdso]", NULL, 0},
};

/* A frame by its short key. `inlined_in`: the function becomes an inlined call in that one. */
struct synthetic_frame {
  const char *key;
  enum frame_kind kind;
  enum synthetic_module module;
  const char *function; /* NULL: nothing names it */
  const char *file;
  uint32_t line;
  uint32_t first_line;
  uint32_t flags;
  const char *inlined_in;
};

static const struct synthetic_frame synthetic_frames[] = {
    {"_start", FRAME_NATIVE, PYTHON, "_start", "", 0, 0, 0, NULL},
    {"main", FRAME_NATIVE, LIBC, "__libc_start_main", "", 0, 0, 0, NULL},
    {"Py_Main", FRAME_NATIVE, PYTHON, "Py_BytesMain", "", 0, 0, 0, NULL},
    {"clone3", FRAME_NATIVE, LIBC, "__clone3", "", 0, 0, 0, NULL},
    {"start_thread", FRAME_NATIVE, LIBC, "start_thread", "pthread_create.c", 442, 288, 0, NULL},
    {"t_boot", FRAME_NATIVE, PYTHON, "thread_run", "", 0, 0, 0, NULL},
    {"<module>", FRAME_PYTHON, 0, "<module>", "/srv/rag/app.py", 210, 1, 0, NULL},
    {"bootstrap", FRAME_PYTHON, 0, "Thread._bootstrap", "/usr/lib/python3.11/threading.py", 1002,
     986, 0, NULL},
    {"serve", FRAME_PYTHON, 0, "BaseServer.serve_forever", "/usr/lib/python3.11/socketserver.py",
     233, 215, 0, NULL},
    {"handle", FRAME_PYTHON, 0, "Handler.do_POST", "/srv/rag/app.py", 88, 71, 0, NULL},
    {"answer", FRAME_PYTHON, 0, "answer", "/srv/rag/app.py", 131, 118, FRAME_COROUTINE, NULL},
    {"answer2", FRAME_PYTHON, 0, "answer", "/srv/rag/app.py", 136, 118, FRAME_COROUTINE, NULL},
    {"embed", FRAME_PYTHON, 0, "Embedder.encode", "/srv/rag/embedding.py", 44, 31, 0, NULL},
    {"tokenize", FRAME_PYTHON, 0, "tokenize", "/srv/rag/embedding.py", 18, 12, 0, NULL},
    {"matmul", FRAME_NATIVE, NUMPY, "PyArray_MatrixProduct2", "", 0, 0, 0, NULL},
    {"cblas", FRAME_NATIVE, OPENBLAS, "cblas_sgemm", "", 0, 0, 0, NULL},
    {"sgemm", FRAME_NATIVE, OPENBLAS, "sgemm_kernel_HASWELL", "", 0, 0, 0, NULL},
    {"search", FRAME_PYTHON, 0, "VectorIndex.search", "/srv/rag/vector_index.py", 88, 80, 0, NULL},
    {"faiss", FRAME_NATIVE, FAISS,
     "faiss::IndexFlat::search(long, float const*, long, float*, long*) const", "IndexFlat.cpp", 48,
     30, 0, NULL},
    {"ip", FRAME_NATIVE, FAISS,
     "faiss::fvec_inner_product(float const*, float const*, unsigned long)", "distances_simd.cpp",
     71, 66, 0,
     "void faiss::(anonymous namespace)::exhaustive_inner_product_seq<faiss::HeapResultHandler>"},
    {"bm25", FRAME_PYTHON, 0, "KeywordIndex.score", "/srv/rag/keyword_index.py", 61, 52, 0, NULL},
    {"genexpr", FRAME_PYTHON, 0, "KeywordIndex.score.<locals>.<genexpr>",
     "/srv/rag/keyword_index.py", 62, 62, FRAME_GENERATOR, NULL},
    {"rerank", FRAME_PYTHON, 0, "Reranker.score", "/srv/rag/rerank.py", 29, 20, 0, NULL},
    {"generate", FRAME_PYTHON, 0, "stream_completion", "/srv/rag/generate.py", 55, 40,
     FRAME_GENERATOR, NULL},
    {"lookup", FRAME_PYTHON, 0, "Cache.get", "/srv/rag/cache.py", 33, 27, 0, NULL},
    {"dict", FRAME_NATIVE, PYTHON, "_PyEval_EvalFrameDefault", "", 0, 0, 0, NULL},
    {"sha", FRAME_NATIVE, CRYPTO, "sha256_block_data_order", "", 0, 0, 0, NULL},
    {"stripped", FRAME_NATIVE, STRIPPED, NULL, "", 0, 0, 0, NULL},
    {"gettime", FRAME_NATIVE, VDSO, "__vdso_clock_gettime", "", 0, 0, 0, NULL},
    {"js", FRAME_JIT, 0, "LazyCompile:*chunkText /srv/rag/chunk.js:12", "", 0, 0, 0, NULL},
    {"cut", FRAME_MARK, 0, "[truncated: stack too deep]", "", 0, 0, 0, NULL},
    {"recv", FRAME_NATIVE, LIBC, "__libc_recv", "", 0, 0, 0, NULL},
    {"epoll", FRAME_NATIVE, LIBC, "epoll_wait", "", 0, 0, 0, NULL},
    {"pread", FRAME_NATIVE, LIBC, "pread64", "", 0, 0, 0, NULL},
    {"gil", FRAME_NATIVE, PYTHON, "take_gil", "", 0, 0, 0, NULL},
    {"condwait", FRAME_NATIVE, LIBC, "__pthread_cond_timedwait64", "", 0, 0, 0, NULL},
    {"lock", FRAME_NATIVE, PYTHON, "PyThread_acquire_lock_timed", "", 0, 0, 0, NULL},
    {"sleep", FRAME_NATIVE, LIBC, "clock_nanosleep", "", 0, 0, 0, NULL},
    {"syscall", FRAME_KERNEL, 0, "entry_SYSCALL_64_after_hwframe", "", 0, 0, 0, NULL},
    {"tcp_recvmsg", FRAME_KERNEL, 0, "tcp_recvmsg", "", 0, 0, 0, NULL},
    {"ep_poll", FRAME_KERNEL, 0, "ep_poll", "", 0, 0, 0, NULL},
    {"ext4_read", FRAME_KERNEL, 0, "ext4_file_read_iter", "[ext4]", 0, 0, 0, NULL},
    {"futex_wait", FRAME_KERNEL, 0, "futex_wait", "", 0, 0, 0, NULL},
    {"nanosleep", FRAME_KERNEL, 0, "hrtimer_nanosleep", "", 0, 0, 0, NULL},
    {"fault", FRAME_KERNEL, 0, "asm_exc_page_fault", "", 0, 0, 0, NULL},
    {"clear_page", FRAME_KERNEL, 0, "clear_page_erms", "", 0, 0, 0, NULL},
    {"schedule", FRAME_KERNEL, 0, "schedule", "", 0, 0, 0, NULL},
    {"evil_html", FRAME_PYTHON, 0, "<script>alert(1)</script>",
     "/srv/\"><img src=x onerror=alert(2)>.py", 3, 1, 0, NULL},
    {"evil_close", FRAME_PYTHON, 0, "</script></style><svg onload=alert(3)>&amp;'\"`", "", 0, 0, 0,
     NULL},
    {"evil_utf8", FRAME_NATIVE, STRIPPED, "caf\xe9 \xff\xfe \xed\xa0\x80 \xf4\x90\x80\x80", "", 0,
     0, 0, NULL},
    {"evil_ansi", FRAME_PYTHON, 0, "\x1b[31mred\x1b[0m \x1b]0;title\x07\r\b|*_`#", "a;b.py", 1, 1,
     0, NULL},
    {"evil_folded", FRAME_PYTHON, 0, "one;two\nthree 999", "/tmp/new\nline;.py", 7, 7, 0, NULL},
    {"evil_proto", FRAME_PYTHON, 0, "__proto__", "constructor", 1, 1, 0, NULL},
    {"unicode", FRAME_PYTHON, 0, "数据库.查询 🔍", "/srv/rag/größe.py", 5, 4, 0, NULL},
};

struct synthetic_scene {
  uint32_t permille;
  const char *stack; /* keys from the root side; the roots of the thread come before it */
  bool is_cut;       /* an incomplete stack: a mark instead of the thread's roots */
  enum wait_reason reason;
};

#define SYNTHETIC_REQUEST "handle answer "

static const struct synthetic_scene synthetic_scenes[] = {
    {300, SYNTHETIC_REQUEST "embed matmul cblas sgemm", false, 0},
    {40, SYNTHETIC_REQUEST "embed tokenize dict", false, 0},
    {180, SYNTHETIC_REQUEST "search faiss ip", false, 0},
    {20, SYNTHETIC_REQUEST "search faiss fault clear_page", false, 0},
    {120, SYNTHETIC_REQUEST "bm25 genexpr", false, 0},
    {60, SYNTHETIC_REQUEST "bm25 genexpr dict", false, 0},
    {90, "handle answer2 rerank matmul cblas sgemm", false, 0},
    {50, "handle answer2 generate recv syscall tcp_recvmsg", false, 0},
    {40, "handle lookup sha", false, 0},
    {30, "handle lookup stripped", false, 0},
    {10, "handle gettime", false, 0},
    {20, "js", false, 0},
    {5, "search faiss ip", true, 0},
    {5, "handle evil_html evil_close", false, 0},
    {5, "handle evil_utf8", false, 0},
    {5, "handle evil_ansi", false, 0},
    {5, "handle evil_folded evil_proto", false, 0},
    {15, "handle unicode", false, 0},
};

static const struct synthetic_scene synthetic_wait_scenes[] = {
    {350, "handle answer2 generate recv syscall tcp_recvmsg schedule", false, WAIT_SOCKET},
    {150, "epoll syscall ep_poll schedule", false, WAIT_SOCKET},
    {120, SYNTHETIC_REQUEST "search pread syscall ext4_read schedule", false, WAIT_DISK},
    {160, SYNTHETIC_REQUEST "bm25 gil condwait syscall futex_wait schedule", false, WAIT_GIL},
    {100, "handle lookup lock syscall futex_wait schedule", false, WAIT_FUTEX},
    {60, SYNTHETIC_REQUEST "embed matmul cblas sgemm schedule", false, WAIT_RUN_QUEUE},
    {30, SYNTHETIC_REQUEST "search faiss fault schedule", false, WAIT_PAGE_FAULT},
    {20, "sleep syscall nanosleep schedule", false, WAIT_TIMER},
    {10, "handle evil_html schedule", true, WAIT_UNKNOWN},
};

#define SYNTHETIC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline uint32_t synthetic_scene_at(const struct synthetic_scene *scenes, uint64_t index) {
  uint32_t permille = (uint32_t)(index * 617 % 1000);
  uint32_t scene = 0;
  for (; permille >= scenes[scene].permille; scene++)
    permille -= scenes[scene].permille;
  return scene;
}

/* xorshift64*: Marsaglia 2003, Vigna 2016 */
static inline uint64_t synthetic_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717ull;
}

struct synthetic {
  struct trace_writer *writer;
  struct synthetic_options options;
  uint64_t random;
  uint32_t modules[SYNTHETIC_COUNT(synthetic_modules)];
  uint32_t frames[SYNTHETIC_COUNT(synthetic_frames)];
};

static inline uint32_t synthetic_text(struct synthetic *synthetic, const char *text) {
  return trace_put_string(synthetic->writer, text, strlen(text));
}

/* Python frames and marks are named in the frame, all others by symbols at the end. */
static inline void synthetic_put_frames(struct synthetic *synthetic) {
  for (uint32_t i = 1; i < SYNTHETIC_COUNT(synthetic_modules); i++)
    synthetic->modules[i] = trace_put_module(synthetic->writer, &synthetic_modules[i]);
  for (uint32_t i = 0; i < SYNTHETIC_COUNT(synthetic_frames); i++) {
    const struct synthetic_frame *from = &synthetic_frames[i];
    struct trace_frame frame = {
        .kind = from->kind, .flags = from->flags, .module = synthetic->modules[from->module]};
    if (from->kind == FRAME_PYTHON || from->kind == FRAME_MARK) {
      frame.function = synthetic_text(synthetic, from->function);
      frame.file = synthetic_text(synthetic, from->file);
      frame.line = from->line;
      frame.first_line = from->first_line;
    } else {
      frame.address = (from->kind == FRAME_KERNEL ? 0xffffffff81000000ull : 0x1000) + i * 0x234;
    }
    synthetic->frames[i] = trace_put_frame(synthetic->writer, &frame);
  }
}

static inline void synthetic_put_symbols(struct synthetic *synthetic) {
  for (uint32_t i = 0; i < SYNTHETIC_COUNT(synthetic_frames); i++) {
    const struct synthetic_frame *from = &synthetic_frames[i];
    if (!from->function || from->kind == FRAME_PYTHON || from->kind == FRAME_MARK)
      continue;
    struct trace_symbol symbol = {.frame = synthetic->frames[i],
                                  .function = synthetic_text(synthetic, from->function),
                                  .file = synthetic_text(synthetic, from->file),
                                  .line = from->line,
                                  .first_line = from->first_line};
    trace_put_symbol(synthetic->writer, &symbol);
    if (!from->inlined_in)
      continue;
    symbol.depth = 1;
    symbol.function = synthetic_text(synthetic, from->inlined_in);
    symbol.line = from->line + 100;
    trace_put_symbol(synthetic->writer, &symbol);
  }
}

static inline uint32_t synthetic_frame_of(const char *key, size_t bytes) {
  uint32_t i = 0;
  while (strlen(synthetic_frames[i].key) != bytes || memcmp(synthetic_frames[i].key, key, bytes))
    i++;
  return i;
}

static inline uint32_t synthetic_push(struct synthetic *synthetic, uint32_t parent,
                                      const char *keys, uint32_t *depth) {
  for (; *keys; keys += strspn(keys, " ")) {
    size_t bytes = strcspn(keys, " ");
    uint32_t frame = synthetic->frames[synthetic_frame_of(keys, bytes)];
    parent = trace_put_node(synthetic->writer, (struct trace_node){parent, frame});
    keys += bytes;
    ++*depth;
  }
  return parent;
}

/* A made-up Python frame that pads a stack. */
static inline uint32_t synthetic_pad(struct synthetic *synthetic, uint32_t parent, uint32_t layer,
                                     uint32_t variant) {
  char name[64];
  snprintf(name, sizeof(name), "Layer%u.call", layer);
  struct trace_frame frame = {.kind = FRAME_PYTHON,
                              .function = synthetic_text(synthetic, name),
                              .file = synthetic_text(synthetic, "/srv/rag/graph.py"),
                              .line = layer * 10 + 1 + variant % 4,
                              .first_line = layer * 10};
  uint32_t id = trace_put_frame(synthetic->writer, &frame);
  return trace_put_node(synthetic->writer, (struct trace_node){parent, id});
}

static inline uint32_t synthetic_count_keys(const char *keys) {
  uint32_t count = *keys != '\0';
  for (; *keys; keys++)
    count += *keys == ' ';
  return count;
}

/* The leaf of a scene's stack on the main thread or another one. */
static inline uint32_t synthetic_stack(struct synthetic *synthetic,
                                       const struct synthetic_scene *scene, bool is_main,
                                       uint32_t variant) {
  const char *roots = scene->is_cut ? "cut"
                      : is_main     ? "_start main Py_Main <module> serve"
                                    : "clone3 start_thread t_boot bootstrap";
  uint32_t depth = 0;
  uint32_t node = synthetic_push(synthetic, 0, roots, &depth);
  uint32_t target = synthetic->options.depth < SYNTHETIC_DEPTH_MAX ? synthetic->options.depth
                                                                   : SYNTHETIC_DEPTH_MAX;
  depth += synthetic_count_keys(scene->stack);
  for (uint32_t layer = 0; depth < target; layer++, depth++)
    node = synthetic_pad(synthetic, node, layer, variant >> (layer % 6));
  return synthetic_push(synthetic, node, scene->stack, &depth);
}

static inline void synthetic_put_facts(struct synthetic *synthetic) {
  static const char *const facts[][2] = {
      {"ragprof.version", "0.1.0"},
      {"host.kernel", "6.1.0-18-amd64"},
      {"host.machine", "x86_64"},
      {"host.cpus", "8"},
      {"host.os", "Debian GNU/Linux 12 (bookworm)"},
      {"capture.command", "attach"},
      {"capture.frequency_hz", "99"},
      {"capture.event", "cpu-clock"},
      {"capture.start_unix_ns", "1700000000000000000"},
      {"capture.end", "duration"},
      {"target.name", "rag <server>"},
      {"target.pids", "4242"},
  };
  for (size_t i = 0; i < SYNTHETIC_COUNT(facts); i++)
    trace_put_meta(synthetic->writer, facts[i][0], facts[i][1]);
  struct trace_process process = {.pid = SYNTHETIC_PID,
                                  .parent_pid = 1,
                                  .name = "python3",
                                  .executable = "/usr/bin/python3.11",
                                  .runtime = "python 3.11.2"};
  trace_put_process(synthetic->writer, &process);
  for (uint32_t i = 0; i < synthetic->options.thread_count; i++) {
    char name[16];
    snprintf(name, sizeof(name), i ? "worker-%u" : "python3", i);
    struct trace_thread thread = {
        .thread = i + 1, .pid = SYNTHETIC_PID, .tid = SYNTHETIC_PID + i, .name = name};
    trace_put_thread(synthetic->writer, &thread);
  }
}

/* Nodes by [is_main][scene][variant]. */
struct synthetic_stacks {
  uint32_t of_samples[2][SYNTHETIC_COUNT(synthetic_scenes)][SYNTHETIC_VARIANTS];
  uint32_t of_waits[2][SYNTHETIC_COUNT(synthetic_wait_scenes)][SYNTHETIC_VARIANTS];
};

static inline void synthetic_put_stacks(struct synthetic *synthetic,
                                        struct synthetic_stacks *stacks) {
  for (uint32_t is_main = 0; is_main < 2; is_main++) {
    for (uint32_t variant = 0; variant < SYNTHETIC_VARIANTS; variant++) {
      for (uint32_t i = 0; i < SYNTHETIC_COUNT(synthetic_scenes); i++)
        stacks->of_samples[is_main][i][variant] =
            synthetic_stack(synthetic, &synthetic_scenes[i], is_main, variant);
      for (uint32_t i = 0; i < SYNTHETIC_COUNT(synthetic_wait_scenes); i++)
        stacks->of_waits[is_main][i][variant] =
            synthetic_stack(synthetic, &synthetic_wait_scenes[i], is_main, variant);
    }
  }
}

static inline void synthetic_put_wait(struct synthetic *synthetic,
                                      const struct synthetic_stacks *stacks, uint64_t index,
                                      struct trace_account *account) {
  uint32_t scene = synthetic_scene_at(synthetic_wait_scenes, index);
  uint32_t variant = (uint32_t)(synthetic_random(&synthetic->random) % SYNTHETIC_VARIANTS);
  uint64_t length_ns = 100000 + synthetic_random(&synthetic->random) % 40000000;
  struct trace_wait wait = {.start_ns = account->wall_ns,
                            .span_ns = length_ns,
                            .max_ns = length_ns,
                            .count = 1,
                            .thread = account->thread,
                            .node = stacks->of_waits[account->thread == 1][scene][variant],
                            .reason = synthetic_wait_scenes[scene].reason};
  wait.run_queue_ns = wait.reason == WAIT_RUN_QUEUE ? length_ns : length_ns / 50;
  wait.blocked_ns = length_ns - wait.run_queue_ns;
  if (wait.reason == WAIT_GIL || wait.reason == WAIT_FUTEX) {
    wait.waker = (uint32_t)(index * 31 % synthetic->options.thread_count) + 1;
    wait.waker_tid = SYNTHETIC_PID - 1 + wait.waker;
  }
  trace_put_wait(synthetic->writer, &wait);
  account->wall_ns += length_ns;
  account->blocked_ns += wait.blocked_ns;
  account->run_queue_ns += wait.run_queue_ns;
  *(wait.reason == WAIT_RUN_QUEUE ? &account->involuntary_switches
                                  : &account->voluntary_switches) += 1;
}

static inline void synthetic_put_sample(struct synthetic *synthetic,
                                        const struct synthetic_stacks *stacks, uint64_t index,
                                        struct trace_account *account) {
  uint32_t scene = synthetic_scene_at(synthetic_scenes, index);
  uint32_t variant = (uint32_t)(synthetic_random(&synthetic->random) % SYNTHETIC_VARIANTS);
  struct trace_sample sample = {.time_ns = account->wall_ns + SYNTHETIC_PERIOD_NS / 2,
                                .thread = account->thread,
                                .node = stacks->of_samples[account->thread == 1][scene][variant]};
  trace_put_sample(synthetic->writer, &sample);
  account->wall_ns += SYNTHETIC_PERIOD_NS;
  account->on_cpu_ns += SYNTHETIC_PERIOD_NS;
}

static inline void synthetic_put_events(struct synthetic *synthetic,
                                        const struct synthetic_stacks *stacks,
                                        struct trace_account *accounts) {
  const struct synthetic_options *options = &synthetic->options;
  uint64_t waits = 0;
  for (uint64_t i = 0; i < options->sample_count; i++) {
    synthetic_put_sample(synthetic, stacks, i, &accounts[i % options->thread_count]);
    uint64_t waits_due =
        (uint64_t)((__uint128_t)options->wait_count * (i + 1) / options->sample_count);
    for (; waits < waits_due; waits++)
      synthetic_put_wait(synthetic, stacks, waits, &accounts[waits % options->thread_count]);
  }
  for (; waits < options->wait_count; waits++)
    synthetic_put_wait(synthetic, stacks, waits, &accounts[waits % options->thread_count]);
}

static inline void synthetic_put_ends(struct synthetic *synthetic,
                                      const struct trace_account *accounts) {
  uint64_t end_ns = 0;
  for (uint32_t i = 0; i < synthetic->options.thread_count; i++)
    end_ns = accounts[i].wall_ns > end_ns ? accounts[i].wall_ns : end_ns;
  for (uint32_t i = 0; i < synthetic->options.thread_count; i++) {
    struct trace_account account = accounts[i];
    account.time_ns = account.wall_ns;
    trace_put_account(synthetic->writer, &account);
  }
  char text[24];
  snprintf(text, sizeof(text), "%llu", (unsigned long long)end_ns);
  trace_put_meta(synthetic->writer, "capture.duration_ns", text);
  trace_put_counter(synthetic->writer, "capture.samples", synthetic->options.sample_count);
  trace_put_counter(synthetic->writer, "lost.samples", 3);
  trace_put_counter(synthetic->writer, "lost.waits", 0);
  trace_put_counter(synthetic->writer, "cost.bpf_ns", synthetic->options.sample_count * 5000);
  trace_put_counter(synthetic->writer, "cost.bpf_runs", synthetic->options.sample_count);
  trace_put_counter(synthetic->writer, "cost.collector_cpu_ns", end_ns / 500);
  trace_put_counter(synthetic->writer, "cost.collector_rss_bytes", 24u << 20);
}

/* Puts a whole synthetic capture; the caller closes the writer. */
static inline void synthetic_put(struct trace_writer *writer,
                                 const struct synthetic_options *options) {
  struct synthetic synthetic = {
      .writer = writer, .options = *options, .random = options->seed * 2654435769ull + 1};
  if (!synthetic.options.thread_count)
    synthetic.options.thread_count = 1;
  struct synthetic_stacks *stacks = calloc(1, sizeof(*stacks));
  struct trace_account *accounts = calloc(synthetic.options.thread_count, sizeof(*accounts));
  if (stacks && accounts) {
    for (uint32_t i = 0; i < synthetic.options.thread_count; i++)
      accounts[i].thread = i + 1;
    synthetic_put_facts(&synthetic);
    synthetic_put_frames(&synthetic);
    synthetic_put_stacks(&synthetic, stacks);
    synthetic_put_events(&synthetic, stacks, accounts);
    synthetic_put_symbols(&synthetic);
    synthetic_put_ends(&synthetic, accounts);
  }
  free(stacks);
  free(accounts);
}

#endif

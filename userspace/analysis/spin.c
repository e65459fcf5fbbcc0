/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of waiting loops. The names are those of the libraries' sources; a library that is
 * stripped of its local names is told by its file. */
#include "analysis/spin.h"

#include <stdbool.h>
#include <string.h>

#define LIBC_FRAMES 8 /* looked at between a loop and the kernel: the ways to a futex, a yield */

struct place {
  const char *pool;
  const char *module;   /* part of the path; "" any */
  const char *function; /* beginning of the name; "" any */
};

static const struct place places[] = {
    {"GNU OpenMP", "/libgomp", ""},
    {"GNU OpenMP", "", "gomp_barrier_wait"},
    {"GNU OpenMP", "", "gomp_team_barrier_wait"},
    {"LLVM OpenMP", "/libiomp5", ""},
    {"LLVM OpenMP", "/libomp", ""},
    {"LLVM OpenMP", "", "__kmp_"},
    {"OpenBLAS", "", "blas_thread_server"},
    {"OpenBLAS", "", "exec_blas"},
    {"OpenBLAS", "openblas", "inner_thread"},
    {"BLIS", "", "bli_thread_barrier"},
    {"ggml", "", "ggml_barrier"},
    {"ggml", "", "ggml_graph_compute_poll_for_work"},
    {"ggml", "", "ggml_graph_compute_check_for_work"},
    {"ONNX Runtime", "", "onnxruntime::concurrency::SpinPause"},
    {"ONNX Runtime", "", "onnxruntime::concurrency::ThreadPoolTempl"},
    {"Eigen", "", "Eigen::ThreadPoolTempl"},
    {"spin locks", "", "pthread_spin_lock"},
};

static const struct profile_function *function_of(const struct profile *profile, uint32_t node) {
  return &profile->functions[profile->frames[profile->nodes[node].frame].function_id];
}

static bool starts_with(const char *text, const char *prefix) {
  return !strncmp(text, prefix, strlen(prefix));
}

static const char *pool_at(const struct profile_function *function) {
  for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
    if (strstr(function->module, places[i].module) &&
        starts_with(function->name, places[i].function))
      return places[i].pool;
  return NULL;
}

static bool is_yield(const struct profile_function *function) {
  return !strcmp(function->name, "sched_yield") || !strcmp(function->name, "__sched_yield");
}

static uint32_t outside_kernel(const struct profile *profile, uint32_t node) {
  while (node != PROFILE_NONE && function_of(profile, node)->kind == FRAME_KERNEL)
    node = profile->nodes[node].parent;
  return node;
}

static bool is_libc(const struct profile_function *function) {
  return strstr(function->module, "/libc.so") || strstr(function->module, "/libc-2") ||
         strstr(function->module, "/libpthread") || strstr(function->module, "/ld-musl");
}

/* The pool of the innermost frame outside of libc: what stands above it does something else. */
static const char *pool_above_libc(const struct profile *profile, uint32_t node) {
  for (int i = 0; node != PROFILE_NONE && i < LIBC_FRAMES; i++) {
    if (!is_libc(function_of(profile, node)))
      return pool_at(function_of(profile, node));
    node = profile->nodes[node].parent;
  }
  return NULL;
}

const char *spin_pool(const struct profile *profile, uint32_t node) {
  node = outside_kernel(profile, node);
  if (node == PROFILE_NONE)
    return NULL;
  if (!is_yield(function_of(profile, node)))
    return pool_at(function_of(profile, node));
  const char *pool = pool_above_libc(profile, profile->nodes[node].parent);
  return pool ? pool : "sched_yield";
}

const char *spin_pool_asleep(const struct profile *profile, uint32_t node) {
  return pool_above_libc(profile, outside_kernel(profile, node));
}

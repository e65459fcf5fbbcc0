/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts the target's iterations: knows what one is (iteration.h), and which descriptors are
 * connections that were accepted. What passes on them is iteration_http.c's to read. */
#include "iteration.h"

#include <string.h>

#include "iteration_http.h"
#include "python_hooks.h"
#include "shim.h"

/* Connections with higher numbers are not read. */
#define DESCRIPTORS_MAX (64 * 1024)

bool shim_iteration_wants_reads;

static struct http_reader *readers; /* by descriptor; pages that are not used take no memory */
static struct http_wanted wanted;

void iteration_count(uint64_t iterations) {
  struct shim_thread *thread = shim_enter(); /* of the right process, after a fork too */
  if (shim_region)
    __atomic_add_fetch(&shim_region->iterations, iterations, __ATOMIC_RELAXED);
  if (thread)
    shim_leave(thread);
}

static struct http_reader *reader_of(int fd) {
  return readers && fd >= 0 && fd < DESCRIPTORS_MAX ? &readers[fd] : NULL;
}

void shim_iteration_accepted(int fd) {
  struct http_reader *reader = reader_of(fd);
  if (reader)
    http_reader_begin(reader);
}

void shim_iteration_closed(int fd) {
  struct http_reader *reader = reader_of(fd);
  if (reader && http_reader_reads(reader))
    *reader = (struct http_reader){0};
}

void shim_iteration_read(int fd, const void *data, size_t bytes) {
  struct http_reader *reader = reader_of(fd);
  if (!reader || !http_reader_reads(reader))
    return;
  uint32_t begun = http_reader_feed(reader, &wanted, data, bytes);
  if (begun)
    iteration_count(begun);
}

static void want_requests(const char *path) {
  if (path) {
    size_t bytes = strlen(path);
    wanted.is_prefix = bytes && path[bytes - 1] == '*';
    wanted.path = path;
    wanted.path_bytes = bytes - wanted.is_prefix;
  }
  readers = shim_map(DESCRIPTORS_MAX * sizeof(*readers));
  shim_iteration_wants_reads = readers != NULL;
}

void shim_iteration_start(void) {
  static bool is_python_counted;
  const char *spec = shim_config.iteration;
  if (!strncmp(spec, "py:", 3)) {
    is_python_counted = is_python_counted || iteration_python_start(spec + 3);
  } else if (!readers) {
    if (!strcmp(spec, "query"))
      want_requests(NULL);
    else if (!strncmp(spec, "http:", 5))
      want_requests(spec + 5);
  }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of objects, from events as BPF sends them and as it never would. */
#include "capture/objects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trace/writer.h"

struct fixture {
  char path[64];
  struct trace_writer *writer;
  struct object_store *store;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  snprintf(fixture->path, sizeof(fixture->path), "/tmp/objects-test-%d.ragprof", getpid());
  assert_int_equal(trace_writer_open(&fixture->writer, fixture->path, true), 0);
  assert_int_equal(object_store_new(&fixture->store, fixture->writer), 0);
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  object_store_free(fixture->store);
  trace_writer_abandon(fixture->writer);
  free(fixture);
  return 0;
}

/* The trace id that the name itself gets: names are interned, so it is that of the object. */
static uint32_t id_of(struct fixture *fixture, enum object_kind kind, const char *name) {
  return trace_put_object(fixture->writer, &(struct trace_object){.kind = kind, .name = name});
}

static void check(void **state, enum object_kind kind, uint64_t inode, bool is_cut,
                  const char *data, size_t bytes, const char *name) {
  struct fixture *fixture = *state;
  struct event_object event = {.type = EVENT_OBJECT,
                               .id = 7,
                               .kind = kind,
                               .is_cut = is_cut,
                               .bytes = (uint32_t)bytes,
                               .inode = inode};
  memcpy(event.data, data, bytes);
  object_store_add(fixture->store, &event, offsetof(struct event_object, data) + bytes);
  assert_int_not_equal(object_store_id(fixture->store, 7), 0);
  assert_int_equal(object_store_id(fixture->store, 7), id_of(fixture, kind, name));
}

static void paths(void **state) {
  check(state, OBJECT_FILE, 5, false, "passwd\0etc", 11, "/etc/passwd");
  check(state, OBJECT_FILE, 5, false, "", 0, "/");
  check(state, OBJECT_FILE, 5, true, "c\0b\0a", 6, "…/a/b/c");
  check(state, OBJECT_PIPE, 17, false, "", 0, "pipe:[17]");
  check(state, OBJECT_PIPE, 17, false, "fifo\0tmp", 9, "/tmp/fifo");
  check(state, OBJECT_EVENT, 3, false, "[eventpoll]", 12, "[eventpoll]");
  check(state, OBJECT_EVENT, 3, false, "pidfs", 6, "[pidfs]");
  check(state, OBJECT_DEVICE, 3, false, "null\0dev", 9, "/dev/null");
  check(state, OBJECT_DEVICE, 0, false, "vda", 4, "vda");
}

static void names_without_an_end(void **state) {
  check(state, OBJECT_FILE, 5, false, "passwd\0et", 9, "/passwd");
  check(state, OBJECT_EVENT, 5, false, "[event", 6, "(unknown)");
  check(state, OBJECT_DEVICE, 0, false, "vd", 2, "(unknown)");
}

/* What the event says of its size is no more than what came. */
static void too_many_bytes(void **state) {
  struct fixture *fixture = *state;
  struct event_object event = {.type = EVENT_OBJECT, .id = 9, .kind = OBJECT_FILE, .bytes = ~0u};
  memset(event.data, 'x', sizeof(event.data));
  memcpy(event.data, "name", 5);
  object_store_add(fixture->store, &event, offsetof(struct event_object, data) + 5);
  assert_int_equal(object_store_id(fixture->store, 9), id_of(fixture, OBJECT_FILE, "/name"));
  object_store_add(fixture->store, &(struct event_object){.id = 10, .kind = OBJECT_KINDS},
                   offsetof(struct event_object, data));
  assert_int_equal(object_store_id(fixture->store, 10), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(paths, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_without_an_end, set_up, tear_down),
      cmocka_unit_test_setup_teardown(too_many_bytes, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

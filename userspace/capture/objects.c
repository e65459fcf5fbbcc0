/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the names of objects. */
#include "capture/objects.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"

struct object_store {
  struct trace_writer *writer;
  struct hash by_id; /* of BPF → trace id */
};

int object_store_new(struct object_store **out, struct trace_writer *writer) {
  struct object_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->writer = writer;
  *out = store;
  return 0;
}

void object_store_free(struct object_store *store) {
  if (!store)
    return;
  hash_fini(&store->by_id);
  free(store);
}

/* ---- names ---- */

/* Names from the leaf up, each with a NUL behind it. Returns their count. */
static size_t split_names(const struct event_object *event, size_t bytes,
                          const char *names[OBJECT_NAMES_MAX]) {
  size_t count = 0;
  for (size_t at = 0; at < bytes && count < OBJECT_NAMES_MAX;) {
    size_t length = strnlen((const char *)event->data + at, bytes - at);
    if (at + length == bytes)
      break; /* without its end */
    names[count++] = (const char *)event->data + at;
    at += length + 1;
  }
  return count;
}

static void put_path(struct buf *name, const struct event_object *event, size_t bytes) {
  const char *names[OBJECT_NAMES_MAX];
  size_t count = split_names(event, bytes, names);
  if (event->is_cut)
    buf_put_text(name, "…");
  if (!count)
    buf_put_text(name, "/");
  while (count-- > 0)
    buf_printf(name, "/%s", names[count]);
}

/* One that lies in no folder goes by its inode: "pipe:[17]". */
static void put_pipe(struct buf *name, const struct event_object *event, size_t bytes) {
  if (bytes)
    put_path(name, event, bytes);
  else
    buf_printf(name, "pipe:[%llu]", (unsigned long long)event->inode);
}

static void put_event(struct buf *name, const struct event_object *event, size_t bytes) {
  const char *names[OBJECT_NAMES_MAX];
  if (split_names(event, bytes, names))
    buf_printf(name, names[0][0] == '[' ? "%s" : "[%s]", names[0]);
}

/* A disk has a name and no inode. */
static void put_device(struct buf *name, const struct event_object *event, size_t bytes) {
  const char *names[OBJECT_NAMES_MAX];
  if (event->inode)
    put_path(name, event, bytes);
  else if (split_names(event, bytes, names))
    buf_put_text(name, names[0]);
}

/* By enum sock_type. */
static const char *protocol_of(const struct object_socket *socket) {
  switch (socket->type) {
  case SOCK_DGRAM:
    return "udp";
  case SOCK_RAW:
    return "raw";
  }
  return "tcp";
}

static void put_address(struct buf *name, const struct object_socket *socket) {
  char text[INET6_ADDRSTRLEN];
  static const uint8_t nowhere[sizeof(socket->address)];
  buf_printf(name, "%s ", protocol_of(socket));
  if (!socket->port && !memcmp(socket->address, nowhere, sizeof(nowhere))) {
    buf_put_text(name, "(unconnected)");
    return;
  }
  inet_ntop(socket->family, socket->address, text, sizeof(text));
  buf_printf(name, socket->family == AF_INET6 ? "[%s]" : "%s", text);
  if (socket->role == SOCKET_ACCEPTED)
    buf_printf(name, " (to port %u)", socket->port);
  else if (socket->port)
    buf_printf(name, ":%u", socket->port);
}

/* The first byte of an abstract name is NUL. */
static void put_unix(struct buf *name, const char *path, size_t length) {
  buf_put_text(name, "unix ");
  if (!length || (!path[0] && length == 1))
    buf_put_text(name, "(unnamed)");
  else if (path[0])
    buf_printf(name, "%.*s", (int)strnlen(path, length), path);
  else
    buf_printf(name, "@%.*s", (int)strnlen(path + 1, length - 1), path + 1);
}

static void put_family(struct buf *name, uint16_t family) {
  static const struct {
    uint16_t family;
    const char *name;
  } names[] = {
      {AF_NETLINK, "netlink"}, {AF_PACKET, "packet"}, {AF_VSOCK, "vsock"},
      {AF_ALG, "alg"},         {AF_XDP, "xdp"},       {AF_BLUETOOTH, "bluetooth"},
      {AF_TIPC, "tipc"},       {AF_CAN, "can"},       {AF_KEY, "key"},
  };
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (names[i].family == family) {
      buf_put_text(name, names[i].name);
      return;
    }
  buf_printf(name, "socket of family %u", family);
}

static void put_socket(struct buf *name, const struct event_object *event, size_t bytes) {
  struct object_socket socket;
  if (bytes < sizeof(socket))
    return;
  memcpy(&socket, event->data, sizeof(socket));
  if (socket.family == AF_INET || socket.family == AF_INET6)
    put_address(name, &socket);
  else if (socket.family == AF_UNIX)
    put_unix(name, (const char *)event->data + sizeof(socket), bytes - sizeof(socket));
  else
    put_family(name, socket.family);
  if (socket.role == SOCKET_LISTENING)
    buf_put_text(name, " (listening)");
}

static void put_lock(struct buf *name, const struct event_object *event, size_t bytes) {
  static const char *const prefixes[LOCK_KINDS] = {
      [LOCK_PLAIN] = "", [LOCK_SEMAPHORE] = "semaphore ", [LOCK_READ_WRITE] = "rwlock "};
  struct object_lock lock;
  if (bytes < sizeof(lock))
    return;
  memcpy(&lock, event->data, sizeof(lock));
  if (lock.kind == LOCK_GIL)
    buf_put_text(name, "GIL");
  else if (lock.kind < LOCK_KINDS)
    buf_printf(name, "%s0x%llx", prefixes[lock.kind], (unsigned long long)lock.address);
}

static void put_text(struct buf *name, const struct event_object *event, size_t bytes) {
  buf_printf(name, "%.*s", (int)strnlen((const char *)event->data, bytes),
             (const char *)event->data);
}

static void (*const put_name[OBJECT_KINDS])(struct buf *, const struct event_object *, size_t) = {
    [OBJECT_FILE] = put_path,   [OBJECT_PIPE] = put_pipe,     [OBJECT_SOCKET] = put_socket,
    [OBJECT_EVENT] = put_event, [OBJECT_DEVICE] = put_device, [OBJECT_MEMORY] = put_text,
    [OBJECT_LOCK] = put_lock,
};

void object_store_add(struct object_store *store, const struct event_object *event, size_t bytes) {
  size_t given = bytes - offsetof(struct event_object, data);
  struct buf name = {0};
  if (event->kind >= OBJECT_KINDS || !put_name[event->kind])
    return;
  put_name[event->kind](&name, event, event->bytes < given ? event->bytes : given);
  struct trace_object object = {.kind = event->kind,
                                .name = name.length ? buf_text(&name) : "(unknown)"};
  uint32_t id = name.failed ? 0 : trace_put_object(store->writer, &object);
  if (id)
    hash_put(&store->by_id, event->id, id);
  buf_fini(&name);
}

uint32_t object_store_id(const struct object_store *store, uint64_t id) {
  const uint32_t *known = id ? hash_get(&store->by_id, id) : NULL;
  return known ? *known : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns asking debuginfod servers, by the client library of elfutils, loaded only when a user asks
 * for it. */
#include <dlfcn.h>
#include <errno.h>

#include "symbol/debugfile.h"

/* The interface of libdebuginfod.so.1 (elfutils ≥ 0.178, debuginfod.h). */
struct client_library {
  void *(*begin)(void);
  int (*find_debuginfo)(void *client, const unsigned char *build_id, int bytes, char **path);
  void (*end)(void *client);
};

static bool load(struct client_library *library, void *handle) {
  *(void **)&library->begin = dlsym(handle, "debuginfod_begin");
  *(void **)&library->find_debuginfo = dlsym(handle, "debuginfod_find_debuginfo");
  *(void **)&library->end = dlsym(handle, "debuginfod_end");
  return library->begin && library->find_debuginfo && library->end;
}

int debuginfod_open(const uint8_t *build_id, size_t bytes) {
  struct client_library library;
  /* Stays loaded: libcurl behind it does not survive being unloaded. */
  void *handle = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle || !load(&library, handle))
    return -ENOTSUP;
  void *client = library.begin();
  if (!client)
    return -ENOENT;
  int fd = library.find_debuginfo(client, build_id, (int)bytes, NULL);
  library.end(client);
  return fd < 0 ? -ENOENT : fd;
}

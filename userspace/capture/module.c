/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the registry of mapped ELF files. */
#include "capture/module.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "symbol/symbol.h"

#define VDSO_PATH "[vdso]"
#define VDSO_BYTES_MAX (64 * 1024)

struct module_store {
  struct table_store *tables;
  struct trace_writer *writer;
  struct module **modules;
  uint32_t count;
  uint32_t capacity;
  struct hash by_inode; /* hash of device and inode → index; probed on by +1 */
};

int module_store_new(struct module_store **out, struct table_store *tables,
                     struct trace_writer *writer) {
  struct module_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->tables = tables;
  store->writer = writer;
  *out = store;
  return 0;
}

static void module_free(struct module *module) {
  if (module->fd >= 0)
    close(module->fd);
  free(module->path);
  free(module->pieces);
  unwind_table_fini(&module->table);
  free(module);
}

void module_store_free(struct module_store *store) {
  if (!store)
    return;
  for (uint32_t i = 0; i < store->count; i++)
    module_free(store->modules[i]);
  free(store->modules);
  hash_fini(&store->by_inode);
  free(store);
}

uint32_t module_store_count(const struct module_store *store) {
  return store->count;
}

struct module *module_store_get(struct module_store *store, uint32_t index) {
  return store->modules[index];
}

/* The vdso as a file: every process maps the same image, ours included. The first pages up to the
 * end of its section headers are all there is. */
static int open_vdso(void) {
  const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
  int fd = image ? memfd_create("vdso", MFD_CLOEXEC) : -1;
  if (fd < 0)
    return -1;
  Elf64_Ehdr header;
  memcpy(&header, image, sizeof(header));
  size_t bytes = header.e_shoff + (size_t)header.e_shnum * header.e_shentsize;
  if (bytes > VDSO_BYTES_MAX || write(fd, image, bytes) != (ssize_t)bytes) {
    close(fd);
    return -1;
  }
  return fd;
}

/* Opens a regular file and nothing else: of a path that the target names, not even a device is
 * touched. */
static int open_regular(const char *path) {
  char name[32];
  struct stat info;
  int place = open(path, O_PATH | O_CLOEXEC);
  if (place < 0)
    return -1;
  snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
  bool is_regular = !fstat(place, &info) && S_ISREG(info.st_mode);
  int fd = is_regular ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  close(place);
  return fd;
}

/* Where a process's path is seen from here. */
static void path_from_here(char out[PATH_MAX], pid_t pid, const char *path) {
  if (pid)
    snprintf(out, PATH_MAX, "/proc/%d/root%s", pid, path);
  else
    snprintf(out, PATH_MAX, "%s", path);
}

/* Opens the mapped file itself, by map_files where that is allowed: right also for files that were
 * deleted or replaced, and in containers. */
static int open_mapped(const struct module_request *request) {
  char name[PATH_MAX];
  struct stat info;
  snprintf(name, sizeof(name), "/proc/%d/map_files/%lx-%lx", request->pid, request->start,
           request->end);
  int fd = request->end ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  bool by_name = fd < 0;
  if (by_name) {
    path_from_here(name, request->pid, request->path);
    fd = open_regular(name);
  }
  if (fd < 0)
    return -1;
  if (fstat(fd, &info) || !S_ISREG(info.st_mode) || (by_name && info.st_ino != request->inode)) {
    close(fd);
    return -1;
  }
  return fd;
}

static void find_root(struct module *module, pid_t pid) {
  char name[32];
  struct stat theirs, ours;
  snprintf(name, sizeof(name), "/proc/%d/root", pid);
  if (stat(name, &theirs) || stat("/", &ours))
    return;
  if (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino)
    memcpy(module->root, name, sizeof(name));
}

static void compile_table(struct module_store *store, struct module *module) {
  struct unwind_table *table = &module->table;
  if (store->tables ? unwind_table_build_fd(table, module->fd)
                    : unwind_table_segments_fd(table, module->fd)) {
    log_debug("%s: %s", module->path, error_text());
    return;
  }
  if (!store->tables)
    return;
  if (table_store_add(store->tables, table, &module->pieces, &module->piece_count))
    log_warning("%s: %s; its frames are followed by frame pointers", module->path, error_text());
  free(table->rows);
  table->rows = NULL;
  table->row_count = 0;
}

static uint64_t read_entry(int fd) {
  Elf64_Ehdr header;
  return pread(fd, &header, sizeof(header), 0) == sizeof(header) ? header.e_entry : 0;
}

static void inspect(struct module_store *store, struct module *module) {
  ssize_t bytes = symbol_build_id(module->fd, module->build_id, sizeof(module->build_id));
  module->build_id_bytes = bytes > 0 ? (uint32_t)bytes : 0;
  module->entry_vaddr = read_entry(module->fd);
  compile_table(store, module);
  int found = cpython_probe(&module->python, module->fd, module->path);
  module->has_python = found == 0;
  if (found == -ENOTSUP)
    log_warning("%s: %s; its Python frames are not shown", module->path, error_text());
}

static struct module *create(struct module_store *store, const struct module_request *request) {
  struct module *module = calloc(1, sizeof(*module));
  if (!module)
    return NULL;
  module->device = request->device;
  module->inode = request->inode;
  module->path = strdup(request->path);
  bool is_vdso = !strcmp(request->path, VDSO_PATH);
  module->fd = is_vdso ? open_vdso() : open_mapped(request);
  if (!module->path) {
    module_free(module);
    return NULL;
  }
  if (module->fd >= 0) {
    if (!is_vdso && request->pid)
      find_root(module, request->pid);
    inspect(store, module);
  } else {
    log_debug("%s: cannot be opened, its frames are followed by frame pointers", request->path);
  }
  module->trace_id = trace_put_module(
      store->writer, &(struct trace_module){.path = module->path,
                                            .build_id = module->build_id,
                                            .build_id_bytes = module->build_id_bytes});
  return module;
}

static bool has_room(struct module_store *store) {
  if (store->count < store->capacity)
    return true;
  uint32_t capacity = store->capacity ? store->capacity * 2 : 64;
  struct module **modules = realloc(store->modules, capacity * sizeof(struct module *));
  if (!modules)
    return false;
  store->modules = modules;
  store->capacity = capacity;
  return true;
}

struct module *module_store_find(struct module_store *store, const struct module_request *request) {
  uint64_t key = hash_mix(request->device, request->inode);
  for (uint32_t *at; (at = hash_get(&store->by_inode, key)); key++) {
    struct module *module = store->modules[*at];
    if (module->device == request->device && module->inode == request->inode &&
        !strcmp(module->path, request->path))
      return module;
  }
  struct module *module = has_room(store) ? create(store, request) : NULL;
  if (!module)
    return NULL;
  if (hash_put(&store->by_inode, key, store->count)) {
    module_free(module);
    return NULL;
  }
  store->modules[store->count++] = module;
  return module;
}

/* The dynamic linker's names for the vdso: linux-vdso.so.1, linux-gate.so.1. */
static bool is_vdso_name(const char *path) {
  return !strcmp(path, VDSO_PATH) || !strncmp(path, "linux-", 6);
}

struct module *module_store_named(struct module_store *store, pid_t pid, const char *path,
                                  const uint8_t *build_id, uint32_t build_id_bytes) {
  char name[PATH_MAX];
  struct stat info = {0};
  if (is_vdso_name(path))
    return module_store_find(store, &(struct module_request){.path = VDSO_PATH});
  if (path[0] != '/')
    return NULL;
  path_from_here(name, pid, path);
  if (stat(name, &info) && pid)
    return module_store_named(store, 0, path, build_id, build_id_bytes);
  struct module_request request = {
      .pid = pid, .device = info.st_dev, .inode = info.st_ino, .path = path};
  struct module *module = module_store_find(store, &request);
  bool is_other = module && build_id_bytes && module->build_id_bytes &&
                  (module->build_id_bytes != build_id_bytes ||
                   memcmp(module->build_id, build_id, build_id_bytes) != 0);
  if (!is_other)
    return module;
  request.device = 0; /* a module of that name, without a file to read */
  request.inode = hash_bytes(build_id, build_id_bytes);
  return module_store_find(store, &request);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns region.modules[]: the loaded objects that frames were seen in, each published when it first
 * is. Asks the dynamic linker by its lock-free look-up alone, since a signal handler may ask. */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

#include "unwind.h"

#pragma weak _dl_find_object /* glibc 2.35 */

#define PATH_BYTES_MAX 4096
#define BUILD_ID_BYTES_MAX 64

static uint32_t publishing; /* a lock that is only tried */

/* ---- objects ---- */

/* The headers lie where the file begins; linkers put that at the start of the first segment. */
static void find_headers(struct shim_object *object) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)object->start;

  if (object->end - object->start < SHIM_PAGE_BYTES || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
      header->e_phentsize != sizeof(Elf64_Phdr) ||
      header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) > SHIM_PAGE_BYTES)
    return;
  object->phdrs = (const uint8_t *)header + header->e_phoff;
  object->phdr_count = header->e_phnum;
}

bool shim_object_find(uint64_t pc, struct shim_object *object) {
  struct dl_find_object found;

  if (!_dl_find_object || pc >= SHIM_ADDRESS_MAX || _dl_find_object((void *)pc, &found))
    return false;
  *object = (struct shim_object){
      .start = (uint64_t)found.dlfo_map_start,
      .end = (uint64_t)found.dlfo_map_end,
      .bias = found.dlfo_link_map->l_addr,
      .name = found.dlfo_link_map->l_name,
      .eh_frame_hdr = (uint64_t)found.dlfo_eh_frame,
  };
  find_headers(object);
  return true;
}

uint64_t shim_object_segment_end(const struct shim_object *object, uint64_t address) {
  const Elf64_Phdr *phdrs = object->phdrs;

  for (uint32_t i = 0; i < object->phdr_count; i++) {
    uint64_t start = object->bias + phdrs[i].p_vaddr;
    if (phdrs[i].p_type == PT_LOAD && (phdrs[i].p_flags & PF_R) &&
        address - start < phdrs[i].p_filesz)
      return start + phdrs[i].p_filesz;
  }
  return 0;
}

/* ---- publishing ---- */

/* The NT_GNU_BUILD_ID among the notes of [at, end). */
static const uint8_t *build_id_in(const uint8_t *at, const uint8_t *end, uint32_t *bytes) {
  while (end - at > (ptrdiff_t)sizeof(Elf64_Nhdr)) {
    const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
    uint64_t name_bytes = (note->n_namesz + 3ull) & ~3ull;
    uint64_t all = sizeof(*note) + name_bytes + ((note->n_descsz + 3ull) & ~3ull);
    if (all > (uint64_t)(end - at))
      return NULL;
    if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && !memcmp(note + 1, "GNU", 4) &&
        note->n_descsz <= BUILD_ID_BYTES_MAX) {
      *bytes = note->n_descsz;
      return (const uint8_t *)(note + 1) + name_bytes;
    }
    at += all;
  }
  return NULL;
}

static const uint8_t *build_id_of(const struct shim_object *object, uint32_t *bytes) {
  const Elf64_Phdr *phdrs = object->phdrs;
  const uint8_t *id = NULL;

  for (uint32_t i = 0; i < object->phdr_count && !id; i++) {
    uint64_t start = object->bias + phdrs[i].p_vaddr;
    if (phdrs[i].p_type == PT_NOTE && !(start & 3) &&
        shim_object_segment_end(object, start) >= start + phdrs[i].p_filesz)
      id = build_id_in((const uint8_t *)start, (const uint8_t *)(start + phdrs[i].p_filesz), bytes);
  }
  return id;
}

/* The object's file as an absolute path, as far as it can be known; its length. */
static size_t path_of(const struct shim_object *object, char *to) {
  size_t bytes = strnlen(object->name, PATH_BYTES_MAX), at = 0;
  long got;

  if (!bytes) {
    got = shim_syscall(SYS_readlink, "/proc/self/exe", to, PATH_BYTES_MAX);
    return got > 0 ? (size_t)got : 0;
  }
  if (!memchr(object->name, '/', bytes)) { /* no file: "linux-vdso.so.1" */
    memcpy(to, "[vdso]", 6);
    return 6;
  }
  if (object->name[0] != '/') {
    got = shim_syscall(SYS_getcwd, to, PATH_BYTES_MAX - 1); /* its NUL becomes the slash */
    at = got > 0 ? (size_t)got : 0;
    if (at)
      to[at - 1] = '/';
  }
  if (bytes > PATH_BYTES_MAX - at)
    bytes = PATH_BYTES_MAX - at;
  memcpy(to + at, object->name, bytes);
  return at + bytes;
}

/* Of the module that is being published; used under the lock, as stacks may be small. */
static char path[PATH_BYTES_MAX];

/* How often something was unloaded, and how often it was when modules[k] was last seen to be what
 * lies there. */
static uint32_t unloads;
static uint32_t seen[REGION_MODULES_MAX];

/* The latest module at the object's place; module_count where there is none. */
static uint32_t find_overlapping(const struct region *region, const struct shim_object *object) {
  uint32_t count = region->module_count;

  for (uint32_t i = count; i-- > 0;)
    if (region->modules[i].start < object->end && object->start < region->modules[i].end)
      return i;
  return count;
}

/* Where it takes the place of another module, a new generation begins: the same addresses mean
 * something else from now on. */
static bool put_module(struct region *region, const struct shim_object *object,
                       bool takes_a_place) {
  uint32_t index = region->module_count, id_bytes = 0;
  struct region_module *module = &region->modules[index];

  if (index >= REGION_MODULES_MAX || !shim_region_room(module, sizeof(*module)))
    return false;
  size_t path_bytes = path_of(object, path);
  const uint8_t *id = build_id_of(object, &id_bytes);
  *module = (struct region_module){
      .start = object->start,
      .end = object->end,
      .bias = object->bias,
      .generation = region->generation + takes_a_place,
      .path_off = shim_region_text(path, path_bytes),
      .path_bytes = (uint16_t)path_bytes,
      .build_id_off = id ? shim_region_text(id, id_bytes) : 0,
      .build_id_bytes = (uint16_t)(id ? id_bytes : 0),
  };
  if (module->path_off == UINT32_MAX || module->build_id_off == UINT32_MAX)
    return false;
  seen[index] = __atomic_load_n(&unloads, __ATOMIC_RELAXED);
  __atomic_store_n(&region->module_count, index + 1, __ATOMIC_RELEASE);
  __atomic_store_n(&region->generation, module->generation, __ATOMIC_RELEASE);
  return true;
}

static bool is_same_file(const struct region *region, const struct region_module *module,
                         const struct shim_object *object) {
  uint32_t id_bytes = 0;
  const uint8_t *id = build_id_of(object, &id_bytes);

  return path_of(object, path) == module->path_bytes &&
         !memcmp(path, region->text + module->path_off, module->path_bytes) &&
         id_bytes == module->build_id_bytes &&
         (!id_bytes || !memcmp(id, region->text + module->build_id_off, id_bytes));
}

/* Whether modules[index] is the object: those that were unloaded make room for others, and for
 * themselves. */
static bool is_known(const struct region *region, const struct shim_object *object,
                     uint32_t index) {
  const struct region_module *module = &region->modules[index];
  uint32_t now = __atomic_load_n(&unloads, __ATOMIC_RELAXED);

  if (module->start != object->start || module->end != object->end ||
      (seen[index] != now && !is_same_file(region, module, object)))
    return false;
  seen[index] = now;
  return true;
}

bool shim_object_publish(const struct shim_object *object) {
  struct region *region = shim_region;

  if (__atomic_exchange_n(&publishing, 1, __ATOMIC_ACQUIRE))
    return false;
  uint32_t index = find_overlapping(region, object);
  bool takes_a_place = index < region->module_count;
  if ((!takes_a_place || !is_known(region, object, index)) &&
      !put_module(region, object, takes_a_place))
    __atomic_add_fetch(&region->lost_modules, 1, __ATOMIC_RELAXED);
  __atomic_store_n(&publishing, 0, __ATOMIC_RELEASE);
  return true;
}

void shim_objects_unloaded(void) {
  __atomic_add_fetch(&unloads, 1, __ATOMIC_RELEASE);
}

void shim_objects_restart(void) {
  __atomic_store_n(&publishing, 0, __ATOMIC_RELEASE);
}

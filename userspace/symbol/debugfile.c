/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns finding separate debug files and proving that they belong to the file at hand. */
#include "symbol/debugfile.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "symbol/openfile.h"

#define BUILD_ID_MAX_BYTES 64
#define DEBUG_PATH_BYTES 4096
#define CRC_BLOCK_BYTES ((size_t)256 << 10)
#define MINI_PACKED_MAX_BYTES ((size_t)64 << 20)
#define MINI_MAX_BYTES ((size_t)256 << 20)
#define XZ_MEMORY_MAX_BYTES ((uint64_t)128 << 20)

struct build_id {
  uint8_t bytes[BUILD_ID_MAX_BYTES];
  size_t length;
};

static bool has_build_id(Elf *elf, const struct build_id *expected) {
  uint8_t found[BUILD_ID_MAX_BYTES];
  return image_build_id(elf, found, sizeof(found)) == expected->length &&
         !memcmp(found, expected->bytes, expected->length);
}

static int open_of_build_take(struct image *out, int fd, const char *path,
                              const struct build_id *expected) {
  if (image_open_take(out, fd, path))
    return -ENOENT;
  if (has_build_id(out->elf, expected))
    return 0;
  image_close(out);
  return -ENOENT;
}

static int find_by_build_id(struct image *out, const char *root, const struct build_id *build_id) {
  char path[64 + 2 * BUILD_ID_MAX_BYTES];
  if (build_id->length < 2)
    return -ENOENT;
  int at = snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%02x/", build_id->bytes[0]);
  for (size_t i = 1; i < build_id->length; i++)
    at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", build_id->bytes[i]);
  snprintf(path + at, sizeof(path) - (size_t)at, ".debug");
  struct stat status;
  int fd = openfile_regular(root, path, false, &status);
  return fd < 0 ? -ENOENT : open_of_build_take(out, fd, path, build_id);
}

/* The CRC-32 of .gnu_debuglink is the one of zlib (GDB manual, "Separate Debug Files"). */
static bool has_crc(int fd, uint32_t expected) {
  uint8_t *block = malloc(CRC_BLOCK_BYTES);
  if (!block)
    return false;
  uLong crc = crc32(0, NULL, 0);
  off_t at = 0;
  ssize_t got;
  while ((got = pread(fd, block, CRC_BLOCK_BYTES, at)) > 0) {
    crc = crc32(crc, block, (uInt)got);
    at += got;
  }
  free(block);
  return got == 0 && crc == expected;
}

static int try_link(struct image *out, const char *root, const char *path, uint32_t crc) {
  struct stat status;
  int fd = openfile_regular(root, path, false, &status);
  if (fd < 0)
    return -ENOENT;
  if (!has_crc(fd, crc)) {
    close(fd);
    return -ENOENT;
  }
  return image_open_take(out, fd, path) ? -ENOENT : 0;
}

static int find_by_link(struct image *out, Elf *main, const char *main_path, const char *root) {
  static const char *const places[] = {"%.*s/%s", "%.*s/.debug/%s", "/usr/lib/debug%.*s/%s"};
  GElf_Word crc;
  const char *name = dwelf_elf_gnu_debuglink(main, &crc);
  const char *slash = strrchr(main_path, '/');
  if (!name || !*name || strchr(name, '/') || !slash || main_path[0] != '/')
    return -ENOENT;
  for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
    char path[DEBUG_PATH_BYTES];
    int length = snprintf(path, sizeof(path), places[i], (int)(slash - main_path), main_path, name);
    if (length < 0 || (size_t)length >= sizeof(path) || !strcmp(path, main_path))
      continue;
    if (!try_link(out, root, path, crc))
      return 0;
  }
  return -ENOENT;
}

static int find_local(struct image *out, Elf *main, const char *path, const char *root,
                      const struct build_id *build_id) {
  if (!find_by_build_id(out, root, build_id))
    return 0;
  return find_by_link(out, main, path, root);
}

int debugfile_find(struct image *out, Elf *main, const char *path, const char *root,
                   bool follow_debuginfod) {
  struct build_id build_id;
  build_id.length = image_build_id(main, build_id.bytes, sizeof(build_id.bytes));
  if (build_id.length > sizeof(build_id.bytes))
    build_id.length = 0;
  if (!find_local(out, main, path, root, &build_id))
    return 0;
  if (root[0] && !find_local(out, main, path, "", &build_id))
    return 0;
  if (!follow_debuginfod || build_id.length < 2)
    return -ENOENT;
  int fd = debuginfod_open(build_id.bytes, build_id.length);
  return fd < 0 ? -ENOENT : open_of_build_take(out, fd, path, &build_id);
}

int debugfile_find_shared(struct image *out, Dwarf *dwarf, const char *root) {
  const char *name;
  const void *bytes;
  struct build_id build_id;
  ssize_t length = dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &bytes);
  if (length <= 0 || (size_t)length > sizeof(build_id.bytes))
    return -ENOENT;
  build_id.length = (size_t)length;
  memcpy(build_id.bytes, bytes, build_id.length);
  if (!find_by_build_id(out, root, &build_id))
    return 0;
  /* Debian's dwz names the shared file by path, which its packages also install. */
  struct stat status;
  int fd = name[0] == '/' ? openfile_regular(root, name, false, &status) : -ENOENT;
  if (fd >= 0 && !open_of_build_take(out, fd, name, &build_id))
    return 0;
  return root[0] ? debugfile_find_shared(out, dwarf, "") : -ENOENT;
}

/* Doubles the room for the output. false: too big, or no memory. */
static bool grow(uint8_t **bytes, size_t *capacity) {
  size_t bigger = *capacity ? *capacity * 2 : (size_t)256 << 10;
  uint8_t *grown = bigger <= MINI_MAX_BYTES ? realloc(*bytes, bigger) : NULL;
  if (!grown)
    return false;
  *bytes = grown;
  *capacity = bigger;
  return true;
}

/* malloc'ed; NULL when the stream is broken, cut short or too big. */
static uint8_t *unxz(const Elf_Data *packed, size_t *size) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, XZ_MEMORY_MAX_BYTES, 0) != LZMA_OK)
    return NULL;
  uint8_t *bytes = NULL;
  size_t capacity = 0;
  stream.next_in = packed->d_buf;
  stream.avail_in = packed->d_size;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK && (stream.total_out < capacity || grow(&bytes, &capacity))) {
    stream.next_out = bytes + stream.total_out;
    stream.avail_out = capacity - stream.total_out;
    result = lzma_code(&stream, LZMA_FINISH);
  }
  *size = stream.total_out;
  lzma_end(&stream);
  if (result == LZMA_STREAM_END)
    return bytes;
  free(bytes);
  return NULL;
}

int debugfile_unpack_mini(struct image *out, Elf *main) {
  GElf_Shdr header;
  Elf_Data *packed =
      image_data(image_section(main, ".gnu_debugdata", &header), MINI_PACKED_MAX_BYTES);
  size_t size;
  uint8_t *bytes = packed ? unxz(packed, &size) : NULL;
  if (!bytes)
    return -ENOENT;
  return image_open_memory_take(out, bytes, size, ".gnu_debugdata") ? -ENOENT : 0;
}

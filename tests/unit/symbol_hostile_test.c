/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF files that are cut short, or have bytes flipped, or shrink while they are open: no crash, no
 * hang, whatever the answer is. */
#include "symbol_support.h"

#include <sys/mman.h>
#include <sys/stat.h>

struct bytes {
  uint8_t *data;
  size_t size;
};

static struct bytes read_all(const char *path) {
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0 && !fstat(fd, &status));
  struct bytes bytes = {.data = malloc((size_t)status.st_size), .size = (size_t)status.st_size};
  assert_int_equal(read(fd, bytes.data, bytes.size), status.st_size);
  close(fd);
  return bytes;
}

/* A memfd with the first `size` bytes. */
static int publish(const struct bytes *bytes, size_t size) {
  int fd = memfd_create("hostile", MFD_CLOEXEC);
  assert_int_equal(write(fd, bytes->data, size), (ssize_t)size);
  return fd;
}

static void ask_everything(struct symbol_elf *elf) {
  uint64_t vaddr, size;
  for (uint64_t at = 0; at < 0x5000; at += 13)
    symbol_elf_resolve(elf, at, see_nothing, NULL);
  symbol_elf_resolve(elf, UINT64_MAX, see_nothing, NULL);
  symbol_elf_lookup(elf, "main", &vaddr, &size);
  symbol_elf_lookup(elf, "none", &vaddr, &size);
}

static void try_file(int fd) {
  uint8_t build_id[20];
  struct symbol_options options = {.inlines = true};
  struct symbol_elf *elf;
  symbol_build_id(fd, build_id, sizeof(build_id));
  if (!symbol_elf_open(&elf, fd, "/hostile", "", &options)) {
    ask_everything(elf);
    symbol_elf_close(elf);
  }
}

static struct bytes build(void **state) {
  must_run("gcc -O2 -g -o '%s' %s/plain.c", in_scratch(state, "hostile"), WORKLOADS);
  return read_all(in_scratch(state, "hostile"));
}

static void survives_truncation(void **state) {
  struct bytes bytes = build(state);
  for (size_t size = 0; size < bytes.size; size += size < 256 ? 1 : 97) {
    int fd = publish(&bytes, size);
    try_file(fd);
    close(fd);
  }
  free(bytes.data);
}

static void survives_flipped_bytes(void **state) {
  struct bytes bytes = build(state);
  srandom(1);
  for (int round = 0; round < 400; round++) {
    struct bytes flipped = {.data = malloc(bytes.size), .size = bytes.size};
    memcpy(flipped.data, bytes.data, bytes.size);
    for (int i = 0; i <= round % 20; i++)
      flipped.data[(size_t)random() % bytes.size] = (uint8_t)random();
    /* Section headers decide most: every second round hits them. */
    size_t headers = bytes.size - bytes.size / 8;
    if (round % 2)
      flipped.data[headers + (size_t)random() % (bytes.size / 8)] ^= (uint8_t)(1 << random() % 8);
    int fd = publish(&flipped, flipped.size);
    try_file(fd);
    close(fd);
    free(flipped.data);
  }
  free(bytes.data);
}

/* Where a section lies in the file, by readelf. */
static void find_section(const char *path, const char *name, size_t *offset, size_t *bytes) {
  char command[4096];
  snprintf(command, sizeof(command),
           "readelf -SW '%s' | sed -n 's/^.* %s  *[A-Z_0-9]* *[0-9a-f]*//p'", path, name);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  assert_int_equal(fscanf(in, "%lx %lx", offset, bytes), 2);
  pclose(in);
}

static void survives_broken_frame_descriptions(void **state) {
  size_t offset, length;
  must_run("gcc -O2 -s -o '%s' %s/plain.c", in_scratch(state, "frames"), WORKLOADS);
  find_section(in_scratch(state, "frames"), "\\.eh_frame", &offset, &length);
  struct bytes bytes = read_all(in_scratch(state, "frames"));
  assert_true(length > 64 && offset + length <= bytes.size);
  srandom(2);
  for (int round = 0; round < 1000; round++) {
    struct bytes flipped = {.data = malloc(bytes.size), .size = bytes.size};
    memcpy(flipped.data, bytes.data, bytes.size);
    for (int i = 0; i <= round % 5; i++)
      flipped.data[offset + (size_t)random() % length] =
          (uint8_t)(round % 2 ? random() : (random() % 2 ? 0xff : 0));
    int fd = publish(&flipped, flipped.size);
    try_file(fd);
    close(fd);
    free(flipped.data);
  }
  free(bytes.data);
}

/* Were the file mapped, this would end in SIGBUS. */
static void survives_a_file_that_shrinks(void **state) {
  struct bytes bytes = build(state);
  struct symbol_options options = {.inlines = true};
  for (size_t left = 0; left < bytes.size; left += bytes.size / 7) {
    struct symbol_elf *elf;
    int fd = publish(&bytes, bytes.size);
    assert_int_equal(symbol_elf_open(&elf, fd, "/hostile", "", &options), 0);
    assert_int_equal(ftruncate(fd, (off_t)left), 0);
    ask_everything(elf);
    symbol_elf_close(elf);
    close(fd);

    fd = publish(&bytes, bytes.size);
    assert_int_equal(symbol_elf_open(&elf, fd, "/hostile", "", &options), 0);
    symbol_elf_resolve(elf, 0x1100, see_nothing, NULL);
    assert_int_equal(ftruncate(fd, (off_t)left), 0);
    ask_everything(elf);
    symbol_elf_close(elf);
    close(fd);
  }
  free(bytes.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(survives_truncation),
      cmocka_unit_test(survives_flipped_bytes),
      cmocka_unit_test(survives_broken_frame_descriptions),
      cmocka_unit_test(survives_a_file_that_shrinks),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}

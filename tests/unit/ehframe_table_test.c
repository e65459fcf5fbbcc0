/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables from .eh_frame bytes written by hand after the LSB (10.6) and DWARF 5 (6.4, 7.24), and
 * what happens to broken ones; rows from machine code; the ends of a walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "unwind/ehframe_code.h"
#include "unwind/ehframe_internal.h"
#include "unwind/step.h"

/* ---- an image with an executable segment at 0x1000 and .eh_frame at 0x20000 ---- */

#define TEXT_VADDR 0x1000u
#define TEXT_BYTES 0x8000u
#define HDR_VADDR 0x20000u
#define FRAME_VADDR (HDR_VADDR + 12)

struct image_start {
  Elf64_Ehdr header;
  Elf64_Phdr phdrs[3];
  uint8_t eh_frame_hdr[12]; /* version, encodings, eh_frame_ptr */
};

static void put_image(struct buf *image, const struct buf *frame) {
  struct image_start start = {
      .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                 .e_type = ET_DYN,
                 .e_machine = EM_X86_64,
                 .e_phoff = offsetof(struct image_start, phdrs),
                 .e_phnum = 3,
                 .e_phentsize = sizeof(Elf64_Phdr)},
      .eh_frame_hdr = {1, 0x1b, 0xff, 0xff, 8, 0, 0, 0}, /* 8 bytes after the pointer: .eh_frame */
  };
  uint64_t hdr = offsetof(struct image_start, eh_frame_hdr);
  start.phdrs[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                .p_flags = PF_R | PF_X,
                                .p_offset = 0x2000,
                                .p_vaddr = TEXT_VADDR,
                                .p_filesz = TEXT_BYTES};
  start.phdrs[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                .p_flags = PF_R,
                                .p_offset = hdr,
                                .p_vaddr = HDR_VADDR,
                                .p_filesz = 12 + frame->length};
  start.phdrs[2] = (Elf64_Phdr){
      .p_type = PT_GNU_EH_FRAME, .p_offset = hdr, .p_vaddr = HDR_VADDR, .p_filesz = 12};
  buf_put(image, &start, offsetof(struct image_start, eh_frame_hdr) + 12);
  buf_put(image, frame->data, frame->length);
}

static int build(struct unwind_table *table, struct buf *frame) {
  struct buf image = {0};
  put_image(&image, frame);
  assert_false(image.failed);
  int err = unwind_table_build(table, image.data, image.length);
  buf_fini(&image);
  buf_fini(frame);
  return err;
}

/* CIE "zR" (absolute 8-byte pointers): code 1, data -8, return address 16; CFA = rsp+8, ra at
 * CFA-8. */
static void put_cie(struct buf *frame, const char *augmentation, const char *data,
                    size_t data_bytes) {
  static const uint8_t program[] = {0x0c, 7, 8, 0x90, 1};
  struct buf body = {0};
  buf_put_u32(&body, 0);
  buf_put_u8(&body, 1);
  buf_put(&body, augmentation, strlen(augmentation) + 1);
  buf_put_u8(&body, 1);
  buf_put_u8(&body, 0x78);
  buf_put_u8(&body, 16);
  if (augmentation[0] == 'z') {
    buf_put_u8(&body, (uint8_t)data_bytes);
    buf_put(&body, data, data_bytes);
  }
  buf_put(&body, program, sizeof(program));
  buf_put_u32(frame, (uint32_t)body.length);
  buf_put(frame, body.data, body.length);
  buf_fini(&body);
}

static void put_fde(struct buf *frame, size_t cie, uint64_t begin, uint64_t bytes,
                    const uint8_t *program, size_t program_bytes) {
  buf_put_u32(frame, (uint32_t)(4 + 16 + 1 + program_bytes));
  buf_put_u32(frame, (uint32_t)(frame->length - cie));
  buf_put_u64(frame, begin);
  buf_put_u64(frame, bytes);
  buf_put_u8(frame, 0); /* augmentation data */
  buf_put(frame, program, program_bytes);
}

#define PUT_FDE(frame, begin, bytes, ...)                                                          \
  put_fde(frame, 0, begin, bytes, (const uint8_t[]){__VA_ARGS__},                                  \
          sizeof((const uint8_t[]){__VA_ARGS__}))

static void put_plain_cie(struct buf *frame) {
  put_cie(frame, "zR", "\0", 1);
}

static void expect_row(const struct unwind_table *table, size_t at, uint32_t vaddr, uint8_t type,
                       uint16_t cfa, int8_t rbp) {
  assert_true(at < table->row_count);
  assert_int_equal(table->rows[at].pc + table->base_vaddr, vaddr);
  assert_int_equal(table->rows[at].type, type);
  assert_int_equal(table->rows[at].cfa, cfa);
  assert_int_equal(table->rows[at].rbp, rbp);
}

/* ---- .eh_frame ---- */

static void a_frame_pointer_function(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  put_plain_cie(&frame);
  /* push rbp; mov rsp,rbp; …; leave; ret */
  PUT_FDE(&frame, 0x1100, 0x20, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x5b, 0x0c, 7, 8, 0xc6);
  assert_int_equal(build(&table, &frame), 0);
  assert_int_equal(table.base_vaddr, 0x1000);
  assert_int_equal(table.fde_count, 1);
  assert_int_equal(table.row_count, 5);
  expect_row(&table, 0, 0x1100, ROW_RSP, 1, ROW_RBP_SAME);
  expect_row(&table, 1, 0x1101, ROW_RSP, 2, -2);
  expect_row(&table, 2, 0x1104, ROW_RBP, 2, -2);
  expect_row(&table, 3, 0x111f, ROW_RSP, 1, ROW_RBP_SAME);
  expect_row(&table, 4, 0x1120, ROW_INVALID, 0, ROW_RBP_SAME);
  assert_null(unwind_table_find(&table, 0x10ff));
  assert_ptr_equal(unwind_table_find(&table, 0x1103), &table.rows[1]);
  assert_ptr_equal(unwind_table_find(&table, 0x1104), &table.rows[2]);
  unwind_table_fini(&table);
}

static void remembered_state_and_expressions(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  put_plain_cie(&frame);
  /* remember; advance 2; CFA = rsp+24; advance 2; restore */
  PUT_FDE(&frame, 0x1100, 0x10, 0x0a, 0x42, 0x0e, 24, 0x42, 0x0b);
  /* CFA = *(rbp-8), rbp at rbp */
  PUT_FDE(&frame, 0x1110, 0x10, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0);
  /* CFA = *(rsp+40)+56 */
  PUT_FDE(&frame, 0x1120, 0x10, 0x0f, 5, 0x77, 40, 0x06, 0x23, 56);
  /* the PLT's: rsp+8 + (((rip & 15) >= 11) << 3) */
  PUT_FDE(&frame, 0x1130, 0x10, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24,
          0x22);
  /* CFA = *(rsp-8)+8 */
  PUT_FDE(&frame, 0x1160, 0x10, 0x0f, 5, 0x77, 0x78, 0x06, 0x23, 8);
  /* CFA = *(rbp+120)+8 */
  PUT_FDE(&frame, 0x1170, 0x10, 0x0f, 6, 0x76, 0xf8, 0, 0x06, 0x23, 8);
  /* CFA = *(rsp+8+8*r9)+8 */
  PUT_FDE(&frame, 0x1180, 0x10, 0x0f, 10, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8);
  /* the return address is undefined */
  PUT_FDE(&frame, 0x1140, 0x10, 0x07, 16);
  /* CFA = r10 + 0; then CFA = rsp + 100: no row can say it */
  PUT_FDE(&frame, 0x1150, 0x10, 0x0c, 10, 0, 0x44, 0x0c, 7, 100);
  assert_int_equal(build(&table, &frame), 0);
  expect_row(&table, 0, 0x1100, ROW_RSP, 1, ROW_RBP_SAME);
  expect_row(&table, 1, 0x1102, ROW_RSP, 3, ROW_RBP_SAME);
  expect_row(&table, 2, 0x1104, ROW_RSP, 1, ROW_RBP_SAME);
  expect_row(&table, 3, 0x1110, ROW_DEREF_RBP, (uint16_t)-1, ROW_RBP_AT_RBP);
  expect_row(&table, 4, 0x1120, ROW_DEREF_RSP, 7 << 8 | 5, ROW_RBP_SAME);
  expect_row(&table, 5, 0x1130, ROW_PLT, 8 << 8 | 11, ROW_RBP_SAME);
  expect_row(&table, 6, 0x1140, ROW_END, 0, ROW_RBP_SAME);
  expect_row(&table, 7, 0x1150, ROW_REGISTER, 10, ROW_RBP_SAME);
  expect_row(&table, 8, 0x1154, ROW_INVALID, 0, ROW_RBP_SAME);
  assert_int_equal(table.unsupported_count, 1);
  expect_row(&table, 9, 0x1160, ROW_DEREF_RSP_BELOW, 1 << 8 | 1, ROW_RBP_SAME);
  expect_row(&table, 10, 0x1170, ROW_DEREF_RBP_PLUS, 1 << 8 | 15, ROW_RBP_SAME);
  expect_row(&table, 11, 0x1180, ROW_DEREF_INDEXED, 1 << 8 | 9 << 4 | 1, ROW_RBP_SAME);
  expect_row(&table, 12, 0x1190, ROW_INVALID, 0, ROW_RBP_SAME);
  assert_int_equal(table.row_count, 13);
  unwind_table_fini(&table);
}

static void functions_out_of_order_and_overlapping(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  put_plain_cie(&frame);
  PUT_FDE(&frame, 0x1200, 0x10, 0x0e, 32);
  PUT_FDE(&frame, 0x1100, 0x40, 0x0e, 16); /* the next one cuts it short */
  PUT_FDE(&frame, 0x1120, 0x10, 0x0e, 24);
  PUT_FDE(&frame, 0x1120, 0x10, 0x0e, 40); /* the first of two at one address stays */
  PUT_FDE(&frame, 0x9100, 0x10, 0x0e, 40); /* outside of the code */
  PUT_FDE(&frame, 0x1300, 0, 0x0e, 40);    /* empty */
  assert_int_equal(build(&table, &frame), 0);
  expect_row(&table, 0, 0x1100, ROW_RSP, 2, ROW_RBP_SAME);
  expect_row(&table, 1, 0x1120, ROW_RSP, 3, ROW_RBP_SAME);
  expect_row(&table, 2, 0x1130, ROW_INVALID, 0, ROW_RBP_SAME);
  expect_row(&table, 3, 0x1200, ROW_RSP, 4, ROW_RBP_SAME);
  expect_row(&table, 4, 0x1210, ROW_INVALID, 0, ROW_RBP_SAME);
  assert_int_equal(table.row_count, 5);
  unwind_table_fini(&table);
}

static void one_broken_function(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  put_plain_cie(&frame);
  PUT_FDE(&frame, 0x1100, 0x10, 0x0e, 16);
  PUT_FDE(&frame, 0x1110, 0x10, 0x42, 0x0e, 24, 0x0b);      /* restores what nobody remembered */
  PUT_FDE(&frame, 0x1120, 0x10, 0x42, 0x0e, 24, 0x3f);      /* no such instruction */
  PUT_FDE(&frame, 0x1130, 0x10, 0x0f, 0xff, 0xff, 0x7f, 0); /* an expression longer than all */
  PUT_FDE(&frame, 0x1140, 0x10, 0x0e, 32);
  assert_int_equal(build(&table, &frame), 0);
  assert_int_equal(table.row_count, 4);
  expect_row(&table, 0, 0x1100, ROW_RSP, 2, ROW_RBP_SAME);
  expect_row(&table, 1, 0x1110, ROW_INVALID, 0, ROW_RBP_SAME);
  expect_row(&table, 2, 0x1140, ROW_RSP, 4, ROW_RBP_SAME);
  assert_int_equal(table.unsupported_count, 3);
  unwind_table_fini(&table);
}

static void augmentations(void **state) {
  (void)state;
  struct unwind_table table;
  struct buf frame = {0};
  /* personality by a relative 4-byte pointer, LSDA, 8-byte absolute pointers, an unknown letter */
  put_cie(&frame, "zPLRQ", "\x9b\0\0\0\0\x1b\0\1\2\3", 10);
  PUT_FDE(&frame, 0x1100, 0x10, 0x0e, 16);
  assert_int_equal(build(&table, &frame), 0);
  expect_row(&table, 0, 0x1100, ROW_RSP, 2, ROW_RBP_SAME);
  unwind_table_fini(&table);

  /* augmentation data that reaches beyond the entry: a null cursor once */
  put_cie(&frame, "zR", "\0", 1);
  frame.data[4 + 4 + 1 + 3 + 3] = 0x7f;
  PUT_FDE(&frame, 0x1100, 0x10, 0x0e, 16);
  assert_int_equal(build(&table, &frame), 0);
  assert_int_equal(table.row_count, 0);
  unwind_table_fini(&table);
}

static void extended_lengths_and_the_terminator(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  static const uint8_t program[] = {0x0e, 16, 0, 0};
  put_plain_cie(&frame);
  size_t id = frame.length + 12;
  buf_put_u32(&frame, UINT32_MAX);
  buf_put_u64(&frame, 4 + 16 + 1 + sizeof(program));
  buf_put_u32(&frame, (uint32_t)id);
  buf_put_u64(&frame, 0x1100);
  buf_put_u64(&frame, 0x10);
  buf_put_u8(&frame, 0);
  buf_put(&frame, program, sizeof(program));
  buf_put_u32(&frame, 0); /* without section headers, this ends it */
  PUT_FDE(&frame, 0x1200, 0x10, 0x0e, 24);
  assert_int_equal(build(&table, &frame), 0);
  assert_int_equal(table.fde_count, 1);
  expect_row(&table, 0, 0x1100, ROW_RSP, 2, ROW_RBP_SAME);
  unwind_table_fini(&table);
}

/* Every prefix of a sound image, and every image with one byte changed: an error or a table, and no
 * crash (under the sanitizers: no bad access). */
static void damaged_images(void **state) {
  (void)state;
  struct buf frame = {0}, image = {0};
  put_plain_cie(&frame);
  PUT_FDE(&frame, 0x1100, 0x20, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x5b, 0x0c, 7, 8, 0xc6);
  put_image(&image, &frame);
  for (size_t bytes = 0; bytes <= image.length; bytes++) {
    uint8_t *copy = malloc(bytes + 1);
    struct unwind_table table;
    memcpy(copy, image.data, bytes);
    if (unwind_table_build(&table, copy, bytes) == 0)
      unwind_table_fini(&table);
    free(copy);
  }
  for (size_t at = 0; at < image.length; at++) {
    struct unwind_table table;
    image.data[at] ^= 0xff;
    if (unwind_table_build(&table, image.data, image.length) == 0)
      unwind_table_fini(&table);
    image.data[at] ^= 0xff;
  }
  buf_fini(&frame);
  buf_fini(&image);
}

static void foreign_files(void **state) {
  (void)state;
  struct buf frame = {0}, image = {0};
  struct unwind_table table;
  put_image(&image, &frame);
  Elf64_Ehdr *header = (Elf64_Ehdr *)image.data;

  assert_int_equal(unwind_table_build(&table, "#!/bin/sh\n", 10), -EINVAL);
  assert_true(*error_text());
  assert_int_equal(unwind_table_build(&table, image.data, image.length), 0);
  assert_int_equal(table.row_count, 0);
  assert_int_equal(table.segment_count, 1);
  unwind_table_fini(&table);
  header->e_machine = EM_AARCH64;
  assert_int_equal(unwind_table_build(&table, image.data, image.length), -ENOTSUP);
  header->e_machine = EM_X86_64;
  header->e_phoff = UINT64_MAX - 8;
  assert_int_equal(unwind_table_build(&table, image.data, image.length), -EINVAL);
  assert_int_equal(unwind_table_build_fd(&table, -1), -EBADF);
  buf_fini(&image);
}

static void file_offsets(void **state) {
  (void)state;
  struct buf frame = {0};
  struct unwind_table table;
  assert_int_equal(build(&table, &frame), 0);
  assert_int_equal(unwind_table_vaddr(&table, 0x2000), 0x1000);
  assert_int_equal(unwind_table_vaddr(&table, 0x9fff), 0x8fff);
  assert_true(unwind_table_vaddr(&table, 0xa000) == UINT64_MAX);
  assert_true(unwind_table_vaddr(&table, 0x1fff) == UINT64_MAX);
  unwind_table_fini(&table);
}

/* ---- code ---- */

static bool follow(struct unwind_table *table, const uint8_t *code, uint32_t bytes) {
  struct code_scratch *scratch = ehframe_code_scratch_new();
  struct cfi_sink sink = {.table = table};
  memset(table, 0, sizeof(*table));
  bool is_followed = ehframe_code_rows(&sink, scratch, code, bytes, 0x100);
  ehframe_code_scratch_free(scratch);
  return is_followed;
}

/* The frame of a matrix kernel: registers stored below the return address, the old stack pointer in
 * rbx, the stack realigned, rbp in use. */
static void code_that_realigns_its_stack(void **state) {
  (void)state;
  static const uint8_t code[] = {
      0x48, 0x83, 0xec, 0x60,                   /* 00 sub $96,%rsp */
      0x48, 0x89, 0x1c, 0x24,                   /* 04 mov %rbx,(%rsp) */
      0x48, 0x89, 0x6c, 0x24, 0x08,             /* 08 mov %rbp,8(%rsp) */
      0x48, 0x89, 0xe3,                         /* 0d mov %rsp,%rbx */
      0x48, 0x81, 0xe4, 0x00, 0xf0, 0xff, 0xff, /* 10 and $-4096,%rsp */
      0x48, 0x89, 0xfd,                         /* 17 mov %rdi,%rbp */
      0x48, 0xff, 0xcd,                         /* 1a dec %rbp */
      0x75, 0xfb,                               /* 1d jne 1a */
      0x48, 0x89, 0xdc,                         /* 1f mov %rbx,%rsp */
      0x48, 0x8b, 0x1c, 0x24,                   /* 22 mov (%rsp),%rbx */
      0x48, 0x8b, 0x6c, 0x24, 0x08,             /* 26 mov 8(%rsp),%rbp */
      0x48, 0x83, 0xc4, 0x60,                   /* 2b add $96,%rsp */
      0xc3,                                     /* 2f ret */
  };
  struct unwind_table table;
  assert_true(follow(&table, code, sizeof(code)));
  expect_row(&table, 0, 0x100, ROW_RSP, 1, ROW_RBP_SAME);
  expect_row(&table, 1, 0x104, ROW_RSP, 13, ROW_RBP_SAME);
  expect_row(&table, 2, 0x10d, ROW_RSP, 13, -12);
  expect_row(&table, 3, 0x117, ROW_REGISTER, 13 << 4 | 3, -12);
  expect_row(&table, 4, 0x122, ROW_RSP, 13, -12);
  expect_row(&table, 5, 0x12b, ROW_RSP, 13, ROW_RBP_SAME);
  expect_row(&table, 6, 0x12f, ROW_RSP, 1, ROW_RBP_SAME);
  assert_int_equal(table.row_count, 7);
  free(table.rows);
}

static void code_that_cannot_be_followed(void **state) {
  (void)state;
  static const uint8_t unbalanced[] = {0x53, 0xc3};               /* push %rbx; ret */
  static const uint8_t clobbers_rbp[] = {0x48, 0x89, 0xfd, 0xc3}; /* mov %rdi,%rbp; ret */
  static const uint8_t grows[] = {0x53, 0xeb, 0xfd};              /* 0: push; jmp 0 */
  static const uint8_t no_code[] = {0x48, 0x06};
  static const uint8_t gets_pc[] = {0xe8, 0, 0, 0, 0, 0x58, 0xc3}; /* call .+5; pop %rax; ret */
  struct unwind_table table;
  assert_false(follow(&table, unbalanced, sizeof(unbalanced)));
  assert_false(follow(&table, clobbers_rbp, sizeof(clobbers_rbp)));
  assert_false(follow(&table, grows, sizeof(grows)));
  assert_false(follow(&table, no_code, sizeof(no_code)));
  assert_false(follow(&table, gets_pc, sizeof(gets_pc)));
  assert_int_equal(table.row_count, 0);
}

/* ---- steps ---- */

struct stack {
  uint64_t base;
  uint64_t words[8];
};

static bool read_stack(void *ctx, uint64_t address, void *out, size_t bytes) {
  const struct stack *stack = ctx;
  if (address < stack->base || address + bytes > stack->base + sizeof(stack->words))
    return false;
  memcpy(out, (const char *)stack->words + (address - stack->base), bytes);
  return true;
}

static void the_chain_of_frame_pointers(void **state) {
  (void)state;
  struct stack stack = {0x7000, {0, 0, 0x7020, 0xaaaa, 0, 0xbbbb}};
  struct unwind_registers registers = {.ip = 0x10, .sp = 0x7000, .bp = 0x7010};
  assert_int_equal(unwind_step(NULL, 0, &registers, true, read_stack, &stack), UNWIND_STEPPED);
  assert_true(registers.ip == 0xaaaa && registers.sp == 0x7020 && registers.bp == 0x7020);
  assert_int_equal(unwind_step(NULL, 0, &registers, false, read_stack, &stack), UNWIND_STEPPED);
  assert_true(registers.ip == 0xbbbb && registers.bp == 0);
  assert_int_equal(unwind_step(NULL, 0, &registers, false, read_stack, &stack), UNWIND_ROOT);
}

static void steps_that_fail(void **state) {
  (void)state;
  struct unwind_row rows[] = {{0x10, 1, ROW_RBP_SAME, ROW_RSP},
                              {0x20, 10, ROW_RBP_SAME, ROW_REGISTER},
                              {0x30, 0, ROW_RBP_SAME, ROW_RBP}};
  struct unwind_table table = {.rows = rows, .row_count = 3};
  struct stack stack = {0x7000, {0xaaaa}};
  struct unwind_registers registers = {.ip = 0x18, .sp = 0x9000, .bp = 0x7000};
  struct unwind_registers before = registers;

  assert_int_equal(unwind_step(&table, 0, &registers, true, read_stack, &stack),
                   UNWIND_FAILED_READ);
  assert_memory_equal(&registers, &before, sizeof(before));
  registers.ip = 0x28;
  assert_int_equal(unwind_step(&table, 0, &registers, false, read_stack, &stack),
                   UNWIND_FAILED_REGISTER);
  registers.ip = 0x38; /* the CFA would lie below rsp */
  assert_int_equal(unwind_step(&table, 0, &registers, true, read_stack, &stack),
                   UNWIND_FAILED_STACK);
  registers.bp = 0; /* no frame pointer where the thread stands: that proves nothing */
  assert_int_equal(unwind_step(NULL, 0, &registers, true, read_stack, &stack), UNWIND_FAILED_CHAIN);
}

/* A return address is looked up by the byte before it: the call may be its function's last. */
static void a_call_at_the_end_of_a_function(void **state) {
  (void)state;
  struct unwind_row rows[] = {{0x10, 1, ROW_RBP_SAME, ROW_RSP}, {0x20, 0, ROW_RBP_SAME, ROW_END}};
  struct unwind_table table = {.rows = rows, .row_count = 2};
  struct stack stack = {0x7000, {0xaaaa}};
  struct unwind_registers registers = {.ip = 0x20, .sp = 0x7000};
  assert_int_equal(unwind_step(&table, 0, &registers, true, read_stack, &stack), UNWIND_ROOT);
  assert_int_equal(unwind_step(&table, 0, &registers, false, read_stack, &stack), UNWIND_STEPPED);
  assert_int_equal(registers.ip, 0xaaaa);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_frame_pointer_function),
      cmocka_unit_test(remembered_state_and_expressions),
      cmocka_unit_test(functions_out_of_order_and_overlapping),
      cmocka_unit_test(one_broken_function),
      cmocka_unit_test(augmentations),
      cmocka_unit_test(extended_lengths_and_the_terminator),
      cmocka_unit_test(damaged_images),
      cmocka_unit_test(foreign_files),
      cmocka_unit_test(file_offsets),
      cmocka_unit_test(code_that_realigns_its_stack),
      cmocka_unit_test(code_that_cannot_be_followed),
      cmocka_unit_test(the_chain_of_frame_pointers),
      cmocka_unit_test(steps_that_fail),
      cmocka_unit_test(a_call_at_the_end_of_a_function),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frame descriptions by hand, in forms that compilers leave out here. The section gets its true
 * name by objcopy, because a linker would check and rewrite it. Each function is 16 bytes long. */

.macro function name
  .globl \name
  .type \name, %function
\name:
  .skip 16
  .size \name, 16
.endm

  .text
  .skip 64
  function absolute
  function relative
  function wide
  function narrow
  function signalled
  function indirect
  function unknown_letter
  function lone
  function discarded
  function after_all

.macro begin
  .long 9f - 8f
8:
.endm

.macro end
  .balign 4
9:
.endm

.macro cie name, letters, data:vararg
\name:
  begin
  .long 0
  .byte 1
  .asciz "\letters"
  .uleb128 1
  .sleb128 -8
  .byte 16
  .ifnb \data
  .uleb128 7f - 6f
6:
  .byte \data
7:
  .endif
  end
.endm

  .section .frames, "a"
  cie plain_cie, ""
  begin
  .long . - plain_cie
  .quad absolute
  .quad 16
  end

  /* An FDE of nothing: what a linker leaves of a function that it threw away. */
  begin
  .long . - plain_cie
  .quad 0
  .quad discarded + 16
  end

  /* What ends the part of one object file. */
  .long 0

  /* The personality routine is indirect, pcrel, sdata4. */
  cie language_cie, "zPLR", 0x9b, 1, 2, 3, 4, 0x1b, 0x1b
  begin
  .long . - language_cie
  .long relative - .
  .long 16
  .uleb128 4
  .long 0
  end

  cie wide_cie, "zR", 0x1c /* pcrel, sdata8 */
  begin
  .long . - wide_cie
  .quad wide - .
  .quad 16
  .uleb128 0
  end

  cie narrow_cie, "zR", 0x1a /* pcrel, sdata2 */
  begin
  .long . - narrow_cie
  .short narrow - .
  .short 16
  .uleb128 0
  end

  cie signal_cie, "zRS", 0x1b
  begin
  .long . - signal_cie
  .long signalled - .
  .long 16
  .uleb128 0
  end

  cie indirect_cie, "zR", 0x80
  begin
  .long . - indirect_cie
  .quad indirect
  .quad 16
  .uleb128 0
  end

  cie odd_cie, "zXR", 0x1b, 0x1b
  begin
  .long . - odd_cie
  .long unknown_letter - .
  .long 16
  .uleb128 0
  end

  /* Not at the beginning of a CIE. */
  begin
  .long . - odd_cie - 4
  .long lone - .
  .long 16
  .uleb128 0
  end

  begin
  .long . - wide_cie
  .quad after_all - .
  .quad 16
  .uleb128 0
  end

  .section .note.GNU-stack, "", %progbits

# SPDX-License-Identifier: GPL-2.0-or-later
# What the shim shares with userspace/: the parts that allocate nothing.
SHIM_SHARED_SOURCES := $(addprefix userspace/unwind/,ehframe_entry.c ehframe_program.c \
  ehframe_row.c cpython.c) userspace/base/cursor.c

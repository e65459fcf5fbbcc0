/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of system calls by number. */
#ifndef RAGPROF_CAPTURE_SYSCALLS_H
#define RAGPROF_CAPTURE_SYSCALLS_H

#include <stdint.h>

#define SYSCALL_NAME_BYTES 32

/* "read"; "syscall_999" (in `text`) for one that is not known. */
const char *syscall_name(uint32_t number, char text[SYSCALL_NAME_BYTES]);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of system calls, which the build makes from the machine's own headers. */
#include "capture/syscalls.h"

#include <stddef.h>
#include <stdio.h>

#pragma GCC diagnostic ignored "-Woverride-init"

static const char *const names[] = {
    /* Later than the headers of older systems: Linux 6.5 to 6.17, the same numbers on all machines
     * (include/uapi/asm-generic/unistd.h). What the headers have comes behind and counts. */
    [451] = "cachestat",         [452] = "fchmodat2",        [453] = "map_shadow_stack",
    [454] = "futex_wake",        [455] = "futex_wait",       [456] = "futex_requeue",
    [457] = "statmount",         [458] = "listmount",        [459] = "lsm_get_self_attr",
    [460] = "lsm_set_self_attr", [461] = "lsm_list_modules", [462] = "mseal",
    [463] = "setxattrat",        [464] = "getxattrat",       [465] = "listxattrat",
    [466] = "removexattrat",     [467] = "open_tree_attr",   [468] = "file_getattr",
    [469] = "file_setattr",
#include "syscall_names.h"
};

const char *syscall_name(uint32_t number, char text[SYSCALL_NAME_BYTES]) {
  if (number < sizeof(names) / sizeof(names[0]) && names[number])
    return names[number];
  snprintf(text, SYSCALL_NAME_BYTES, "syscall_%u", number);
  return text;
}

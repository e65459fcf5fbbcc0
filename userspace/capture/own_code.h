/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the kernel keeps the machine code of the capture's own BPF programs, so that a sample that
 * hit one is told from the kernel's work for the target. */
#ifndef RAGPROF_CAPTURE_OWN_CODE_H
#define RAGPROF_CAPTURE_OWN_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct bpf_object;

struct own_code {
  struct buf ranges; /* struct { uint64_t start, end; }, sorted */
};

/* Of a loaded object. What the kernel does not tell is left out. */
void own_code_init(struct own_code *code, const struct bpf_object *object);
void own_code_fini(struct own_code *code);

bool own_code_has(const struct own_code *code, uint64_t address);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Picks the machine. */
#ifndef RAGPROF_BPF_ARCH_H
#define RAGPROF_BPF_ARCH_H

#include "maps.h"

#if defined(__TARGET_ARCH_x86)
#include "arch_x86.h"
#else
#error "no bpf/arch_*.h for this machine yet"
#endif

#endif

# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's packaged kernels in virtual machines, with the smoke test in each (docs/kernels.md): needs
# qemu (tools/install-deps --kernels), fetches kernels by apt, takes from minutes to an hour.

KERNEL_WORKLOADS := $(addprefix $(B)/workloads/,offcpu shares ten forker heap_calls)

kernels: all $(KERNEL_WORKLOADS)
	@RAGPROF_BUILD=$(abspath $(B)) tests/kernels/run $(KERNELS)

.PHONY: kernels

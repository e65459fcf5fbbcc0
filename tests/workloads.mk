# SPDX-License-Identifier: GPL-2.0-or-later
# The programs with known answers that the tests profile, in $(B)/workloads. Frame pointers are left
# out on purpose, and the hardening of the product is: these stand for programs found in the wild.

CXX ?= g++
WORKLOAD_FLAGS := -O2 -g -fomit-frame-pointer -fno-optimize-sibling-calls -Wall -Wextra -Werror \
  -D_GNU_SOURCE
WORKLOAD_C := $(wildcard tests/workloads/*.c)
WORKLOAD_CXX := $(wildcard tests/workloads/*.cc)
WORKLOADS := $(WORKLOAD_C:tests/workloads/%.c=$(B)/workloads/%) \
  $(WORKLOAD_CXX:tests/workloads/%.cc=$(B)/workloads/%) \
  $(addprefix $(B)/workloads/,stripped no_cfi broken_cfi)
TEST_NEEDS += $(WORKLOADS)

workloads: $(WORKLOADS)

$(B)/workloads/%: tests/workloads/%.c tests/workloads/workload.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WORKLOAD_FLAGS) -o $@ $< -lpthread -ldl

$(B)/workloads/%: tests/workloads/%.cc tests/workloads/workload.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(WORKLOAD_FLAGS) -o $@ $<

# Without symbols, but with the CFI that unwinding needs.
$(B)/workloads/stripped: $(B)/workloads/deep_nofp
	strip --strip-all -o $@ $<

# Nothing to unwind by: the RBP chain or nothing. The frames must come out as incomplete.
$(B)/workloads/no_cfi: $(B)/workloads/deep_nofp
	objcopy --strip-all --remove-section .eh_frame --remove-section .eh_frame_hdr $< $@

# CFI that is there but is noise: a reader must neither crash nor loop, nor invent frames.
$(B)/workloads/broken_cfi: $(B)/workloads/deep_nofp tests/workloads/break_eh_frame
	tests/workloads/break_eh_frame $< $@

.PHONY: workloads

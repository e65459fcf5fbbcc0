# SPDX-License-Identifier: GPL-2.0-or-later
# BPF objects → one linked object → the skeleton that userspace/capture includes.

BPF_SOURCES := $(wildcard bpf/*.bpf.c)
BPF_OBJECTS := $(BPF_SOURCES:%.bpf.c=$(B)/%.bpf.o)
BPF_SKELETON := $(B)/gen/ragprof.skel.h
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux

$(B)/gen/vmlinux.h:
	@mkdir -p $(@D)
	@test -r $(VMLINUX_BTF) || { echo "no kernel type information at $(VMLINUX_BTF): set VMLINUX_BTF to a file that has it" >&2; exit 1; }
	$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c > $@

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) $(B)/gen/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-address-of-packed-member -mcpu=v3 \
	  -target bpf -D__TARGET_ARCH_x86 -Ibpf -I$(B)/gen -c -o $@ $<
	$(LLVM_STRIP) -g $@

$(B)/bpf/ragprof.o: $(BPF_OBJECTS)
	$(BPFTOOL) gen object $@ $^

$(BPF_SKELETON): $(B)/bpf/ragprof.o
	$(BPFTOOL) gen skeleton $< name ragprof_bpf > $@

$(B)/userspace/capture/programs.o: $(BPF_SKELETON)

# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzing the readers of names: `make fuzz-symbol FUZZ_SECONDS=300`.
.DEFAULT_GOAL := all

FUZZ_SECONDS ?= 30
FUZZ_SYMBOL_SOURCES := $(wildcard userspace/symbol/*.c) \
  $(addprefix userspace/base/,buf.c cursor.c error.c hash.c)
FUZZ_SYMBOL_PROGRAMS := $(B)/tests/fuzz/fuzz_elf_symbols $(B)/tests/fuzz/fuzz_perfmap
FUZZ_SYMBOL_SEEDS := $(B)/tests/fuzz/seeds/symbol

$(FUZZ_SYMBOL_PROGRAMS): $(B)/tests/fuzz/%: tests/fuzz/%.c $(FUZZ_SYMBOL_SOURCES) \
  $(wildcard userspace/symbol/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -o $@ $< $(FUZZ_SYMBOL_SOURCES) -ldw -lelf -lz -llzma -liberty

$(FUZZ_SYMBOL_SEEDS): tests/workloads/symbols/plain.c tests/workloads/symbols/inlined.h
	@mkdir -p $@/elf $@/text
	$(CC) -Os -g -fPIC -shared -nostdlib -o $@/elf/shared $<
	$(CC) -O2 -g -gdwarf-4 -gz=zlib -c -o $@/elf/object $<
	printf '#include "inlined.h"\nfloat f(const float *a) { return vectors::dot<float, 8>(a, a); }\n' \
	  | $(CC) -x c++ -O2 -g -Itests/workloads/symbols -shared -nostdlib -o $@/elf/inlined -
	printf '1000 100 old\n1040 10 LazyCompile:*f /a.js:1\n' >$@/text/map
	printf '0000000000001000 T f\n0000000000001100 t g\t[m]\n' >$@/text/kallsyms
	printf '_ZNSt6vectorIiSaIiEE9push_backERKi' >$@/text/cpp
	printf '_RNvNtCs1234_7mycrate3foo3bar' >$@/text/rust
	@touch $@

fuzz-symbol: $(FUZZ_SYMBOL_PROGRAMS) $(FUZZ_SYMBOL_SEEDS)
	@mkdir -p $(B)/tests/fuzz/corpus/elf_symbols $(B)/tests/fuzz/corpus/perfmap
	$(B)/tests/fuzz/fuzz_elf_symbols -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=20 \
	  -rss_limit_mb=2048 -artifact_prefix=$(B)/tests/fuzz/ $(B)/tests/fuzz/corpus/elf_symbols \
	  $(FUZZ_SYMBOL_SEEDS)/elf
	$(B)/tests/fuzz/fuzz_perfmap -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 \
	  -artifact_prefix=$(B)/tests/fuzz/ $(B)/tests/fuzz/corpus/perfmap $(FUZZ_SYMBOL_SEEDS)/text

.PHONY: fuzz-symbol

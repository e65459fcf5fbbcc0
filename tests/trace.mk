# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of the trace file need besides the unit tests: the synthetic trace generator, and
# the fuzzer.

# Needs the product's writer, unlike the other workloads.
$(B)/workloads/make_trace: tests/workloads/make_trace.c tests/unit/synthetic.h \
  tests/unit/synthetic_heap.h tests/unit/synthetic_operations.h $(B)/libragprof_core.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) $(HARDENING) $(LDFLAGS) -o $@ $< \
	  $(B)/libragprof_core.a $(LIBS)

# Fuzzing: `make fuzz-trace FUZZ_SECONDS=300`. The core is compiled once more, instrumented and
# without checksums.
FUZZ_SECONDS ?= 30
FUZZ_FLAGS := -std=gnu11 -O1 -g -DFUZZING -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all
FUZZ_TRACE_SOURCES := tests/fuzz/fuzz_trace.c $(wildcard userspace/trace/*.c userspace/model/*.c) \
  $(wildcard userspace/analysis/heap.c userspace/analysis/leak*.c) \
  $(addprefix userspace/base/,buf.c cursor.c error.c hash.c units.c)
TEST_NEEDS += $(B)/tests/fuzz/fuzz_trace $(B)/tests/fuzz/seeds/trace

$(B)/tests/fuzz/fuzz_trace: $(FUZZ_TRACE_SOURCES) $(wildcard userspace/trace/*.h userspace/model/*.h userspace/analysis/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -o $@ $(FUZZ_TRACE_SOURCES) -lzstd -lz -lm || \
	  echo "no fuzzer: $(CLANG) lacks libFuzzer (libclang-rt-dev); its test will be skipped"

$(B)/tests/fuzz/make_trace_seeds: tests/fuzz/make_trace_seeds.c $(wildcard tests/unit/*.h) \
  $(B)/libragprof_core.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) $(HARDENING) $(LDFLAGS) -o $@ $< \
	  $(B)/libragprof_core.a $(LIBS)

$(B)/tests/fuzz/seeds/trace: $(B)/tests/fuzz/make_trace_seeds
	@mkdir -p $@
	$< $@
	@touch $@

fuzz-trace: $(B)/tests/fuzz/fuzz_trace $(B)/tests/fuzz/seeds/trace
	@mkdir -p $(B)/tests/fuzz/corpus/trace
	$(B)/tests/fuzz/fuzz_trace -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1 \
	  -artifact_prefix=$(B)/tests/fuzz/ $(B)/tests/fuzz/corpus/trace $(B)/tests/fuzz/seeds/trace

.PHONY: fuzz-trace

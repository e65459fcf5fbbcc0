# SPDX-License-Identifier: GPL-2.0-or-later
# The fuzzer of the collector's reading of regions: `make fuzz-region FUZZ_SECONDS=300`.

FUZZ_REGION_SOURCES := tests/fuzz/fuzz_region.c userspace/capture/shim_region.c
TEST_NEEDS += $(B)/tests/fuzz/fuzz_region

$(B)/tests/fuzz/fuzz_region: $(FUZZ_REGION_SOURCES) userspace/capture/shim_region.h preload/region.h
	@mkdir -p $(@D)
	@$(CLANG) $(CPPFLAGS) -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=all -o $@ $(FUZZ_REGION_SOURCES) || \
	  echo "no fuzzer: $(CLANG) lacks libFuzzer (libclang-rt-dev); its test will be skipped"

fuzz-region: $(B)/tests/fuzz/fuzz_region
	@mkdir -p $(B)/tests/fuzz/corpus/region
	$(B)/tests/fuzz/fuzz_region -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1 \
	  -artifact_prefix=$(B)/tests/fuzz/ $(B)/tests/fuzz/corpus/region

.PHONY: fuzz-region

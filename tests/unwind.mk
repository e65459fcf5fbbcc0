# SPDX-License-Identifier: GPL-2.0-or-later
# The tests of the unwind tables, and their fuzzer: make fuzz-ehframe, then run it on a folder.

$(B)/tests/unit/ehframe_live_test: LIBS += -lunwind-ptrace -lunwind-generic

FUZZ_EHFRAME_SOURCES := tests/fuzz/fuzz_ehframe.c $(wildcard userspace/unwind/ehframe*.c) \
  userspace/unwind/step.c userspace/base/error.c userspace/base/hash.c userspace/base/buf.c \
  userspace/base/cursor.c

$(B)/tests/fuzz/fuzz_ehframe: $(FUZZ_EHFRAME_SOURCES) $(wildcard userspace/unwind/*.h bpf/unwind_row.h)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  -o $@ $(FUZZ_EHFRAME_SOURCES)

fuzz-ehframe: $(B)/tests/fuzz/fuzz_ehframe

.PHONY: fuzz-ehframe

# Preloads it into interpreters.
$(B)/tests/unit/shim_python_test: | $(B)/libragprof.so

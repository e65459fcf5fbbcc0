# SPDX-License-Identifier: GPL-2.0-or-later
# The libraries that the tests of the shim preload or load, and its soak tests.

HEAP_LIBRARIES := $(patsubst tests/workloads/lib/%.c,$(B)/workloads/lib/%.so, \
  $(wildcard tests/workloads/lib/*.c))
TEST_NEEDS += $(HEAP_LIBRARIES)

workloads: $(HEAP_LIBRARIES)

$(B)/workloads/lib/%.so: tests/workloads/lib/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WORKLOAD_FLAGS) -fno-builtin -fPIC -shared -o $@ $<

# The programs of tests/harm.bats with longer loads, and every interpreter's own tests: half an hour.
soak: all $(TEST_NEEDS)
	@RAGPROF_SOAK=1 RAGPROF_TEST_LIMIT_S=3600 RAGPROF_BUILD=$(abspath $(B)) tools/run-tests tests/harm.bats

.PHONY: soak

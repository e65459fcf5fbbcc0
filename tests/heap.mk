# SPDX-License-Identifier: GPL-2.0-or-later
# The libraries that the tests of the shim preload or load, and its soak tests.

HEAP_LIBRARIES := $(patsubst tests/workloads/lib/%.c,$(B)/workloads/lib/%.so, \
  $(wildcard tests/workloads/lib/*.c))
TEST_NEEDS += $(HEAP_LIBRARIES)

workloads: $(HEAP_LIBRARIES)

$(B)/workloads/lib/%.so: tests/workloads/lib/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WORKLOAD_FLAGS) -fno-builtin -fPIC -shared -o $@ $<

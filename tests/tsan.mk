# SPDX-License-Identifier: GPL-2.0-or-later
# The shim's tables under ThreadSanitizer: make tsan.

TSAN_SOURCES := tests/unit/shim_tables_test.c $(addprefix preload/,alloc.c config.c intervals.c \
  live.c memory.c region.c sample.c sites.c)

$(B)/tests/tsan/shim_tables_test: $(TSAN_SOURCES) $(wildcard preload/*.h)
	@mkdir -p $(@D)
	$(call Q,cc,$@)$(CC) $(CPPFLAGS) -Ipreload -O1 -g $(WARNINGS) -fsanitize=thread -o $@ \
	  $(TSAN_SOURCES) -lcmocka -lpthread

tsan: $(B)/tests/tsan/shim_tables_test
	@tools/run-tests $<

.PHONY: tsan

# SPDX-License-Identifier: GPL-2.0-or-later
# The shim, libragprof.so, which is preloaded into targets: links libc only, exports only what it
# hooks.

SHIM := $(B)/libragprof.so
SHIM_SOURCES := $(wildcard preload/*.c)
SHIM_FLAGS := -O2 -g -fPIC -fvisibility=hidden -fno-stack-protector \
  -flto=auto -fexceptions -ftls-model=initial-exec -Ipreload -Iuserspace -Ibpf -D_GNU_SOURCE
SHIM_FLAGS += $(if $(filter x86_64,$(ARCH)),-fcf-protection)
SHIM_LDFLAGS := -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodelete -Wl,--no-undefined

EXTRA_ALL += $(SHIM)

shim: $(SHIM)

# What the shim shares with userspace/: parts that allocate nothing.
SHIM_SHARED_SOURCES := userspace/base/cursor.c \
  $(addprefix userspace/unwind/,cpython.c ehframe_code.c ehframe_entry.c ehframe_program.c \
    ehframe_row.c ehframe_x86.c)
SHIM_OBJECTS := $(SHIM_SOURCES:%.c=$(B)/shim/%.o) $(SHIM_SHARED_SOURCES:%.c=$(B)/shim/%.o)

$(SHIM): $(SHIM_OBJECTS)
	$(call Q,link,$@)$(CC) $(SHIM_FLAGS) $(SHIM_LDFLAGS) -o $@ $^

$(B)/shim/%.o: %.c
	@mkdir -p $(@D)
	$(call Q,cc,$<)$(CC) $(SHIM_FLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<

# Unit tests link the parts of the shim that define no hooked name, built as the rest is.
SHIM_TESTED := $(filter-out $(addprefix preload/,hooks.c operators.c maps.c loader.c mallinfo.c \
  real.c init.c calls.c calls_%.c cpu.c sandbox.c confine.c signals.c),$(SHIM_SOURCES))
SHIM_TEST_LIBRARY := $(B)/libragprof_shim_test.a
SHIM_TESTS := $(filter $(B)/tests/unit/shim_%,$(UNIT_TESTS))

$(B)/shim-test/%.o: %.c
	@mkdir -p $(@D)
	$(call Q,cc,$<)$(CC) $(CPPFLAGS) -Ipreload $(CFLAGS) $(WARNINGS) $(HARDENING) -MMD -MP -c -o $@ $<

$(SHIM_TEST_LIBRARY): $(SHIM_TESTED:%.c=$(B)/shim-test/%.o)
	@rm -f $@
	$(call Q,ar,$@)$(AR) rcs $@ $^

$(SHIM_TESTS): CPPFLAGS += -Ipreload
$(SHIM_TESTS): LIBS := $(SHIM_TEST_LIBRARY) $(LIBRARY) $(LIBS)
$(SHIM_TESTS): $(SHIM_TEST_LIBRARY)

-include $(SHIM_OBJECTS:.o=.d)

.PHONY: shim

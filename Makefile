# SPDX-License-Identifier: GPL-2.0-or-later
# Builds everything under build/. Targets: all test bench lint asan install clean.

B ?= build
CC ?= gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= bpftool
PREFIX ?= /usr/local
ARCH := $(shell uname -m)

VERSION := 0.1.0
CFLAGS ?= -O2 -g
WARNINGS := -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
  -Wvla -Wno-sign-compare
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
CPPFLAGS += -D_GNU_SOURCE -DRAGPROF_VERSION='"$(VERSION)"' -Iuserspace -Ibpf -I$(B)/gen
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack
LIBS := -lbpf -ldw -lelf -lzstd -lz -llzma -liberty -lpthread -lm

ifdef SANITIZE
HARDENING := -fPIE -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SANITIZE)
endif

include $(wildcard tests/*.mk userspace/*/*.mk)

SOURCES := $(wildcard userspace/*/*.c)
OBJECTS := $(SOURCES:%.c=$(B)/%.o)
LIBRARY_OBJECTS := $(filter-out $(B)/userspace/cli/main.o,$(OBJECTS))
LIBRARY := $(B)/libragprof_core.a
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/*_test.c))

all: $(B)/ragprof

$(B)/ragprof: $(B)/userspace/cli/main.o $(LIBRARY)
	$(CC) $(CFLAGS) $(HARDENING) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(B)/userspace/%.o: userspace/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDENING) -MMD -MP -c -o $@ $<

-include $(OBJECTS:.o=.d)

$(B)/tests/unit/%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) $(HARDENING) $(LDFLAGS) -MMD -MP -o $@ $< $(LIBRARY) $(LIBS) -lcmocka -lunwind -lunwind-x86_64

unit: $(UNIT_TESTS)
	@set -e; for test in $(UNIT_TESTS); do echo "$$test"; $$test; done

clean:
	rm -rf $(B)

.PHONY: all unit clean
.DELETE_ON_ERROR:

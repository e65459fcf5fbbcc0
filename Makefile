# SPDX-License-Identifier: GPL-2.0-or-later
# Builds everything under build/ (another folder: make B=DIR).
#
#   make            the program, its man pages and shell completions
#   make test       every test; ends with "N passed, N failed, N skipped"
#   make unit       the unit tests alone
#   make bench      the benchmarks
#   make lint       layout, layers, sizes, banned functions, shellcheck, cppcheck
#   make asan       the unit tests under AddressSanitizer and UBSan
#   make install    PREFIX=/usr/local DESTDIR=
#   make uninstall  the same two
#   make check-deps what the build needs and this machine lacks
#   make clean
#
# V=1 shows the commands whole.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

B ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
# On Ubuntu the command of that name only finds the tool of the running kernel's own package.
BPFTOOL ?= $(or $(shell for tool in bpftool /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool; do \
  if $$tool version >/dev/null 2>&1; then echo $$tool; break; fi; done),bpftool)
AR ?= ar
INSTALL ?= install
PREFIX ?= /usr/local
DESTDIR ?=
ARCH := $(shell uname -m)

VERSION := 0.1.0
CFLAGS ?= -O2 -g
WARNINGS := -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
  -Wvla -Wno-sign-compare
HARDENING := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
HARDENING += $(if $(filter x86_64,$(ARCH)),-fcf-protection)
HARDENING += $(if $(filter aarch64,$(ARCH)),-mbranch-protection=standard)
CPPFLAGS += -D_GNU_SOURCE -DRAGPROF_VERSION='"$(VERSION)"' -Iuserspace -Ibpf -Ipreload -I$(B)/gen
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack
LIBS := -lbpf -ldw -lelf -lzstd -lz -llzma -liberty -lpthread -lm

# Commands are shown short; V=1 shows them whole.
ifeq ($(V),)
Q = @$(if $(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),,echo "  $(1) $(2)";)
endif

ifdef SANITIZE
HARDENING := -fPIE -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SANITIZE)
# Instrumented code leads gcc's flow analysis astray; the plain build has these on.
WARNINGS += -Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds
endif

SOURCES := $(wildcard userspace/*/*.c)
OBJECTS := $(SOURCES:%.c=$(B)/%.o)
LIBRARY_OBJECTS := $(filter-out $(B)/userspace/cli/main.o,$(OBJECTS))
LIBRARY := $(B)/libragprof_core.a
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/*_test.c))
BATS_TESTS := $(wildcard tests/*.bats)
GENERATED := $(B)/gen/commit.h
SHELLS := bash zsh fish

all: $(B)/ragprof $(B)/man/.made $(SHELLS:%=$(B)/completion/ragprof.%)

# The parts add their own rules; they may add to LIBRARY_OBJECTS, GENERATED, LIBS, EXTRA_ALL and
# TEST_NEEDS.
-include $(wildcard bpf/*.mk preload/*.mk userspace/*/*.mk tests/*.mk)

all: $(EXTRA_ALL)

$(B)/ragprof: $(B)/userspace/cli/main.o $(LIBRARY)
	$(call Q,link,$@)$(CC) $(CFLAGS) $(HARDENING) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	$(call Q,ar,$@)$(AR) rcs $@ $^

$(B)/userspace/%.o: userspace/%.c | $(B)/.dependencies $(GENERATED)
	@mkdir -p $(@D)
	$(call Q,cc,$<)$(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) $(HARDENING) -MMD -MP -c -o $@ $<

# Only capture reads the BPF skeleton; the others need not wait for clang. The .d files know the rest.
$(filter $(B)/userspace/capture/%,$(OBJECTS)): | $(BPF_SKELETON)

$(B)/tests/unit/%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(call Q,cc,$<)$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) $(HARDENING) $(LDFLAGS) -MMD -MP -o $@ $< \
	  $(LIBRARY) $(LIBS) -lcmocka -lunwind -lunwind-$(ARCH)

-include $(OBJECTS:.o=.d) $(UNIT_TESTS:=.d)

# Written only when the commit changes, so that it rebuilds only what shows it.
$(B)/gen/commit.h: FORCE
	@mkdir -p $(@D)
	@{ echo "#define RAGPROF_COMMIT \"$$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)\""; \
	   echo "#define RAGPROF_COMMIT_DATE \"$$(git log -1 --format=%cs 2>/dev/null)\""; } > $@.$$$$ && \
	{ cmp -s $@.$$$$ $@ && rm -f $@.$$$$ || mv $@.$$$$ $@; }

# Checked once per build folder; tools/install-deps --build is the remedy.
$(B)/.dependencies:
	@mkdir -p $(@D)
	@tools/install-deps --check --build
	@touch $@

check-deps:
	@tools/install-deps --check --build --test

$(B)/man/.made: $(B)/ragprof
	@mkdir -p $(@D)
	@rm -f $(@D)/*.1
	@$< help --man ragprof > $(@D)/ragprof.1
	@for name in $$($< help --names); do $< help --man $$name > $(@D)/ragprof-$$name.1 || exit 1; done
	@touch $@

$(B)/completion/ragprof.%: $(B)/ragprof
	@mkdir -p $(@D)
	@$< completion $* > $@

unit: $(UNIT_TESTS)
	@tools/run-tests $(UNIT_TESTS)

test: all $(UNIT_TESTS) $(TEST_NEEDS)
	@RAGPROF_BUILD=$(abspath $(B)) tools/run-tests $(UNIT_TESTS) $(BATS_TESTS)

bench: all $(TEST_NEEDS)
	@RAGPROF_BUILD=$(abspath $(B)) tests/bench/run

lint:
	@tools/lint

asan:
	@$(MAKE) B=$(B)/asan SANITIZE=address,undefined CFLAGS="-O1 -g" unit

install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/share/doc/ragprof
	$(INSTALL) -m 755 $(B)/ragprof $(DESTDIR)$(PREFIX)/bin/ragprof
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/ragprof
	$(INSTALL) -m 755 $(B)/libragprof.so $(DESTDIR)$(PREFIX)/lib/ragprof/libragprof.so
	$(INSTALL) -m 644 $(B)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(INSTALL) -m 644 $(B)/completion/ragprof.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ragprof
	$(INSTALL) -m 644 $(B)/completion/ragprof.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ragprof
	$(INSTALL) -m 644 $(B)/completion/ragprof.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ragprof.fish
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/ragprof/

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ragprof $(DESTDIR)$(PREFIX)/share/man/man1/ragprof.1 \
	  $(DESTDIR)$(PREFIX)/share/man/man1/ragprof-*.1 \
	  $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ragprof \
	  $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ragprof \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ragprof.fish
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/ragprof $(DESTDIR)$(PREFIX)/lib/ragprof

clean:
	rm -rf $(B)

FORCE:

.PHONY: all unit test bench lint asan install uninstall check-deps clean FORCE

# SPDX-License-Identifier: GPL-2.0-or-later
# The names of system calls, from the machine's own headers.

$(B)/gen/syscall_names.h: userspace/capture/capture.mk
	@mkdir -p $(@D)
	@echo '#include <asm/unistd.h>' | $(CC) -E -dM - | \
	  sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9][0-9]*\)$$/[\2] = "\1",/p' | sort > $@
	@test -s $@

$(B)/userspace/capture/syscalls.o: $(B)/gen/syscall_names.h

# SPDX-License-Identifier: GPL-2.0-or-later
# The live test counts native frames with libunwind's ptrace accessors.
$(B)/tests/unit/cpython_live_test: LIBS += -lunwind-ptrace -lunwind-generic

# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of the trace file need besides the unit tests: the synthetic trace generator, and
# the fuzzer.

# Needs the product's writer, unlike the other workloads.
$(B)/workloads/make_trace: tests/workloads/make_trace.c tests/unit/synthetic.h \
  $(B)/libragprof_core.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) $(WARNINGS) $(HARDENING) $(LDFLAGS) -o $@ $< \
	  $(B)/libragprof_core.a $(LIBS)

# SPDX-License-Identifier: GPL-2.0-or-later
# Turns the page's sources into byte arrays that flame_page.c and flame_svg.c include.

PAGE_JS := $(addprefix userspace/render/page/,data.js system.js tree.js units.js colors.js graph.js \
  timeline.js tracks.js summary.js table.js threads.js tooltip.js state.js app.js)
PAGE_SOURCES := $(wildcard userspace/render/page/*)

# $(1): array, $(2): files
page_array = { printf 'static const unsigned char $(1)[] = {'; \
  cat $(2) | od -An -v -tu1 | sed 's/^ */ /; s/ *$$/,/; s/\([0-9]\) \+/\1,/g'; printf '};\n'; }

$(B)/gen/render/page_files.h: $(PAGE_SOURCES) userspace/render/render.mk
	@mkdir -p $(@D)
	{ $(call page_array,page_html,userspace/render/page/page.html); \
	  $(call page_array,page_css,userspace/render/page/page.css); \
	  $(call page_array,page_js,$(PAGE_JS)); } >$@

$(B)/gen/render/svg_files.h: $(PAGE_SOURCES) userspace/render/render.mk
	@mkdir -p $(@D)
	{ $(call page_array,svg_css,userspace/render/page/svg.css); \
	  $(call page_array,svg_js,userspace/render/page/svg.js); } >$@

$(B)/userspace/render/flame_page.o: $(B)/gen/render/page_files.h
$(B)/userspace/render/flame_svg.o: $(B)/gen/render/svg_files.h

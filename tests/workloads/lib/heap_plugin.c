// SPDX-License-Identifier: GPL-2.0-or-later
// A plugin that is loaded and unloaded: it allocates when it comes, when it is called and when it
// goes, so that stacks through it are seen at each moment.
#include <stdlib.h>

static void *mine;

__attribute__((constructor)) static void arrive(void) {
  mine = malloc(100);
}

__attribute__((destructor)) static void depart(void) {
  free(mine);
}

void *plugin_allocate(size_t bytes);

void *plugin_allocate(size_t bytes) {
  return malloc(bytes);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the images of processes and the making of stack events from what a region holds. */
#include "capture/shim_stacks.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/units.h"
#include "capture/maps.h"
#include "unwind/cpython.h"

/* BPF numbers code objects from 1 up, and has far fewer. */
#define CODE_ID_FIRST 0x100000u
#define CODE_ID_END 0x1000000u

struct image_module {
  struct mapping mapping;
  uint32_t generation;
};

void shim_image_init(struct shim_image *image, uint32_t pid) {
  *image = (struct shim_image){.process = {.pid = pid, .is_image = true}, .is_current = true};
}

void shim_image_fini(struct shim_image *image) {
  free(image->process.mappings);
  free(image->modules);
  free(image->codes);
}

/* ---- modules ---- */

static void add_module(struct shim_image *image, struct shim_stacks *shared,
                       const struct region_module_text *text) {
  struct image_module *slot = &image->modules[image->module_count];
  const struct region_module *from = &text->module;
  struct module *module =
      module_store_named(shared->modules, image->is_current ? (pid_t)image->process.pid : 0,
                         text->path, text->build_id, text->build_id_bytes);
  *slot = (struct image_module){.mapping = {.start = from->start,
                                            .end = from->end,
                                            .vaddr = from->start - from->bias,
                                            .offset = from->start - from->bias,
                                            .module = module},
                                .generation = from->generation};
}

static bool read_modules(struct shim_image *image, struct shim_stacks *shared,
                         const struct region_source *source, const struct region_head *head) {
  if (head->module_count <= image->module_count)
    return false;
  struct image_module *grown =
      reallocarray(image->modules, head->module_count, sizeof(*image->modules));
  if (!grown)
    return false;
  image->modules = grown;
  struct region_module_text *text = malloc(sizeof(*text));
  for (; text && image->module_count < head->module_count; image->module_count++) {
    image->modules[image->module_count] = (struct image_module){0};
    if (region_read_module(source, head, image->module_count, text))
      add_module(image, shared, text);
  }
  free(text);
  return true;
}

static void find_interpreter(struct process *process) {
  process->python =
      process_find_python(process) && cpython_offsets(process->python_binary.version) != NULL;
}

/* The modules as they were in a generation: of two in one place, the later one. */
static void map_modules(struct shim_image *image, uint32_t generation) {
  image->process.mapping_count = 0;
  image->generation = generation;
  for (uint32_t i = 0; i < image->module_count; i++)
    if (image->modules[i].generation <= generation)
      process_map(&image->process, &image->modules[i].mapping, true);
  find_interpreter(&image->process);
}

/* ---- what no module holds: code made at run time, files that no linker mapped ---- */

struct maps_search {
  struct shim_image *image;
  struct shim_stacks *shared;
};

static int add_line(void *context, const struct maps_line *line) {
  struct maps_search *search = context;
  struct process *process = &search->image->process;
  if (process_find_mapping(process, line->start) || process_find_mapping(process, line->end - 1))
    return 0;
  struct module_request request = {.pid = (pid_t)process->pid,
                                   .start = line->start,
                                   .end = line->end,
                                   .device = line->device,
                                   .inode = line->inode,
                                   .path = line->path};
  bool is_file = line->path[0] == '/' || !strcmp(line->path, "[vdso]");
  struct module *module = is_file ? module_store_find(search->shared->modules, &request) : NULL;
  struct mapping mapping = {.start = line->start,
                            .end = line->end,
                            .offset = line->offset,
                            .vaddr = module ? unwind_table_vaddr(&module->table, line->offset)
                                            : UINT64_MAX,
                            .module = module};
  process_map(process, &mapping, false);
  return 0;
}

static void map_unknown(struct shim_image *image, struct shim_stacks *shared, const __u64 *words,
                        uint32_t count, uint64_t now_ns) {
  if (!image->is_current || (image->maps_read_ns && now_ns - image->maps_read_ns < NS_PER_S))
    return;
  for (uint32_t i = 0; i < count; i++) {
    if (process_find_mapping(&image->process, words[i]))
      continue;
    struct maps_search search = {image, shared};
    image->maps_read_ns = now_ns;
    maps_read((pid_t)image->process.pid, add_line, &search);
    find_interpreter(&image->process);
    return;
  }
}

/* ---- code objects ---- */

static bool has_code_slot(struct shim_image *image, uint32_t index) {
  if (index < image->code_count)
    return true;
  uint32_t count = index < 128 ? 256 : index * 2;
  uint32_t *grown =
      index < REGION_CODES_MAX ? reallocarray(image->codes, count, sizeof(*grown)) : NULL;
  if (!grown)
    return false;
  memset(grown + image->code_count, 0, (count - image->code_count) * sizeof(*grown));
  image->codes = grown;
  image->code_count = count;
  return true;
}

/* The id under which code object `index` is known; 0 (which is shown as lost) when it is not. */
static uint32_t code_id(struct shim_image *image, struct shim_stacks *shared,
                        const struct region_source *source, const struct region_head *head,
                        uint32_t index) {
  size_t bytes;
  if (!has_code_slot(image, index) || image->codes[index])
    return index < image->code_count ? image->codes[index] : 0;
  struct event_code *event = region_read_code(source, head, index, &bytes);
  if (!event || CODE_ID_FIRST + shared->code_count >= CODE_ID_END) {
    free(event);
    return 0;
  }
  event->id = CODE_ID_FIRST + shared->code_count++;
  image->codes[index] = event->id;
  stack_store_code(shared->stacks, event, bytes);
  free(event);
  return image->codes[index];
}

/* ---- stacks ---- */

static void fill(struct event_stack *event, const struct shim_image *image,
                 const struct region_site *site, uint64_t id) {
  memset(event, 0, offsetof(struct event_stack, frames));
  event->type = EVENT_STACK;
  event->tgid = image->process.pid;
  event->id = id;
  event->native_count = site->native_count;
  event->python_count = site->python_count;
  event->native_end = site->native_end;
  event->python_end = site->python_end;
}

uint32_t shim_image_node(struct shim_image *image, struct shim_stacks *shared,
                         const struct region_source *source, const struct region_head *head,
                         const struct region_site *site, uint64_t now_ns) {
  struct event_stack *event = shared->event;
  uint32_t node = 0;
  if (region_read_stack(source, head, site, event->frames)) {
    if (read_modules(image, shared, source, head) || site->generation != image->generation)
      map_modules(image, site->generation);
    map_unknown(image, shared, event->frames, site->native_count, now_ns);
    for (uint32_t i = site->native_count; i < (uint32_t)site->native_count + site->python_count;
         i++) {
      __u64 word = event->frames[i];
      uint32_t id = code_id(image, shared, source, head, PYTHON_FRAME_CODE(word) - 1);
      event->frames[i] = PYTHON_FRAME(id, PYTHON_FRAME_ENTRY(word), PYTHON_FRAME_ADDRESS(word));
    }
    /* a number of its own: what the region calls it is the target's word */
    fill(event, image, site, hash_mix(++shared->stack_count, 0x5348494d53544b53ull));
    stack_store_stack_of(shared->stacks, &image->process, event, sizeof(*event));
    node = stack_store_node(shared->stacks, event->id);
  }
  return node;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the name of the profiled program: an interpreter's own name says nothing of it. */
#include "analysis/target.h"

#include <string.h>

static const struct profile_function *function_of(const struct profile *profile, uint32_t node) {
  return &profile->functions[profile->frames[profile->nodes[node].frame].function_id];
}

/* Whether this frame stands above a script: that of `python -m`. */
static bool is_runner(const struct profile_function *function) {
  return strstr(function->file, "runpy") != NULL;
}

/* What a module is called that did not come from a file of its own: how its text was given. */
static const struct {
  const char *file;
  const char *title;
} given[] = {{"<string>", "python -c"}, {"<stdin>", "python -"}};

static const char *name_of_given(const char *file) {
  for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
    if (!strcmp(file, given[i].file))
      return given[i].title;
  return NULL;
}

/* The file whose module is the outermost Python frame of a whole stack; or NULL. */
static const char *script_of(const struct profile *profile, uint32_t node) {
  const struct profile_function *outermost = NULL;
  for (; node != PROFILE_NONE; node = profile->nodes[node].parent) {
    const struct profile_function *function = function_of(profile, node);
    if (function->kind == FRAME_MARK)
      return NULL;
    if (function->kind == FRAME_PYTHON && !is_runner(function))
      outermost = function;
  }
  if (!outermost || strcmp(outermost->name, "<module>") != 0 || !*outermost->file)
    return NULL;
  return *outermost->file == '<' ? name_of_given(outermost->file) : outermost->file;
}

static bool has_modules(const struct profile *profile) {
  for (uint32_t i = 0; i < profile->function_count; i++)
    if (profile->functions[i].kind == FRAME_PYTHON &&
        !strcmp(profile->functions[i].name, "<module>"))
      return true;
  return false;
}

/* The first stack of the first process that tells. */
static const char *find_script(const struct profile *profile) {
  const char *file = NULL;
  for (size_t i = 0; !file && i < profile->sample_count; i++)
    if (profile->threads[profile->samples[i].thread].process == 0)
      file = script_of(profile, profile->samples[i].node);
  for (size_t i = 0; !file && i < profile->wait_count; i++)
    if (profile->threads[profile->waits[i].thread].process == 0)
      file = script_of(profile, profile->waits[i].node);
  for (uint32_t i = 0; !file && i < profile->heap_site_count; i++)
    if (profile->heap_sites[i].process == 0)
      file = script_of(profile, profile->heap_sites[i].node);
  for (size_t i = 0; !file && i < profile->operation_stack_count; i++) {
    const struct profile_operation_stack *stack = &profile->operation_stacks[i];
    if (profile->operations[stack->operation].process == 0 && stack->node < profile->node_count)
      file = script_of(profile, stack->node);
  }
  return file;
}

/* "server.py"; of "pkg/__main__.py" the folder, which is what was run. */
static const char *short_name(const char *file) {
  const char *slash = strrchr(file, '/');
  if (!slash || strcmp(slash, "/__main__.py") != 0)
    return slash ? slash + 1 : file;
  while (slash > file && slash[-1] != '/')
    slash--;
  return slash;
}

const char *target_title(const struct profile *profile) {
  const char *name = profile_fact(profile, "target.name");
  if (strncmp(name, "python", strlen("python")) != 0 || !has_modules(profile))
    return name;
  const char *file = find_script(profile);
  return file ? short_name(file) : name;
}

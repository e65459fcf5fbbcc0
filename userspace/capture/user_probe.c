/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the search for what the user wants probed, in files as they are mapped, and the decision how
 * each function can be timed without harm to the targets. */
#include "capture/user_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "capture/preload.h"
#include "capture/probe.h"
#include "capture/user_probe_attach.h"
#include "capture/user_probe_elf.h"
#include "capture/user_probe_spec.h"

#define MATCHES_MAX 64 /* functions of one spec in one file */
#define NO_NAME UINT32_MAX
#define DYNAMIC_BYTES_MAX (1u << 20)
#define STRINGS_BYTES_MAX (1u << 28)

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#endif

/* A spec on its way: what of it was found. */
struct wanted {
  struct probe_spec spec;
  uint32_t name; /* in names[]; NO_NAME: a pattern, which has one for each function */
  uint32_t places;
};

struct place {
  int fd; /* of its file */
  struct probe_site site;
  enum probe_way way;
  uint16_t probe;
  uint64_t semaphore;
};

struct user_probes {
  struct wanted *wanted;
  size_t count;
  const char *names[USER_PROBES_MAX];
  uint32_t name_count;
  struct place *places;
  uint32_t place_count, place_capacity;
  struct hash files; /* looked at already, by device and inode */
  struct hash taken; /* entries of places, by file and offset */
  struct user_probe_scope scope;
  struct probe_links links;
  uint32_t modules_seen;
  const char *keeps_returns; /* why no return address may be taken; NULL: they may */
};

/* A file that is being looked at. */
struct file {
  struct user_probes *probes;
  struct probe_elf elf;
  const char *path;
  uint64_t identity;
};

int user_probes_new(struct user_probes **out, const char *const *specs, size_t count) {
  struct user_probes *probes = calloc(1, sizeof(*probes));
  if (!probes || !(probes->wanted = calloc(count, sizeof(*probes->wanted)))) {
    free(probes);
    return error_set(ENOMEM, "out of memory");
  }
  int result =
      count > USER_PROBES_MAX ? error_set(EINVAL, "more than %d probes", USER_PROBES_MAX) : 0;
  for (size_t i = 0; i < USER_PROBES_MAX; i++)
    probes->names[i] = "";
  for (size_t i = 0; i < count && !result; i++) {
    struct wanted *wanted = &probes->wanted[probes->count++];
    result = probe_spec_parse(&wanted->spec, specs[i]);
    bool is_pattern =
        !result && wanted->spec.kind == PROBE_SPEC_FUNCTION && probe_is_pattern(wanted->spec.name);
    wanted->name = is_pattern ? NO_NAME : probes->name_count;
    if (!is_pattern && !(probes->names[probes->name_count++] = strdup(specs[i])))
      result = error_set(ENOMEM, "out of memory");
  }
  if (result)
    user_probes_free(probes);
  else
    *out = probes;
  return result;
}

void user_probes_free(struct user_probes *probes) {
  if (!probes)
    return;
  probe_links_free(&probes->links);
  for (uint32_t i = 0; i < probes->place_count; i++)
    close(probes->places[i].fd);
  for (uint32_t i = 0; i < probes->name_count; i++)
    free((char *)probes->names[i]);
  for (size_t i = 0; i < probes->count; i++)
    probe_spec_fini(&probes->wanted[i].spec);
  hash_fini(&probes->files);
  hash_fini(&probes->taken);
  free(probes->places);
  free(probes->wanted);
  free(probes);
}

const char *const *user_probes_names(const struct user_probes *probes) {
  return probes->names;
}

void user_probes_choose(struct user_probes *probes, struct bpf_object *object) {
  struct probe_links none = {0};
  probe_links_choose(probes ? &probes->links : &none, object, probes != NULL);
}

/* ---- places ---- */

/* The name of a function that a pattern matched: "libfaiss.so:faiss::IndexFlat::search". */
static uint32_t name_of(struct user_probes *probes, const char *path, const char *function) {
  const char *slash = strrchr(path, '/');
  struct buf text = {0};
  buf_printf(&text, "%s:%s", slash ? slash + 1 : path, function);
  const char *name = buf_text(&text);
  uint32_t index = 0;
  while (index < probes->name_count && strcmp(probes->names[index], name) != 0)
    index++;
  if (index == probes->name_count && index < USER_PROBES_MAX && !text.failed)
    probes->names[probes->name_count++] = strdup(name);
  buf_fini(&text);
  return index < USER_PROBES_MAX && probes->names[index] ? index : NO_NAME;
}

static void tell_cost(const struct user_probes *probes, const struct place *place) {
  const char *name = probes->names[place->probe];
  bool is_stepped = place->site.is_stepped;
  if (place->way == PROBE_EXITS)
    log_info(
        "probe %s: about %d µs a call, because %s: where it ends is probed, and single-stepped",
        name, is_stepped ? 20 : 10, probes->keeps_returns);
  else if (is_stepped)
    log_info("probe %s: about 10 µs a %s, because its %sinstruction is single-stepped", name,
             place->way == PROBE_POINT ? "pass" : "call",
             place->way == PROBE_POINT ? "" : "first ");
  else
    log_info("probe %s: about %s", name,
             place->way == PROBE_POINT ? "0.5 µs a pass" : "1 µs a call");
}

/* Takes a place; one that another probe has is left to that. */
static int add_place(struct file *file, struct wanted *wanted, uint32_t name,
                     const struct place *from) {
  struct user_probes *probes = file->probes;
  uint64_t key = hash_mix(file->identity, from->site.entry);
  const uint32_t *other = hash_get(&probes->taken, key);
  if (other && *other != name)
    log_info("probe %s: the same place as %s, which it is counted at", probes->names[name],
             probes->names[*other]);
  wanted->places++;
  if (other)
    return 0;
  struct place *places =
      array_grown(probes->places, probes->place_count, &probes->place_capacity, sizeof(*places));
  if (!places)
    return error_set(ENOMEM, "out of memory");
  probes->places = places;
  struct place *place = &places[probes->place_count];
  *place = *from;
  place->probe = (uint16_t)name;
  place->fd = fcntl(file->elf.fd, F_DUPFD_CLOEXEC, 3);
  if (place->fd < 0)
    return error_errno("%s", file->path);
  probes->place_count++;
  tell_cost(probes, place);
  int result = probe_links_add(&probes->links, place->fd, &place->site, place->way, place->probe,
                               place->semaphore);
  if (result)
    return error_set(-result, "cannot attach to %s: %s", probes->names[name], strerror(-result));
  return hash_put(&probes->taken, key, name);
}

/* Why a function of a file cannot be timed, as an error; 0: it can. */
static int check_function(const struct file *file, const struct wanted *wanted,
                          const struct probe_function *function) {
  const char *refusal = probe_refusal(function->raw);
  const char *text = wanted->spec.text;
  if (refusal)
    return error_set(ENOTSUP, "'%s': %s cannot be timed: %s", text, function->raw, refusal);
  if (function->is_indirect)
    return error_set(ENOTSUP,
                     "'%s': %s is only a choice among functions, made when it is loaded (IFUNC); "
                     "probe the one that is chosen",
                     text, function->raw);
  if (file->elf.is_go)
    return error_set(ENOTSUP,
                     "'%s': %s is a Go program: its runtime moves stacks, and a probe of a return "
                     "would break it",
                     text, file->path);
  return 0;
}

static int add_function(struct file *file, struct wanted *wanted,
                        const struct probe_function *function, uint32_t name) {
  struct user_probes *probes = file->probes;
  struct place place = {.way = probes->keeps_returns ? PROBE_EXITS : PROBE_RETURNS};
  int result = check_function(file, wanted, function);
  if (result)
    return result;
  if (name == NO_NAME)
    return error_set(E2BIG, "'%s': more than %d probes", wanted->spec.text, USER_PROBES_MAX);
  if (!probe_elf_site(&file->elf, function, probes->links.kernel.emulates_nops, &place.site))
    return error_set(EINVAL, "'%s': its code cannot be read in %s", wanted->spec.text, file->path);
  if (place.way == PROBE_EXITS && !place.site.exit_count)
    return error_set(ENOTSUP,
                     "'%s': %s, so the return address of %s must stay, and it cannot be told where "
                     "else it ends",
                     wanted->spec.text, probes->keeps_returns, function->shown);
  return add_place(file, wanted, name, &place);
}

/* ---- by kind of spec ---- */

struct matches {
  struct probe_function at[MATCHES_MAX];
  uint32_t count; /* may be more than there is room for */
};

static void keep_match(void *context, const struct probe_function *function) {
  struct matches *matches = context;
  if (matches->count < MATCHES_MAX) {
    struct probe_function *kept = &matches->at[matches->count];
    *kept = *function;
    kept->shown = strdup(function->shown);
  }
  matches->count++;
}

static int add_matches(struct file *file, struct wanted *wanted, const struct matches *matches) {
  bool is_pattern = wanted->name == NO_NAME;
  int result = 0;
  for (uint32_t i = 0; i < matches->count; i++) {
    const struct probe_function *function = &matches->at[i];
    if (!function->shown)
      return error_set(ENOMEM, "out of memory");
    uint32_t name = is_pattern ? name_of(file->probes, file->path, function->shown) : wanted->name;
    int added = add_function(file, wanted, function, name);
    if (!added)
      continue;
    result = added;
    if (matches->count > 1)
      log_warning("left out: %s", error_text());
  }
  return wanted->places ? 0 : result;
}

static int look_for_function(struct file *file, struct wanted *wanted) {
  struct matches *matches = calloc(1, sizeof(*matches));
  const char *name = wanted->spec.name;
  int result = 0;
  if (!matches)
    return error_set(ENOMEM, "out of memory");
  probe_elf_match(&file->elf, name, keep_match, matches);
  uint32_t kept = matches->count < MATCHES_MAX ? matches->count : MATCHES_MAX;
  if (matches->count > MATCHES_MAX) {
    result = error_set(E2BIG, "'%s': %u functions of %s match, more than %d: name fewer",
                       wanted->spec.text, matches->count, file->path, MATCHES_MAX);
  } else if (matches->count) {
    result = add_matches(file, wanted, matches);
  } else {
    struct buf close = {0};
    if (wanted->name != NO_NAME)
      probe_elf_suggest(&file->elf, name, &close);
    result = error_set(ENOENT, "%s has no function %s%s%s", file->path,
                       wanted->name == NO_NAME ? "that matches " : "", name, buf_text(&close));
    buf_fini(&close);
  }
  for (uint32_t i = 0; i < kept; i++)
    free((char *)matches->at[i].shown);
  free(matches);
  return result;
}

static int look_at_offset(struct file *file, struct wanted *wanted, uint64_t offset) {
  struct probe_function function;
  if (!probe_elf_function_at(&file->elf, offset, &function))
    return error_set(EINVAL,
                     "'%s': no function is known to begin at offset 0x%llx of %s, and only a whole "
                     "one can be timed",
                     wanted->spec.text, (unsigned long long)offset, file->path);
  return add_function(file, wanted, &function, wanted->name);
}

static int look_for_usdt(struct file *file, struct wanted *wanted) {
  struct probe *found = calloc(1, sizeof(*found));
  uint8_t code[16];
  if (!found)
    return error_set(ENOMEM, "out of memory");
  int result = probe_find_usdt(found, file->elf.fd, wanted->spec.provider, wanted->spec.name);
  for (uint32_t i = 0; i < found->place_count && !result; i++) {
    struct place place = {.way = PROBE_POINT,
                          .site.entry = found->places[i].offset,
                          .semaphore = found->places[i].semaphore_offset};
    ssize_t got = pread(file->elf.fd, code, sizeof(code), (off_t)place.site.entry);
    place.site.is_stepped = got < 1 || !probe_is_emulated(code, (size_t)got, true);
    result = add_place(file, wanted, wanted->name, &place);
  }
  free(found);
  if (result == -ENOENT)
    return wanted->spec.file ? error_set(ENOENT, "%s has no USDT point %s:%s", file->path,
                                         wanted->spec.provider, wanted->spec.name)
                             : 0;
  return result;
}

static int look_for(struct file *file, struct wanted *wanted) {
  switch (wanted->spec.kind) {
  case PROBE_SPEC_FUNCTION:
    return look_for_function(file, wanted);
  case PROBE_SPEC_OFFSET:
    return look_at_offset(file, wanted, wanted->spec.number);
  case PROBE_SPEC_USDT:
    return look_for_usdt(file, wanted);
  case PROBE_SPEC_ADDRESS:
    return 0;
  }
  return 0;
}

/* ---- whether return addresses may be taken ---- */

/* What walks or switches stacks on its own, and does not know what the kernel puts in the place of
 * a return address. */
static const char *stack_walker(const char *path) {
  static const struct {
    const char *prefix;
    const char *why;
  } libraries[] = {
      {"libgcc_s.so", "exceptions may pass"},
      {"libstdc++.so", "exceptions may pass"},
      {"libc++", "exceptions may pass"},
      {"libunwind.so", "exceptions may pass"},
      {"_greenlet", "greenlets switch stacks"},
      {"libboost_context", "coroutines switch stacks"},
      {"libboost_coroutine", "coroutines switch stacks"},
  };
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
    if (!strncmp(base, libraries[i].prefix, strlen(libraries[i].prefix)))
      return libraries[i].why;
  return NULL;
}

static int attach_again(struct user_probes *probes, struct place *place) {
  const char *name = probes->names[place->probe];
  if (place->way == PROBE_RETURNS && !place->site.exit_count) {
    log_warning("probe %s ends here: %s, and it cannot be told where the function ends", name,
                probes->keeps_returns);
    return 0;
  }
  if (place->way == PROBE_RETURNS) {
    place->way = PROBE_EXITS;
    tell_cost(probes, place);
  }
  return probe_links_add(&probes->links, place->fd, &place->site, place->way, place->probe,
                         place->semaphore);
}

/* From here on return addresses stay: probes that took them are attached in another way. */
static void keep_returns(struct user_probes *probes, const char *why) {
  if (!why || probes->keeps_returns)
    return;
  probes->keeps_returns = why;
  probe_links_free(&probes->links);
  for (uint32_t i = 0; i < probes->place_count; i++)
    if (attach_again(probes, &probes->places[i]))
      log_warning("probe %s could not be attached again", probes->names[probes->places[i].probe]);
}

/* ---- files ---- */

/* What the file says of itself: its soname, and what it needs. */
static const char *read_dynamic(struct user_probes *probes, struct probe_elf *elf) {
  GElf_Shdr header;
  GElf_Dyn entry;
  const char *soname = NULL;
  Elf_Scn *section = image_section_of_type(elf->image.elf, SHT_DYNAMIC, &header);
  Elf_Scn *names = section ? elf_getscn(elf->image.elf, header.sh_link) : NULL;
  Elf_Data *data = section ? image_data(section, DYNAMIC_BYTES_MAX) : NULL;
  Elf_Data *strings = names ? image_data(names, STRINGS_BYTES_MAX) : NULL;
  if (elf->has_unwinder)
    keep_returns(probes, "exceptions may pass");
  for (int i = 0; data && strings && gelf_getdyn(data, i, &entry) && entry.d_tag != DT_NULL; i++) {
    const char *text = image_text(strings, entry.d_un.d_val);
    if (entry.d_tag == DT_SONAME)
      soname = text;
    if (entry.d_tag == DT_NEEDED && text)
      keep_returns(probes, stack_walker(text));
  }
  return soname;
}

/* Looks for everything that is wanted in a file. The first failure; with `is_late` they are
 * warnings. */
static int look_at_file(struct user_probes *probes, int fd, const char *path, bool is_late) {
  struct stat info;
  struct file file = {.probes = probes, .path = path};
  int first = 0;
  if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode))
    return 0;
  file.identity = hash_mix(info.st_dev, info.st_ino);
  if (hash_get(&probes->files, file.identity) || probe_elf_open(&file.elf, fd, path))
    return 0;
  if (hash_put(&probes->files, file.identity, 1))
    first = error_set(ENOMEM, "out of memory");
  const char *soname = read_dynamic(probes, &file.elf);
  for (size_t i = 0; i < probes->count && !first; i++) {
    struct wanted *wanted = &probes->wanted[i];
    if (!probe_spec_names(&wanted->spec, path, soname))
      continue;
    int result = look_for(&file, wanted);
    if (result && is_late)
      log_warning("%s", error_text());
    else
      first = result;
  }
  probe_elf_close(&file.elf);
  return first;
}

static int look_at_path(struct user_probes *probes, const char *path) {
  char real[PATH_MAX];
  int fd = realpath(path, real) ? open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  if (fd < 0)
    return 0; /* it may be one of a container's */
  int result = look_at_file(probes, fd, real, false);
  close(fd);
  return result;
}

/* A file is looked at once: all specs must know it by the name that it has then. */
static int resolve_paths(struct user_probes *probes) {
  char real[PATH_MAX];
  for (size_t i = 0; i < probes->count; i++) {
    struct probe_spec *spec = &probes->wanted[i].spec;
    if (!spec->file || !strchr(spec->file, '/') || !realpath(spec->file, real))
      continue;
    char *copy = strdup(real);
    if (!copy)
      return error_set(ENOMEM, "out of memory");
    free(spec->file);
    spec->file = copy;
  }
  return 0;
}

/* Files that are named by their path need not be mapped yet. */
static int look_at_paths(struct user_probes *probes) {
  int result = 0;
  for (size_t i = 0; i < probes->count && !result; i++) {
    const char *file = probes->wanted[i].spec.file;
    if (file && strchr(file, '/'))
      result = look_at_path(probes, file);
  }
  return result;
}

/* A command that has not begun maps nothing yet: its executable, and libraries of the names that
 * are wanted, from where they usually are. */
static int look_at_command(struct user_probes *probes, const char *command) {
  static const char *const folders[] = {"/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib64",
                                        "/usr/lib64",      "/usr/local/lib",      "/lib",
                                        "/usr/lib"};
  char path[PATH_MAX];
  int result = preload_command(command, path) ? look_at_path(probes, path) : 0;
  for (size_t i = 0; i < probes->count && !result; i++) {
    const char *file = probes->wanted[i].spec.file;
    if (!file || strchr(file, '/') || probes->wanted[i].places)
      continue;
    for (size_t j = 0; j < sizeof(folders) / sizeof(folders[0]) && !result; j++) {
      snprintf(path, sizeof(path), "%s/%s", folders[j], file);
      result = look_at_path(probes, path);
    }
  }
  return result;
}

static int look_at_modules(struct user_probes *probes, bool is_late) {
  struct module_store *modules = probes->scope.modules;
  uint32_t first = probes->modules_seen, count = module_store_count(modules);
  int result = 0;
  probes->modules_seen = count;
  for (uint32_t i = first; i < count; i++) {
    const char *path = module_store_get(modules, i)->path;
    keep_returns(probes, path ? stack_walker(path) : NULL);
  }
  for (uint32_t i = first; i < count && !result; i++) {
    const struct module *module = module_store_get(modules, i);
    if (module->path)
      result = look_at_file(probes, module->fd, module->path, is_late);
  }
  return result;
}

/* ---- addresses ---- */

static int look_at_address(struct user_probes *probes, struct wanted *wanted) {
  struct process_store *processes = probes->scope.processes;
  for (size_t i = 0; i < process_store_count(processes); i++) {
    const struct process *process = process_store_at(processes, i);
    const struct mapping *mapping = process_find_mapping(process, wanted->spec.number);
    struct stat info;
    if (!mapping || !mapping->module || mapping->module->fd < 0 ||
        fstat(mapping->module->fd, &info))
      continue;
    struct file file = {.probes = probes,
                        .path = mapping->module->path,
                        .identity = hash_mix(info.st_dev, info.st_ino)};
    int result = probe_elf_open(&file.elf, mapping->module->fd, file.path);
    if (result)
      return result;
    result = look_at_offset(&file, wanted, wanted->spec.number - mapping->start + mapping->offset);
    probe_elf_close(&file.elf);
    return result;
  }
  return error_set(ENOENT, "'%s': no target has code of a file at that address", wanted->spec.text);
}

static int look_at_addresses(struct user_probes *probes) {
  int result = 0;
  for (size_t i = 0; i < probes->count && !result; i++)
    if (probes->wanted[i].spec.kind == PROBE_SPEC_ADDRESS)
      result = look_at_address(probes, &probes->wanted[i]);
  return result;
}

/* ---- life ---- */

/* A shadow stack holds the return addresses a second time. */
static bool has_shadow_stack(uint32_t pid) {
  char path[64], line[256];
  bool is_found = false;
  snprintf(path, sizeof(path), "/proc/%u/status", pid);
  FILE *in = fopen(path, "re");
  while (in && !is_found && fgets(line, sizeof(line), in))
    is_found = !strncmp(line, "x86_Thread_features:", 20) && strstr(line, "shstk");
  if (in)
    fclose(in);
  return is_found;
}

static void look_at_processes(struct user_probes *probes) {
  struct process_store *processes = probes->scope.processes;
  for (size_t i = 0; i < process_store_count(processes); i++)
    if (has_shadow_stack(process_store_at(processes, i)->pid))
      keep_returns(probes, "the kernel keeps a shadow stack");
}

static int check_wanted(const struct wanted *wanted) {
  const struct probe_spec *spec = &wanted->spec;
  if (wanted->places)
    return 0;
  if (spec->file && strchr(spec->file, '/') && access(spec->file, F_OK))
    return error_errno("'%s': %s", spec->text, spec->file);
  log_info("probe %s: %s, and it waits for one that has", spec->text,
           spec->file ? "no file of that name is mapped yet" : "no file that is mapped has it yet");
  return 0;
}

int user_probes_begin(struct user_probes *probes, const struct user_probe_scope *scope) {
  probes->scope = *scope;
  look_at_processes(probes);
  int result = resolve_paths(probes);
  if (!result)
    result =
        scope->command ? look_at_command(probes, scope->command) : look_at_modules(probes, false);
  if (!result)
    result = look_at_paths(probes);
  if (!result)
    result = look_at_addresses(probes);
  for (size_t i = 0; i < probes->count && !result; i++)
    result = check_wanted(&probes->wanted[i]);
  return result;
}

void user_probes_look(struct user_probes *probes) {
  if (probes->modules_seen != module_store_count(probes->scope.modules))
    look_at_modules(probes, true);
}

void user_probes_end(struct user_probes *probes) {
  probe_links_free(&probes->links);
  for (size_t i = 0; i < probes->count; i++)
    if (!probes->wanted[i].places)
      log_warning("probe %s was not found in anything that was mapped",
                  probes->wanted[i].spec.text);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the links of the user's probes and what the kernel can do of them. */
#include "capture/user_probe_attach.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"

/* enum bpf_attach_type of newer kernels than the headers may be of */
#define ATTACH_UPROBE_MULTI 48
#define ATTACH_UPROBE_SESSION 57
#define MULTI_RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */
#define COMMAND_LINK_CREATE 28

/* union bpf_attr for BPF_LINK_CREATE of multi-uprobes, Linux 6.6. */
struct multi_attributes {
  uint32_t program_fd;
  uint32_t target_fd;
  uint32_t attach_type;
  uint32_t flags;
  uint64_t path;
  uint64_t offsets;
  uint64_t semaphores;
  uint64_t cookies;
  uint32_t count;
  uint32_t multi_flags;
  uint32_t pid;
  uint32_t pad;
};
_Static_assert(sizeof(struct multi_attributes) == 64, "as the kernel has it");

/* ---- what the kernel can do ---- */

static bool has_attach_type(const struct btf *btf, const char *name) {
  int id = btf__find_by_name_kind(btf, "bpf_attach_type", BTF_KIND_ENUM);
  const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
  for (int i = 0; type && i < btf_vlen(type); i++)
    if (!strcmp(btf__name_by_offset(btf, btf_enum(type)[i].name_off), name))
      return true;
  return false;
}

static struct probe_kernel ask_kernel(void) {
  struct probe_kernel kernel = {0};
  struct btf *btf = btf__load_vmlinux_btf();
  if (!btf)
    return kernel;
  kernel.has_multi = has_attach_type(btf, "BPF_TRACE_UPROBE_MULTI");
  kernel.has_session = has_attach_type(btf, "BPF_TRACE_UPROBE_SESSION") &&
                       btf__find_by_name_kind(btf, "bpf_session_is_return", BTF_KIND_FUNC) > 0;
  kernel.emulates_nops = btf__find_by_name_kind(btf, "arch_uprobe_optimize", BTF_KIND_FUNC) > 0;
  btf__free(btf);
  return kernel;
}

/* ---- programs ---- */

static struct bpf_program *program_of(const struct probe_links *links, const char *name) {
  return bpf_object__find_program_by_name(links->object, name);
}

static void choose(const struct probe_links *links, const char *name, bool is_used, int type) {
  struct bpf_program *program = program_of(links, name);
  if (!program)
    return;
  bpf_program__set_autoload(program, is_used);
  if (is_used && type)
    bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)type);
}

void probe_links_choose(struct probe_links *links, struct bpf_object *object, bool is_used) {
  if (is_used && !links->object)
    links->kernel = ask_kernel();
  links->object = object;
  const struct probe_kernel *kernel = &links->kernel;
  int multi = kernel->has_multi ? ATTACH_UPROBE_MULTI : 0;
  choose(links, "on_span", is_used && kernel->has_session, ATTACH_UPROBE_SESSION);
  choose(links, "on_span_return", is_used && !kernel->has_session, multi);
  choose(links, "on_span_enter", is_used, multi);
  choose(links, "on_span_exit", is_used, multi);
  choose(links, "on_point", is_used, multi);
}

/* ---- links ---- */

struct attachment {
  const char *program;
  int type;
  bool is_return;
  const uint64_t *offsets;
  uint32_t count;
  uint64_t semaphore;
  uint16_t probe;
};

static int attach_multi(struct probe_links *links, const char *path, const struct attachment *a) {
  uint64_t cookies[PROBE_EXITS_MAX], semaphores[PROBE_EXITS_MAX];
  for (uint32_t i = 0; i < a->count; i++) {
    cookies[i] = a->probe;
    semaphores[i] = a->semaphore;
  }
  struct multi_attributes attributes = {
      .program_fd = (uint32_t)bpf_program__fd(program_of(links, a->program)),
      .attach_type = (uint32_t)a->type,
      .path = (uintptr_t)path,
      .offsets = (uintptr_t)a->offsets,
      .semaphores = a->semaphore ? (uintptr_t)semaphores : 0,
      .cookies = (uintptr_t)cookies,
      .count = a->count,
      .multi_flags = a->is_return ? MULTI_RETURN : 0,
  };
  int *fds = array_grown(links->fds, links->fd_count, &links->fd_capacity, sizeof(*fds));
  if (!fds)
    return error_set(ENOMEM, "out of memory");
  links->fds = fds;
  int fd = (int)syscall(SYS_bpf, COMMAND_LINK_CREATE, &attributes, sizeof(attributes));
  if (fd < 0)
    return -errno;
  links->fds[links->fd_count++] = fd;
  return 0;
}

static int attach_single(struct probe_links *links, const char *path, const struct attachment *a) {
  for (uint32_t i = 0; i < a->count; i++) {
    LIBBPF_OPTS(bpf_uprobe_opts, options, .ref_ctr_offset = a->semaphore, .bpf_cookie = a->probe,
                .retprobe = a->is_return);
    struct bpf_link **grown =
        array_grown(links->links, links->link_count, &links->link_capacity, sizeof(*grown));
    if (!grown)
      return error_set(ENOMEM, "out of memory");
    links->links = grown;
    struct bpf_link *link = bpf_program__attach_uprobe_opts(program_of(links, a->program), -1, path,
                                                            a->offsets[i], &options);
    if (!link)
      return -errno;
    links->links[links->link_count++] = link;
  }
  return 0;
}

static int attach(struct probe_links *links, int fd, const struct attachment *a) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* the file, whatever its name is now */
  return a->type ? attach_multi(links, path, a) : attach_single(links, path, a);
}

int probe_links_add(struct probe_links *links, int fd, const struct probe_site *site,
                    enum probe_way way, uint16_t probe, uint64_t semaphore) {
  int multi = links->kernel.has_multi ? ATTACH_UPROBE_MULTI : 0;
  struct attachment entry = {.offsets = &site->entry, .count = 1, .type = multi, .probe = probe};
  struct attachment end = entry;
  if (way == PROBE_POINT) {
    entry.program = "on_point";
    entry.semaphore = semaphore;
    return attach(links, fd, &entry);
  }
  if (way == PROBE_RETURNS && links->kernel.has_session) {
    entry.program = "on_span";
    entry.type = ATTACH_UPROBE_SESSION;
    return attach(links, fd, &entry);
  }
  entry.program = "on_span_enter";
  end.program = way == PROBE_EXITS ? "on_span_exit" : "on_span_return";
  end.is_return = way == PROBE_RETURNS;
  if (way == PROBE_EXITS) {
    end.offsets = site->exits;
    end.count = site->exit_count;
  }
  int result = attach(links, fd, &end); /* first: what is entered is seen to end */
  return result ? result : attach(links, fd, &entry);
}

void probe_links_free(struct probe_links *links) {
  for (uint32_t i = 0; i < links->fd_count; i++)
    close(links->fds[i]);
  for (uint32_t i = 0; i < links->link_count; i++)
    bpf_link__destroy(links->links[i]);
  free(links->fds);
  free(links->links);
  links->fds = NULL;
  links->links = NULL;
  links->fd_count = links->fd_capacity = links->link_count = links->link_capacity = 0;
}

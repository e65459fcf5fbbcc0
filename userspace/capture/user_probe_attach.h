/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The links of the user's probes: by uprobe sessions or multi-uprobes where the kernel has them,
 * else by one perf event for each place. */
#ifndef RAGPROF_CAPTURE_USER_PROBE_ATTACH_H
#define RAGPROF_CAPTURE_USER_PROBE_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/user_probe_elf.h"

struct bpf_link;
struct bpf_object;

struct probe_kernel {
  bool has_session;   /* Linux 6.13 */
  bool has_multi;     /* Linux 6.6 */
  bool emulates_nops; /* Linux 6.18 */
};

struct probe_links {
  struct probe_kernel kernel;
  struct bpf_object *object;
  struct bpf_link **links;
  int *fds; /* of links without libbpf */
  uint32_t link_count, link_capacity;
  uint32_t fd_count, fd_capacity;
};

/* How the end of a span is seen. */
enum probe_way {
  PROBE_POINT,   /* it has none */
  PROBE_RETURNS, /* by the return address, which the kernel takes from the stack */
  PROBE_EXITS,   /* by probes where the function is left */
};

void probe_links_choose(struct probe_links *links, struct bpf_object *object, bool is_used);
void probe_links_free(struct probe_links *links);

/* Attaches to a place of an open file; `semaphore` is a file offset, 0: none. 0 or -errno. */
int probe_links_add(struct probe_links *links, int fd, const struct probe_site *site,
                    enum probe_way way, uint16_t probe, uint64_t semaphore);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the parsing of probe specs and the search of USDT points in the notes of an ELF file. */
#include "capture/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define UPROBE "uprobe:"
#define USDT "usdt:"
#define NOTE_SECTION ".note.stapsdt" /* SystemTap's UserSpaceProbeImplementation, version 3 */
#define BASE_SECTION ".stapsdt.base"
#define NOTE_TYPE 3

bool probe_is_spec(const char *spec) {
  return !strncmp(spec, UPROBE, strlen(UPROBE)) || !strncmp(spec, USDT, strlen(USDT));
}

/* Cuts off what follows the last colon; NULL when there is none. */
static char *cut_last(char *text) {
  char *colon = strrchr(text, ':');
  if (!colon || !colon[1])
    return NULL;
  *colon = '\0';
  return colon + 1;
}

static int find_symbol(struct probe *probe, char *symbol) {
  char *plus = strrchr(symbol, '+'), *end = NULL;
  if (plus) {
    *plus = '\0';
    probe->places[0].offset = strtoull(plus + 1, &end, 0);
  }
  if ((plus && (*end || end == plus + 1)) || !*symbol || strlen(symbol) >= sizeof(probe->symbol))
    return error_set(EINVAL, "'%s': expected SYMBOL or SYMBOL+OFFSET", symbol);
  memcpy(probe->symbol, symbol, strlen(symbol) + 1);
  probe->place_count = 1;
  return 0;
}

/* ---- USDT ---- */

/* The file offset of an address; 0 when no segment holds it. */
static uint64_t file_offset(Elf *elf, uint64_t vaddr) {
  size_t count;
  GElf_Phdr header;
  if (elf_getphdrnum(elf, &count))
    return 0;
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD &&
        vaddr - header.p_vaddr < header.p_filesz)
      return vaddr - header.p_vaddr + header.p_offset;
  return 0;
}

static Elf_Scn *find_section(Elf *elf, const char *name, GElf_Shdr *header) {
  size_t names;
  Elf_Scn *section = NULL;
  if (elf_getshdrstrndx(elf, &names))
    return NULL;
  while ((section = elf_nextscn(elf, section))) {
    const char *found =
        gelf_getshdr(section, header) ? elf_strptr(elf, names, header->sh_name) : NULL;
    if (found && !strcmp(found, name))
      return section;
  }
  return NULL;
}

/* A note holds the addresses of the probe, of BASE_SECTION when it was linked, and of the
 * semaphore; then the provider and the name. */
static void take_note(struct probe *probe, Elf *elf, const char *data, size_t bytes,
                      uint64_t base_now, const char *provider, const char *name) {
  uint64_t addresses[3];
  const char *texts = data + sizeof(addresses), *end = data + bytes;
  if (bytes <= sizeof(addresses) || end[-1] || strcmp(texts, provider) != 0 ||
      probe->place_count == PROBE_PLACES_MAX)
    return;
  const char *found = texts + strlen(texts) + 1;
  if (found >= end || strcmp(found, name) != 0)
    return;
  memcpy(addresses, data, sizeof(addresses));
  uint64_t moved = base_now ? base_now - addresses[1] : 0;
  struct probe_place place = {.offset = file_offset(elf, addresses[0] + moved)};
  if (addresses[2])
    place.semaphore_offset = file_offset(elf, addresses[2] + moved);
  if (place.offset)
    probe->places[probe->place_count++] = place;
}

static void read_notes(struct probe *probe, Elf *elf, const char *provider, const char *name) {
  GElf_Shdr header;
  uint64_t base = find_section(elf, BASE_SECTION, &header) ? header.sh_addr : 0;
  Elf_Scn *section = find_section(elf, NOTE_SECTION, &header);
  Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
  GElf_Nhdr note;
  size_t name_at, text_at;
  for (size_t at = 0, next; data && (next = gelf_getnote(data, at, &note, &name_at, &text_at));
       at = next)
    if (note.n_type == NOTE_TYPE)
      take_note(probe, elf, (const char *)data->d_buf + text_at, note.n_descsz, base, provider,
                name);
}

int probe_find_usdt(struct probe *probe, int fd, const char *provider, const char *name) {
  elf_version(EV_CURRENT);
  Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
  if (elf)
    read_notes(probe, elf, provider, name);
  elf_end(elf);
  return probe->place_count ? 0 : -ENOENT;
}

static int find_usdt(struct probe *probe, const char *provider, const char *name) {
  int fd = open(probe->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return error_errno("%s", probe->path);
  int result = probe_find_usdt(probe, fd, provider, name);
  close(fd);
  return result ? error_set(ENOENT, "%s has no USDT point %s:%s", probe->path, provider, name) : 0;
}

int probe_find(struct probe *probe, const char *spec) {
  char text[PATH_MAX + 512];
  bool is_usdt = !strncmp(spec, USDT, strlen(USDT));
  memset(probe, 0, sizeof(*probe));
  snprintf(text, sizeof(text), "%s", spec + strlen(is_usdt ? USDT : UPROBE));
  char *last = cut_last(text), *provider = is_usdt && last ? cut_last(text) : NULL;
  if (!last || (is_usdt && !provider) || !*text || strlen(text) >= PATH_MAX)
    return error_set(EINVAL, "'%s': expected %s", spec,
                     is_usdt ? USDT "FILE:PROVIDER:NAME" : UPROBE "FILE:SYMBOL[+OFFSET]");
  if (!realpath(text, probe->path))
    return error_errno("%s", text);
  return is_usdt ? find_usdt(probe, provider, last) : find_symbol(probe, last);
}

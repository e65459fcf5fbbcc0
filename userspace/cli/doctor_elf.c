/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doctor's look at an executable file: can its stacks be unwound and its functions be named? */
#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "cli/doctor.h"
#include "unwind/ehframe.h"

struct sections {
  bool symtab;
  bool dynsym;
  bool mini_debug; /* .gnu_debugdata */
  bool debug_info;
  bool debug_link;
};

static bool read_sections(struct sections *sections, int fd) {
  Elf_Scn *section = NULL;
  size_t names;
  *sections = (struct sections){0};
  if (elf_version(EV_CURRENT) == EV_NONE)
    return false;
  Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
  if (!elf || elf_kind(elf) != ELF_K_ELF || elf_getshdrstrndx(elf, &names)) {
    elf_end(elf);
    return false;
  }
  while ((section = elf_nextscn(elf, section))) {
    GElf_Shdr header;
    const char *name;
    if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
        !(name = elf_strptr(elf, names, header.sh_name)))
      continue;
    sections->symtab |= header.sh_type == SHT_SYMTAB;
    sections->dynsym |= header.sh_type == SHT_DYNSYM;
    sections->mini_debug |= strcmp(name, ".gnu_debugdata") == 0;
    sections->debug_info |= strcmp(name, ".debug_info") == 0;
    sections->debug_link |= strcmp(name, ".gnu_debuglink") == 0;
  }
  elf_end(elf);
  return true;
}

static void check_symbols(struct checkup *checkup, int fd) {
  struct sections sections;
  struct check *check;
  if (!read_sections(&sections, fd))
    return;
  if (sections.symtab || sections.mini_debug) {
    check_add(checkup, CHECK_OK, "symbols", "%s%s", sections.symtab ? ".symtab" : ".gnu_debugdata",
              sections.debug_info ? ", DWARF" : "");
    return;
  }
  check = check_add(checkup, CHECK_LIMITED, "symbols", "stripped%s",
                    sections.dynsym ? ", exported names only" : ", no names at all");
  check_explain(check, "functions that are not exported have no names of their own",
                sections.debug_link
                    ? "install the package's debug symbols (Debian: PACKAGE-dbgsym, "
                      "Ubuntu: PACKAGE-dbgsym from ddebs)"
                    : NULL);
}

static void check_unwinding(struct checkup *checkup, int fd) {
  struct unwind_table table;
  int error = unwind_table_build_fd(&table, fd);
  if (error) {
    check_explain(check_add(checkup, CHECK_LIMITED, "unwind tables", "%s", error_text()),
                  "stacks through it follow frame pointers, where it keeps them", NULL);
    return;
  }
  bool has_rows = table.row_count > 0;
  struct check *check = check_add(checkup, has_rows ? CHECK_OK : CHECK_LIMITED, "unwind tables",
                                  has_rows ? ".eh_frame: %u functions, %zu rows" : "no .eh_frame",
                                  table.fde_count, table.row_count);
  if (!has_rows)
    check_explain(check, "stacks through it follow frame pointers, where it keeps them",
                  "build with -fasynchronous-unwind-tables or -fno-omit-frame-pointer");
  unwind_table_fini(&table);
}

void doctor_check_executable(struct checkup *checkup, int fd, const char *path) {
  check_add(checkup, CHECK_OK, "executable", "%s", path);
  check_symbols(checkup, fd);
  check_unwinding(checkup, fd);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder of a session, in which each process with the shim makes its region: in memory where
 * that works, removed whatever the end. Also removes the folders of ragprofs that died. */
#ifndef RAGPROF_CAPTURE_SHIM_FOLDER_H
#define RAGPROF_CAPTURE_SHIM_FOLDER_H

#include <stdbool.h>

struct shim_folder;

/* Makes it in /dev/shm, or where that cannot be written or is full in $XDG_RUNTIME_DIR, $TMPDIR or
 * /tmp. With `is_shared`, processes of other users can make files in it (but not see its list).
 * 0 or -errno. */
int shim_folder_new(struct shim_folder **out, bool is_shared);
/* Removes it with all that is in it. NULL is fine. */
void shim_folder_free(struct shim_folder *folder);

const char *shim_folder_path(const struct shim_folder *folder);
/* Why it is not in /dev/shm; "" where it is. */
const char *shim_folder_note(const struct shim_folder *folder);

/* Calls back for each regular file, with a descriptor open for reading and writing that becomes the
 * callback's; all that is found is removed from the folder. */
void shim_folder_take(struct shim_folder *folder, void (*callback)(void *context, int fd),
                      void *context);

#endif

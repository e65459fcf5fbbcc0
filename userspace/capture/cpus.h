/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPUs that are online. */
#ifndef RAGPROF_CAPTURE_CPUS_H
#define RAGPROF_CAPTURE_CPUS_H

#define CPUS_MAX 1024

/* Fills in their numbers and returns how many, or -errno. */
int cpus_online(int cpus[CPUS_MAX]);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The series below the timeline: what flame_tracks.h draws of them. */
#ifndef RAGPROF_RENDER_FLAME_SERIES_H
#define RAGPROF_RENDER_FLAME_SERIES_H

#include "base/buf.h"
#include "model/profile.h"

/* Appends the step and the series. 0 or -ENOMEM. */
int flame_series_put(struct buf *buf, const struct profile *profile, uint64_t bucket_ns,
                     uint32_t bucket_count);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 and base64, as a Content-Security-Policy wants them. Not for secrets. */
#ifndef RAGPROF_RENDER_FLAME_DIGEST_H
#define RAGPROF_RENDER_FLAME_DIGEST_H

#include "base/buf.h"

#define DIGEST_BYTES 32

void digest_sha256(uint8_t digest[DIGEST_BYTES], const void *data, size_t bytes);

/* Appends base64 (RFC 4648, with padding, in one line). */
void digest_put_base64(struct buf *buf, const void *data, size_t bytes);

#endif

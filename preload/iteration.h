/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an iteration of the target is, as `ragprof run --iteration` says and the collector passes
 * on:
 *
 *   query        An inbound HTTP request: a request line (HTTP/1.x) or stream (HTTP/2) on a
 *                connection that this process accepted, in clear.
 *   http:PATH    One for that path, whatever its query. PATH may end with *, for all paths that
 *                begin so. HTTP/1.x only: HTTP/2 packs its paths.
 *   py:FUNCTION  A call of a Python function (of a coroutine or a generator: its start), by name
 *                (search), qualified name (Index.search), module and qualified name
 *                (rag.index.Index.search), or file and either (index.py:search). CPython 3.8 on.
 *
 * Others (a uprobe, USDT) are counted elsewhere, and not here. */
#ifndef RAGPROF_PRELOAD_ITERATION_H
#define RAGPROF_PRELOAD_ITERATION_H

#include <stdint.h>

/* Adds to region.iterations of this process. */
void iteration_count(uint64_t iterations);

#endif

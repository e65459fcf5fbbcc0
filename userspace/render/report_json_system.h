/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the members of the system's part of the JSON report share. */
#ifndef RAGPROF_RENDER_REPORT_JSON_SYSTEM_H
#define RAGPROF_RENDER_REPORT_JSON_SYSTEM_H

#include "render/report_json.h"

/* In ms, to the nanosecond. */
void report_json_fine_ms(struct report_json *writer, const char *key, uint64_t ns);

/* The members of a sum; of a row, with name, errors and stacks. */
void report_json_sum(struct report_json *writer, const struct operation_sum *sum);
void report_json_row(struct report_json *writer, const struct operation_row *row);

/* "thread", "tid" and "pid"; "thread" null for PROFILE_NONE. */
void report_json_thread(struct report_json *writer, uint32_t thread);

/* Says which row of its array is printed next: the first ones have more stacks. */
void report_json_limit_stacks(struct report_json *writer, uint32_t row);

/* "threads": a row's operations by thread; "stacks" and "stack_count". Empty for NULL. */
void report_json_threads(struct report_json *writer, const struct operation_row *row);
void report_json_stacks(struct report_json *writer, const struct operation_row *row);

/* The members scheduling; locks and gil: report_json_scheduling.c. */
void report_json_put_scheduling(struct report_json *writer);
void report_json_put_locks(struct report_json *writer);

#endif

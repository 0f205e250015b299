/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SLICED_H
#define MC_SLICED_H

#include <errno.h>

#include "common.h"
#include "work.h"

/*
 * Work that a transport cuts into slices. It waits in a queue until all of it is posted, and ends
 * when it waits no more and its last slice has ended; the first failure is its result.
 */
enum mc_sliced_note { MC_SLICED_POSTED, MC_SLICED_SLICES, MC_SLICED_RESULT, MC_SLICED_QUEUED };

static inline void mc_sliced_fail(struct mc_work *work, int result)
{
	if (!work->transport[MC_SLICED_RESULT])
		work->transport[MC_SLICED_RESULT] = (uint64_t)-result;
}

static inline void mc_sliced_settle(struct mc_engine *engine, struct mc_work *work)
{
	if (work->transport[MC_SLICED_SLICES] || work->transport[MC_SLICED_QUEUED])
		return;
	mc_work_finish(engine, work, -(int)work->transport[MC_SLICED_RESULT], 0);
}

static inline void mc_sliced_queue(struct mc_work_queue *waiting, struct mc_work *work)
{
	for (uint32_t i = 0; i < MC_ARRAY_SIZE(work->transport); i++)
		work->transport[i] = 0;
	work->transport[MC_SLICED_QUEUED] = 1;
	mc_queue_push(waiting, work);
}

/* Takes the first work off the queue: all of it is posted, or it failed. */
static inline void mc_sliced_unqueue(struct mc_engine *engine, struct mc_work_queue *waiting)
{
	struct mc_work *work = mc_queue_pop(waiting);

	work->transport[MC_SLICED_QUEUED] = 0;
	mc_sliced_settle(engine, work);
}

/* Ends what waits and is overdue; returns the earliest deadline that remains. */
static inline int64_t mc_sliced_expire(struct mc_engine *engine, struct mc_work_queue *waiting,
				       int64_t now)
{
	struct mc_work *before = NULL, *work = waiting->first;
	int64_t earliest = MC_NEVER;

	while (work) {
		struct mc_work *next = work->next;

		if (work->deadline <= now) {
			mc_sliced_fail(work, -ETIMEDOUT);
			mc_queue_remove_after(waiting, before);
			work->transport[MC_SLICED_QUEUED] = 0;
			mc_sliced_settle(engine, work);
		} else {
			earliest = mc_earlier(earliest, work->deadline);
			before = work;
		}
		work = next;
	}
	return earliest;
}

#endif

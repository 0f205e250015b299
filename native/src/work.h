/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_WORK_H
#define MC_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mc_completion;
struct mc_engine;
struct mc_peer;
struct mc_region;
struct mc_work_block;

/* An operation from submit until its completion has been handed out. */
struct mc_work {
	struct mc_work *next; /* free, staged, in a transport's queue, finished */
	struct mc_peer *peer;
	struct mc_region *region; /* NULL: borrowed memory */
	uint8_t *local;
	uint64_t remote;
	uint64_t length;
	uint64_t user_data;
	int64_t deadline;
	uint32_t opcode;
	int32_t result;
	int32_t detail;
	bool may_cancel;
	bool sums;       /* a CRC-32C of the bytes is wanted */
	uint32_t crc;    /* of the first bytes of the local memory */
	uint64_t summed; /* so many */
	uint64_t transport[8]; /* the transport's own */
};

/* First in, first out; all zero is an empty one. last is meaningless while it is empty. */
struct mc_work_queue {
	struct mc_work *first, *last;
};

static inline void mc_queue_push(struct mc_work_queue *queue, struct mc_work *work)
{
	work->next = NULL;
	if (queue->first)
		queue->last->next = work;
	else
		queue->first = work;
	queue->last = work;
}

static inline void mc_queue_push_front(struct mc_work_queue *queue, struct mc_work *work)
{
	if (!queue->first)
		queue->last = work;
	work->next = queue->first;
	queue->first = work;
}

/* Returns NULL when the queue is empty. */
static inline struct mc_work *mc_queue_pop(struct mc_work_queue *queue)
{
	struct mc_work *work = queue->first;

	if (work)
		queue->first = work->next;
	return work;
}

/* Removes the work after before, or the first if that is NULL. */
static inline void mc_queue_remove_after(struct mc_work_queue *queue, struct mc_work *before)
{
	struct mc_work *work = before ? before->next : queue->first;

	if (before)
		before->next = work->next;
	else
		queue->first = work->next;
	if (queue->last == work)
		queue->last = before;
}

/*
 * Ends work: its completion can be fetched, and its memory is the caller's again.
 * progress_lock is held.
 */
void mc_work_finish(struct mc_engine *engine, struct mc_work *work, int result, int detail);

/*
 * Goes on with the sum that a work wants, to byte end of its local memory, which is there for good;
 * best while it is in a cache. What is left, and what lies on a device, is summed when it is finished.
 */
void mc_work_sum(struct mc_work *work, uint64_t end);

/* Puts the next bytes of a READ into its memory, from at on, and sums them there if it wants that. */
void mc_work_store(struct mc_work *work, uint64_t at, const uint8_t *bytes, uint64_t count);

/* Begins the sum again: all bytes are to be moved once more. */
static inline void mc_work_sum_anew(struct mc_work *work)
{
	work->crc = 0;
	work->summed = 0;
}

/*
 * Copies count bytes from at on between the local memory and memory of this host, in the direction
 * of the work, in order if it wants a sum: 0, or -EREMOTEIO where a device failed. progress_lock is held.
 */
int mc_work_copy(struct mc_engine *engine, struct mc_work *work, uint64_t at, uint8_t *remote,
		 uint64_t count);

/* A work, not initialised, that no caller knows of, or NULL; and its end. */
struct mc_work *mc_work_alloc(struct mc_engine *engine);
void mc_work_free(struct mc_engine *engine, struct mc_work *work);

/* Writes the completions of finished work to out, at most max. progress_lock is held. */
uint32_t mc_work_harvest(struct mc_engine *engine, struct mc_completion *out, uint32_t max);

/* Work is allocated in blocks, which are freed with the engine. */
struct mc_work_block *mc_work_block_next(const struct mc_work_block *block);

#endif

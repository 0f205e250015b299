// SPDX-License-Identifier: Apache-2.0
/* Batches of requests; their completions are taken by a thread of the engine. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "te.h"

#define TIMEOUT_MS 30000u
#define CHUNK 64u
#define FULL_NAP_NS 200000

struct task {
	atomic_int status;
	uint64_t length;
};

struct te_batch {
	struct te *te;
	struct te_batch *next, **previous;
	notify_msg_t note; /* to be left when all are done, or without a name */
	uint64_t note_to;
	atomic_size_t count; /* of tasks that were submitted */
	size_t size;
	struct task tasks[];
};

static struct te_batch *batch_of(struct te *te, batch_id_t id)
{
	struct te_batch *batch = (struct te_batch *)(uintptr_t)id;

	return te && id && id != INVALID_BATCH && batch->te == te ? batch : NULL;
}

static void finish(struct task *task, int result)
{
	int status = result == 0	       ? STATUS_COMPLETED :
		     result == -ETIMEDOUT ? STATUS_TIMEOUT :
		     result == -ECANCELED ? STATUS_CANCELED :
					    STATUS_FAILED;

	atomic_store(&task->status, status);
}

void *te_poll(void *argument)
{
	struct mc_completion done[CHUNK];
	struct te *te = argument;
	int count;

	while ((count = mc_poll(te->core, done, CHUNK, UINT32_MAX)) >= 0) {
		for (int i = 0; i < count; i++)
			finish((struct task *)(uintptr_t)done[i].user_data, done[i].result);
	}
	return NULL;
}

batch_id_t allocateBatchID(transfer_engine_t engine, size_t batch_size)
{
	struct te_batch *batch;
	struct te *te = engine;

	if (!te || batch_size == 0 || batch_size > (SIZE_MAX - sizeof(*batch)) / sizeof(struct task))
		return INVALID_BATCH;
	batch = calloc(1, sizeof(*batch) + batch_size * sizeof(struct task));
	if (!batch)
		return INVALID_BATCH;
	batch->te = te;
	batch->size = batch_size;
	pthread_mutex_lock(&te->lock);
	batch->next = te->batches;
	batch->previous = &te->batches;
	if (batch->next)
		batch->next->previous = &batch->next;
	te->batches = batch;
	pthread_mutex_unlock(&te->lock);
	return (uintptr_t)batch;
}

static void free_batch(struct te_batch *batch)
{
	free(batch->note.name);
	free(batch->note.msg);
	free(batch);
}

void te_free_batches(struct te *te)
{
	for (struct te_batch *batch = te->batches, *next; batch; batch = next) {
		next = batch->next;
		free_batch(batch);
	}
}

/* Whether no request is under way; *good: and all have completed. */
static bool over(struct te_batch *batch, bool *good)
{
	size_t count = atomic_load(&batch->count);

	*good = count > 0;
	for (size_t i = 0; i < count; i++) {
		int status = atomic_load(&batch->tasks[i].status);

		if (status == STATUS_WAITING)
			return false;
		*good &= status == STATUS_COMPLETED;
	}
	return true;
}

int freeBatchID(transfer_engine_t engine, batch_id_t batch_id)
{
	struct te_batch *batch = batch_of(engine, batch_id);
	struct te *te = engine;
	bool good;

	if (!batch)
		return ERR_INVALID_ARGUMENT;
	if (!over(batch, &good))
		return ERR_BATCH_BUSY;
	pthread_mutex_lock(&te->lock);
	*batch->previous = batch->next;
	if (batch->next)
		batch->next->previous = batch->previous;
	pthread_mutex_unlock(&te->lock);
	free_batch(batch);
	return 0;
}

static bool entry_ok(const struct te *te, const struct transfer_request *entry)
{
	return (entry->opcode == OPCODE_READ || entry->opcode == OPCODE_WRITE) && entry->source &&
	       entry->length > 0 && entry->target_id >= 0 &&
	       (uint32_t)entry->target_id < te->segment_count && te->segments[entry->target_id].peer;
}

static uint32_t pack(const struct te *te, struct task *tasks,
		     const struct transfer_request *entries, size_t count, struct mc_op ops[CHUNK])
{
	uint32_t packed = 0;

	for (; packed < count && packed < CHUNK; packed++) {
		const struct transfer_request *entry = &entries[packed];

		ops[packed] = (struct mc_op){
			.user_data = (uintptr_t)&tasks[packed],
			.local_offset = (uintptr_t)entry->source,
			.remote = entry->target_offset,
			.length = entry->length,
			.region = MC_REGION_BORROWED,
			.peer = te->segments[entry->target_id].peer,
			.opcode = entry->opcode == OPCODE_READ ? MC_OP_READ : MC_OP_WRITE,
		};
	}
	return packed;
}

/* te->lock is held, and given up for a moment while the engine's queue is full. */
static void submit_all(struct te *te, struct task *tasks, const struct transfer_request *entries,
		       size_t count)
{
	const struct timespec nap = { .tv_nsec = FULL_NAP_NS };
	struct mc_op ops[CHUNK];

	for (size_t at = 0; at < count;) {
		uint32_t packed = pack(te, tasks + at, entries + at, count - at, ops);
		int got = mc_submit(te->core, ops, packed, TIMEOUT_MS);

		if (got < 0)
			finish(&tasks[at++], got);
		else
			at += (size_t)got;
		if (got != 0)
			continue;
		pthread_mutex_unlock(&te->lock);
		nanosleep(&nap, NULL);
		pthread_mutex_lock(&te->lock);
	}
}

static int submit(struct te *te, batch_id_t batch_id, const struct transfer_request *entries,
		  size_t count, const notify_msg_t *note)
{
	struct te_batch *batch = batch_of(te, batch_id);
	size_t first;
	int err = 0;

	if (!batch || !entries || count == 0 || !atomic_load(&te->tcp))
		return ERR_INVALID_ARGUMENT;
	pthread_mutex_lock(&te->lock);
	first = atomic_load(&batch->count);
	if (count > batch->size - first)
		err = ERR_TOO_MANY_REQUESTS;
	for (size_t i = 0; i < count && !err; i++) {
		if (!entry_ok(te, &entries[i]))
			err = ERR_INVALID_ARGUMENT;
	}
	if (!err && note) {
		free(batch->note.name);
		free(batch->note.msg);
		batch->note = (notify_msg_t){ strdup(note->name), strdup(note->msg) };
		batch->note_to = (uint64_t)entries[0].target_id;
		if (!batch->note.name || !batch->note.msg)
			err = ERR_MEMORY;
	}
	if (!err) {
		for (size_t i = 0; i < count; i++)
			batch->tasks[first + i].length = entries[i].length;
		atomic_store(&batch->count, first + count);
		submit_all(te, batch->tasks + first, entries, count);
	}
	pthread_mutex_unlock(&te->lock);
	return err;
}

int submitTransfer(transfer_engine_t engine, batch_id_t batch_id, struct transfer_request *entries,
		   size_t count)
{
	return submit(engine, batch_id, entries, count, NULL);
}

int submitTransferWithNotify(transfer_engine_t engine, batch_id_t batch_id,
			     struct transfer_request *entries, size_t count,
			     notify_msg_t notify_msg)
{
	if (!notify_msg.name || !notify_msg.msg)
		return ERR_INVALID_ARGUMENT;
	return submit(engine, batch_id, entries, count, &notify_msg);
}

/* Leaves the batch's message, once, when all of its requests have completed. */
static int leave_note(struct te *te, struct te_batch *batch)
{
	notify_msg_t note = { NULL, NULL };
	bool good;
	int err;

	pthread_mutex_lock(&te->lock);
	if (batch->note.name && over(batch, &good) && good) {
		note = batch->note;
		batch->note = (notify_msg_t){ NULL, NULL };
	}
	pthread_mutex_unlock(&te->lock);
	if (!note.name)
		return 0;
	err = genNotifyInEngine(te, batch->note_to, note);
	free(note.name);
	free(note.msg);
	return err;
}

int getTransferStatus(transfer_engine_t engine, batch_id_t batch_id, size_t task_id,
		      struct transfer_status *status)
{
	struct te_batch *batch = batch_of(engine, batch_id);
	struct task *task;

	if (!batch || !status || task_id >= atomic_load(&batch->count))
		return ERR_INVALID_ARGUMENT;
	task = &batch->tasks[task_id];
	status->status = atomic_load(&task->status);
	status->transferred_bytes = status->status == STATUS_COMPLETED ? task->length : 0;
	return leave_note(engine, batch);
}

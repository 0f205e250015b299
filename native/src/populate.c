// SPDX-License-Identifier: Apache-2.0
/* Has the kernel provide the pages of memory ahead of their first use. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "host_memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define STEP (16ull << 20)
/* What is worth a thread of its own. */
#define SHARE (128ull << 20)
#define THREADS_MAX 8u

struct populating {
	const struct mc_host_memory *memory;
	const atomic_bool *withdrawn, *stopping;
	uint64_t step, pieces, steps; /* bytes; pieces of memory; steps in each */
	_Atomic uint64_t next;
	atomic_int err;
};

/* Writes to every page without changing it: others may be using the memory already. */
static void touch(uint8_t *memory, uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint64_t at = 0; at < length; at += page)
		__atomic_fetch_or(&memory[at], 0, __ATOMIC_RELAXED);
	__atomic_fetch_or(&memory[length - 1], 0, __ATOMIC_RELAXED);
}

static int provide(uint8_t *start, uint64_t length)
{
	int tries = 0;

	while (madvise(start, length, MADV_POPULATE_WRITE) != 0) {
		if (errno == EINVAL) { /* a kernel before 5.14, or not the start of a page */
			touch(start, length);
			return 0;
		}
		/* EFAULT: touching it would end the process, as where a limit on huge pages is. */
		if ((errno != EAGAIN && errno != EINTR) || ++tries > 100)
			return -ENOMEM;
	}
	return 0;
}

/* Step n is of piece n % pieces, so that threads work on different nodes. */
static int one_step(struct populating *work, uint64_t n)
{
	const struct mc_host_memory *memory = work->memory;
	uint64_t piece = n % work->pieces * memory->piece;
	uint64_t at = n / work->pieces * work->step;
	uint64_t end = mc_min(memory->piece, memory->length - piece);

	if ((work->withdrawn && atomic_load(work->withdrawn)) ||
	    (work->stopping && atomic_load(work->stopping)))
		return -ECANCELED;
	if (at >= end)
		return 0;
	return provide(memory->start + piece + at, mc_min(work->step, end - at));
}

static void *run(void *argument)
{
	struct populating *work = argument;

	while (atomic_load(&work->err) == 0) {
		uint64_t n = atomic_fetch_add(&work->next, 1);
		int none = 0, err;

		if (n >= work->pieces * work->steps)
			break;
		err = one_step(work, n);
		if (err)
			atomic_compare_exchange_strong(&work->err, &none, err);
	}
	return NULL;
}

static uint32_t helpers_for(uint64_t length)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t wanted = mc_min(length / SHARE, THREADS_MAX);

	wanted = mc_min(wanted, processors > 0 ? (uint64_t)processors : 1);
	return wanted > 1 ? (uint32_t)wanted - 1 : 0;
}

int mc_host_memory_populate(const struct mc_host_memory *memory, const atomic_bool *withdrawn,
			    const atomic_bool *stopping)
{
	struct populating work = {
		.memory = memory,
		.withdrawn = withdrawn,
		.stopping = stopping,
		.step = memory->page > STEP ? memory->page : STEP,
	};
	uint32_t helpers = helpers_for(memory->length), started = 0;
	pthread_t threads[THREADS_MAX];
	sigset_t all, before;

	if (memory->length == 0)
		return 0;
	work.pieces = (memory->length + memory->piece - 1) / memory->piece;
	work.steps = (memory->piece + work.step - 1) / work.step;
	sigfillset(&all); /* signals are for the threads of the caller */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < helpers && pthread_create(&threads[started], NULL, run, &work) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	run(&work);
	while (started > 0)
		pthread_join(threads[--started], NULL);
	return atomic_load(&work.err);
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"
#include "engine.h"
#include "timers.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* Bytes moved before the lock is offered to others. */
#define STEP_BYTES (1u << 20)
#define INLINE_STEP_BYTES (256u << 10)
#define EVENTS_MAX 64
#define WAKE_ID 0

int mc_watch_add(struct mc_engine *engine, struct mc_watch *watch, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int id = mc_slots_add(&engine->watches, watch);

	if (id < 0)
		return id;
	watch->id = (uint32_t)id;
	event.data.u32 = watch->id;
	if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int err = -errno;

		mc_slots_remove(&engine->watches, watch->id);
		return err;
	}
	return 0;
}

void mc_watch_remove(struct mc_engine *engine, struct mc_watch *watch)
{
	mc_slots_remove(&engine->watches, watch->id);
}

static void take_staged(struct mc_engine *engine)
{
	struct mc_work_queue staged;
	struct mc_peer *closing;
	struct mc_work *work;

	if (!atomic_load(&engine->staged_count))
		return;
	pthread_mutex_lock(&engine->state_lock);
	staged = engine->staged;
	engine->staged.first = NULL;
	closing = engine->closing;
	engine->closing = NULL;
	atomic_store(&engine->staged_count, 0);
	pthread_mutex_unlock(&engine->state_lock);

	while ((work = mc_queue_pop(&staged))) {
		struct mc_peer *peer = work->peer;
		struct mc_transport *transport = peer->direct ? peer->direct : peer->transport;

		mc_engine_deadline(engine, work->deadline);
		transport->ops->submit(transport, work);
	}
	while (closing) {
		struct mc_peer *peer = closing;

		closing = peer->next_closing;
		mc_peer_free(peer);
	}
}

static void expire(struct mc_engine *engine)
{
	engine->next_deadline = MC_NEVER;
	for (uint32_t i = 0; i < engine->transport_count; i++) {
		struct mc_transport *transport = engine->transports[i];

		mc_engine_deadline(engine, transport->ops->expire(transport, engine->now));
	}
}

void mc_engine_step(struct mc_engine *engine, uint64_t budget)
{
	engine->now = mc_now();
	take_staged(engine);
	if (engine->now >= engine->next_deadline)
		expire(engine);
	engine->more = false;
	for (uint32_t i = 0; i < engine->transport_count; i++) {
		struct mc_transport *transport = engine->transports[i];

		if (transport->ops->progress(transport, &budget))
			engine->more = true;
	}
}

/* A sleeping poll has to look again when there is something that it does not know of. */
static void rouse_poll(struct mc_engine *engine)
{
	if (engine->poll_until && (engine->more || engine->finished_count ||
				   engine->next_deadline < engine->poll_until))
		eventfd_write(engine->wake_fd, 1);
}

/*
 * Who stages work adds to staged_count before it tries the lock, and a holder reads it
 * after letting go, both with atomic read-modify-writes: either the holder sees the work
 * or the other one gets the lock.
 */
static bool nothing_staged(struct mc_engine *engine)
{
	return atomic_fetch_add(&engine->staged_count, 0) == 0;
}

void mc_engine_unlock(struct mc_engine *engine)
{
	do {
		rouse_poll(engine);
		pthread_mutex_unlock(&engine->progress_lock);
		if (nothing_staged(engine) || pthread_mutex_trylock(&engine->progress_lock) != 0)
			return;
		mc_engine_step(engine, STEP_BYTES);
	} while (1);
}

void mc_engine_kick(struct mc_engine *engine)
{
	if (pthread_mutex_trylock(&engine->progress_lock) != 0)
		return;
	mc_engine_step(engine, STEP_BYTES);
	mc_engine_unlock(engine);
}

static int sleep_for(struct mc_engine *engine, struct epoll_event *events, int64_t ns)
{
	static atomic_bool coarse;
	struct timespec timeout = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	int64_t ms;

	if (!atomic_load_explicit(&coarse, memory_order_relaxed)) {
		long count = syscall(SYS_epoll_pwait2, engine->epoll_fd, events, EVENTS_MAX,
				     ns == MC_NEVER ? NULL : &timeout, NULL, 0);

		if (count >= 0 || errno != ENOSYS)
			return (int)count;
		atomic_store(&coarse, true);
	}
	ms = ns == MC_NEVER ? -1 : mc_earlier((ns + 999999) / 1000000, INT32_MAX);
	return epoll_wait(engine->epoll_fd, events, EVENTS_MAX, (int)ms);
}

/* Returns whether the wake descriptor was among the events. progress_lock is held. */
static bool dispatch(struct mc_engine *engine, const struct epoll_event *events, int count)
{
	bool woken = false;

	for (int i = 0; i < count; i++) {
		struct mc_watch *watch;

		if (events[i].data.u32 == WAKE_ID) {
			woken = true;
			continue;
		}
		watch = mc_slots_get(&engine->watches, events[i].data.u32);
		if (watch)
			watch->ready(watch, events[i].events);
	}
	return woken;
}

static void clear_wake(struct mc_engine *engine)
{
	eventfd_t value;

	eventfd_read(engine->wake_fd, &value);
}

/*
 * Sleeps at most ns without the lock, after looking for an answer that may be there soon; returns
 * how long that took, and whether it was woken.
 */
static int64_t inline_sleep(struct mc_engine *engine, int64_t ns, bool *woken)
{
	struct mc_spin *spin = ns > 0 && !atomic_load(&engine->polling) ? engine->spin : NULL;
	const bool looks = spin && mc_spin_begin(spin);
	struct epoll_event events[EVENTS_MAX];
	int64_t before = mc_now(), longest = 0;
	bool found = false;
	int count = 0;

	pthread_mutex_unlock(&engine->progress_lock);
	if (nothing_staged(engine)) {
		if (looks)
			count = mc_spin_look(engine->epoll_fd, events, EVENTS_MAX, &longest);
		found = count > 0;
		if (!found)
			count = sleep_for(engine, events, ns);
	}
	pthread_mutex_lock(&engine->progress_lock);
	/* Another thread may have closed the peer. */
	if (looks && engine->spin == spin)
		mc_spin_end(spin, found, longest);
	engine->spin = NULL;
	*woken = dispatch(engine, events, count);
	return mc_now() - before;
}

int mc_wait(struct mc_engine *engine, struct mc_completion *out, uint32_t max, uint32_t min,
	    uint32_t sleep_us, uint32_t work_us)
{
	int64_t sleep_left = (int64_t)sleep_us * 1000;
	int64_t begun, end;
	int count;

	if (max == 0)
		return -EINVAL;
	if (pthread_mutex_trylock(&engine->progress_lock) != 0)
		return 0;
	mc_sharpen_timers();
	begun = mc_now();
	end = begun + (int64_t)work_us * 1000;
	for (;;) {
		int64_t slept, ns = 0;
		bool woken;

		mc_engine_step(engine, INLINE_STEP_BYTES);
		if (engine->finished_count >= min || engine->now > end)
			break;
		if (!engine->more) {
			ns = sleep_left;
			if (ns <= 0)
				break;
		}
		slept = inline_sleep(engine, ns, &woken);
		end += slept;
		sleep_left -= slept;
		if (woken) {
			if (atomic_load(&engine->polling))
				break;
			clear_wake(engine);
		}
	}
	engine->spin = NULL;
	count = (int)mc_work_harvest(engine, out, max);
	mc_engine_unlock(engine);
	engine->spent += mc_now() - begun;
	return count;
}

uint32_t mc_spent(struct mc_engine *engine)
{
	int64_t spent = engine->spent;

	engine->spent = 0;
	return (uint32_t)mc_earlier(spent, UINT32_MAX);
}

/* progress_lock is held before and after. */
static void poll_sleep(struct mc_engine *engine, int64_t until)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	if (engine->more) {
		until = 0;
	} else {
		until = mc_earlier(until, engine->next_deadline);
		engine->poll_until = until;
	}
	pthread_mutex_unlock(&engine->progress_lock);
	if (!nothing_staged(engine))
		until = 0;
	if (until != 0 && until != MC_NEVER) {
		until -= mc_now();
		if (until < 0)
			until = 0;
	}
	count = sleep_for(engine, events, until);
	pthread_mutex_lock(&engine->progress_lock);
	engine->poll_until = 0;
	if (dispatch(engine, events, count))
		clear_wake(engine);
}

int mc_poll(struct mc_engine *engine, struct mc_completion *out, uint32_t max,
	    uint32_t timeout_ms)
{
	int64_t until = MC_NEVER;
	bool looked = false;
	int count = 0;

	if (max == 0)
		return -EINVAL;
	if (atomic_exchange(&engine->polling, true))
		return -EBUSY;
	if (timeout_ms != UINT32_MAX)
		until = mc_now() + (int64_t)timeout_ms * 1000000;
	pthread_mutex_lock(&engine->progress_lock);
	for (;;) {
		mc_engine_step(engine, STEP_BYTES);
		count = (int)mc_work_harvest(engine, out, max);
		if (count || atomic_exchange(&engine->woken, false))
			break;
		if (atomic_load(&engine->stopping)) {
			count = -ESHUTDOWN;
			break;
		}
		if (looked && engine->now >= until)
			break;
		poll_sleep(engine, until);
		looked = true;
	}
	mc_engine_unlock(engine);
	atomic_store(&engine->polling, false);
	return count;
}

int mc_wake(struct mc_engine *engine)
{
	atomic_store(&engine->woken, true);
	eventfd_write(engine->wake_fd, 1);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_ENGINE_INTERNAL_H
#define MC_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mc/engine.h"
#include "mc/op.h"
#include "device/stage.h"
#include "fence.h"
#include "region.h"
#include "slots.h"
#include "spin.h"
#include "tls/tls.h"
#include "transport.h"
#include "work.h"

#define MC_TRANSPORTS_MAX 4
#define MC_WORK_BLOCK 256

struct mc_peer {
	struct mc_transport *transport;
	void *link;
	struct mc_transport *direct; /* used instead where it can be; or NULL */
	void *direct_link;
	struct mc_peer *next_closing;
};

/*
 * A file descriptor in the engine's epoll set (edge-triggered). ready is called with
 * progress_lock held.
 */
struct mc_watch {
	uint32_t id;
	void (*ready)(struct mc_watch *watch, uint32_t events);
};

/*
 * Whoever holds progress_lock drives all transports; it is held while bytes are moved but
 * not while sleeping. Submitting only tries to take it: work is staged first, and a
 * holder looks for staged work after it has let go. state_lock is held for table edits
 * only and is taken inside progress_lock, never around it.
 */
struct mc_engine {
	pthread_mutex_t state_lock;
	struct mc_slots regions;
	struct mc_slots peers;
	struct mc_work_queue free_work;
	struct mc_work_queue staged;
	struct mc_peer *closing;
	struct mc_work_block *blocks;
	uint32_t work_count;
	uint32_t max_ops;
	atomic_uint staged_count;

	pthread_mutex_t progress_lock;
	struct mc_transport *transports[MC_TRANSPORTS_MAX];
	uint32_t transport_count;
	struct mc_slots watches;
	struct mc_work_queue finished;
	uint32_t finished_count;
	int64_t now;            /* when progress_lock was taken, or later */
	int64_t next_deadline;  /* no deadline is earlier */
	int64_t poll_until;     /* a poll sleeps until then; 0: it does not */
	bool more;              /* a transport has something ready */
	struct mc_spin *spin;   /* of the peer that was asked last, for a short answer; or NULL */
	int64_t spent;          /* by calls that submit and wait; of the thread that does */

	int epoll_fd;
	int wake_fd;
	atomic_bool polling;
	atomic_bool woken;
	atomic_bool stopping;

	struct mc_stages stages;       /* for local memory of devices; under progress_lock */
	pthread_mutex_t bytes_lock;    /* of the next; of calls that copy for the caller */
	struct mc_stages bytes_stages;

	struct mc_tls *tls; /* NULL: connections are plain; set before there are any */

	struct mc_publisher publisher;
	uint8_t identity[MC_IDENTITY_SIZE]; /* of the owner; under state_lock */
	struct mc_shared_counts shared; /* of withdrawn regions; under state_lock */
};

/* The device that the local memory lies on, or NULL. */
static inline struct mc_device *mc_work_device(const struct mc_work *work)
{
	return work->region ? work->region->device : NULL;
}

/* Adds fd to the epoll set; the id is in watch until it is removed. 0 or -errno. */
int mc_watch_add(struct mc_engine *engine, struct mc_watch *watch, int fd);

/* Before fd is closed. */
void mc_watch_remove(struct mc_engine *engine, struct mc_watch *watch);

/* The engine calls expire() at or before deadline. progress_lock is held. */
static inline void mc_engine_deadline(struct mc_engine *engine, int64_t deadline)
{
	if (deadline < engine->next_deadline)
		engine->next_deadline = deadline;
}

int mc_engine_region_added(struct mc_engine *engine, struct mc_region *region);
void mc_engine_region_removed(struct mc_engine *engine, struct mc_region *region);

/* Disconnects and frees a peer that is in no table any more. progress_lock is held. */
void mc_peer_free(struct mc_peer *peer);

/* The peer's link in a transport of that kind: 0, -ESTALE, or -EINVAL. progress_lock is held. */
int mc_peer_link(struct mc_engine *engine, uint32_t id, uint32_t kind, void **link);

/* Whether a device or a library of its own has registered the memory, and serves it. */
bool mc_engine_registers(struct mc_engine *engine);

/*
 * Whether a transport that registers memory can come: 0, -EALREADY (there is one, or TLS, which it
 * does not have), or -EBUSY (memory is there already).
 */
int mc_engine_may_register(struct mc_engine *engine);

/* Returns the transport of that kind, or NULL. */
struct mc_transport *mc_engine_transport(struct mc_engine *engine, uint32_t kind);

/* progress_lock is held: runs staged work and whatever is ready, budget bytes of it. */
void mc_engine_step(struct mc_engine *engine, uint64_t budget);

/* Takes staged work and closing peers if the lock is free; else its holder will. */
void mc_engine_kick(struct mc_engine *engine);

/* Lets go of progress_lock, once nothing is staged any more. */
void mc_engine_unlock(struct mc_engine *engine);

#endif

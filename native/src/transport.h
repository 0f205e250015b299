/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TRANSPORT_H
#define MC_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "mc/engine.h"
#include "mc/peer.h"
#include "work.h"

struct mc_region;
struct mc_transport;

enum mc_capability {
	MC_CAN_SERVE = 1 << 0,  /* has listen() */
	MC_CAN_BORROW = 1 << 1, /* local memory need not be a region */
	MC_CAN_CANCEL = 1 << 2, /* expire() of a READ costs others little */
};

/*
 * One way to move bytes, filled in by one file in transport/. Optional functions may be
 * NULL. stop, disconnect, submit, progress and expire are called with progress_lock held;
 * of these only stop may sleep.
 */
struct mc_transport_ops {
	uint32_t kind;         /* enum mc_transport_kind */
	uint32_t capabilities; /* enum mc_capability */

	int (*open)(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct mc_transport **transport);

	/* Stops serving and fails all work with -ECANCELED, as well as what comes later. */
	void (*stop)(struct mc_transport *transport);

	/* Optional: waits for threads that drive the engine to end, after stop(). */
	void (*join)(struct mc_transport *transport);

	/* Frees the transport, after stop() and when every link is disconnected. */
	void (*close)(struct mc_transport *transport);

	/* Optional: who gets connections that begin with a handshake. 0 or -errno. */
	int (*answer_at)(struct mc_transport *transport, const char *name);

	/* Optional. Returns the port or -errno. */
	int (*listen)(struct mc_transport *transport, const char *host, uint16_t port);

	/* Optional: before a region can be used by operations, and after the last could. */
	int (*region_added)(struct mc_transport *transport, struct mc_region *region);
	void (*region_removed)(struct mc_transport *transport, struct mc_region *region);

	/* Makes *link, what the transport knows of a peer, without any I/O. */
	int (*connect)(struct mc_transport *transport, const struct mc_peer_options *options,
		       void **link);

	/* Fails the link's work with -ECANCELED and frees the link. */
	void (*disconnect)(struct mc_transport *transport, void *link);

	/* Takes work over; it ends with mc_work_finish(), at the earliest in this call. */
	void (*submit)(struct mc_transport *transport, struct mc_work *work);

	/* Moves up to *budget bytes of what is ready, subtracts them; true: more is ready. */
	bool (*progress)(struct mc_transport *transport, uint64_t *budget);

	/* Ends what is overdue; returns the earliest deadline that remains, or MC_NEVER. */
	int64_t (*expire)(struct mc_transport *transport, int64_t now);

	/* Adds its counters. Any thread. */
	void (*stats)(struct mc_transport *transport, struct mc_engine_stats *stats);
};

struct mc_transport {
	const struct mc_transport_ops *ops;
	struct mc_engine *engine;
};

extern const struct mc_transport_ops mc_tcp_ops;
extern const struct mc_transport_ops mc_shm_ops;
extern const struct mc_transport_ops mc_files_ops;

/* Begins to offer published memory on this host; and the name to ask at, empty before. */
int mc_shm_serve(struct mc_transport *transport);
const char *mc_shm_name(struct mc_transport *transport);

/* Lets a writer map nothing until then: 0, -EBUSY when it may have something mapped, -ENOSPC. */
int mc_shm_fence(struct mc_transport *transport, const uint8_t *writer, int64_t until);

/* Has everyone let go of handles of devices: whether they have, in time. May sleep. */
bool mc_shm_recall(struct mc_transport *transport);

/* How many peers of this host have refused to let their memory be read. */
uint32_t mc_shm_refusals(struct mc_transport *transport);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SHM_CLIENT_H
#define MC_SHM_CLIENT_H

#include "shm.h"

#include <pthread.h>
#include <stdatomic.h>

#include "../engine.h"
#include "../list.h"

/* What is known of a peer. The thread alone changes fd and maps, with progress_lock held. */
struct shm_link {
	struct mc_list entry;  /* in the client's links or closed ones */
	struct mc_list asking; /* in the client's list of questions and orders */
	struct mc_list ready;  /* in the client's list of links with something to copy */
	bool known;            /* the thread knows of the link */
	bool busy;             /* the thread uses it without the lock */
	bool refused;          /* one of the two may not read the other's memory */
	int64_t absent_until;  /* no such owner on this host; MC_NEVER: for good */
	int fd;                /* -1: not connected */
	struct shm_process owner;
	struct shm_maps *maps;
	uint64_t copied_bytes;         /* of the first active work */
	struct mc_work_queue waiting; /* for an answer */
	struct mc_work_queue active;
	struct mc_work_queue copied;  /* to be finished when the owner is seen to live */
	struct mc_work_queue writes;  /* which the owner is to take */
	struct mc_work_queue ordered; /* which it is taking */
	char name[MC_LOCAL_NAME_SIZE];
};

/* Everything here but the thread's own belongs to progress_lock. */
struct shm_client {
	struct mc_engine *engine;
	struct mc_list links;
	struct mc_list closed;
	struct mc_list asking;
	struct mc_list ready;
	uint32_t link_count;
	pthread_t thread;
	bool running;
	bool stopped;
	bool rerouted; /* progress() gave work to another transport */
	int wake_fd;
	atomic_uint refusals;
};

static inline bool shm_is_absent(const struct shm_client *client, const struct shm_link *link)
{
	return link->absent_until > client->engine->now;
}

/* Functions of the thread; progress_lock is held before and after. */
void *shm_client_run(void *client);
void shm_links_free_closed(struct shm_client *client);

/* The owner has gone, or is not one, or wants what it lent back. */
void shm_link_drop(struct shm_client *client, struct shm_link *link, int err);

/* Sends what waits for an answer on its way. */
void shm_link_route(struct shm_client *client, struct shm_link *link);

/* Has the thread look at a link. */
void shm_link_ask(struct shm_client *client, struct shm_link *link);

/* Gives work to TCP. */
void shm_reroute(struct mc_work *work);

/* Notes that memory of processes is not to be had from this peer. */
void shm_link_refused(struct shm_client *client, struct shm_link *link);

/* Whether a work can be done by copying here; else the owner, or TCP, does it. */
bool shm_can_copy(const struct shm_link *link, const struct mc_work *work,
		  const struct shm_map *map);

/* Whether the owner can take a write. */
bool shm_can_order(const struct shm_link *link, const struct mc_work *work,
		   const struct shm_map *map);

/*
 * Copies count bytes from at on between the local memory of a work and a map: 0, -EREMOTEIO where a
 * device failed, -ECONNRESET where the owner has ended, or as shm_process_read().
 */
int shm_copy(struct mc_engine *engine, const struct shm_link *link, const struct shm_map *map,
	     struct mc_work *work, uint64_t at, uint64_t count);

#endif

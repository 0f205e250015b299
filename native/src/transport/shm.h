/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SHM_H
#define MC_SHM_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../region.h"
#include "../transport.h"

/*
 * Memory of an engine on the same host. A published region lies in a memfd. The engine that owns
 * it answers on an abstract Unix socket, whose name cannot be guessed, with the descriptors of
 * what it publishes; the other maps them and copies. The socket stays open: its end tells that
 * the owner has gone.
 *
 * A withdrawn region stays valid memory for who has it mapped, and is nobody else's: a copy that
 * was under way hurts nothing, and whoever looks at the region's state afterwards sees that it
 * failed.
 *
 * Memory of a device is offered as a file with nothing but the region's state; its bytes go over
 * TCP.
 *
 * Only the first window is reached this way. A writer that is to be kept out must have ended its
 * connection, and is answered nothing as long as it is kept out.
 */

#define SHM_MAGIC 0x334d4853u /* "SHM3" */
#define SHM_BATCH 64u         /* regions in one answer */

/* Both ends of a message lie in memory of one machine: native byte order. */
struct shm_question {
	uint32_t magic;
	uint8_t asker[MC_IDENTITY_SIZE]; /* zeros: it does not say */
};

struct shm_offer {
	uint64_t base;   /* of the first byte, as peers name it */
	uint64_t length; /* bytes */
	uint64_t shift;  /* where they begin in the file; 0: they lie on a device */
};

struct shm_answer {
	uint32_t magic;
	uint32_t count; /* offers, and as many descriptors */
	uint32_t more;  /* 1: another answer follows */
	uint32_t reserved;
	struct shm_offer offers[SHM_BATCH];
};

/* A region of an owner, mapped. */
struct shm_map {
	uint64_t base;
	uint64_t length;
	struct mc_region_header *header; /* where the file is mapped */
	uint64_t mapped; /* bytes of it: a whole number of its pages */
	uint8_t *memory; /* NULL: not reached this way */
};

/* All of an owner's regions, sorted by base. */
struct shm_maps {
	uint32_t count;
	struct shm_map maps[];
};

/* Connects to an owner on this host. Returns the socket, or -errno. */
int shm_owner_connect(const char *name);

/*
 * Asks the owner what it publishes: 0 and *maps, which share with old what was mapped before, or
 * -errno; -EAGAIN: it does not answer.
 */
int shm_maps_ask(int fd, const uint8_t *asker, const struct shm_maps *old,
		 struct shm_maps **maps);

/* Frees old, or NULL, but for what next, or NULL, has taken over. */
void shm_maps_free(struct shm_maps *old, const struct shm_maps *next);

/* The map that a range lies in and that its owner still serves, or NULL; maps may be NULL. */
struct shm_map *shm_maps_find(struct shm_maps *maps, uint64_t address, uint64_t length);

struct shm_server;
struct shm_client;

/* Fills an abstract address; returns its length. */
socklen_t shm_address(const char *name, struct sockaddr_un *address);

int shm_server_open(struct mc_engine *engine, struct shm_server **server);
int shm_server_start(struct shm_server *server);
const char *shm_server_name(const struct shm_server *server);
int shm_server_fence(struct shm_server *server, const uint8_t *writer, int64_t until);
void shm_server_stop(struct shm_server *server);
void shm_server_free(struct shm_server *server);

int shm_client_open(struct mc_engine *engine, struct shm_client **client);
void shm_client_stop(struct shm_client *client);
void shm_client_join(struct shm_client *client);
void shm_client_free(struct shm_client *client);
int shm_client_connect(struct shm_client *client, const char *name, void **link);
void shm_client_disconnect(struct shm_client *client, void *link);
void shm_client_submit(struct shm_client *client, struct mc_work *work);
bool shm_client_progress(struct shm_client *client, uint64_t *budget);
int64_t shm_client_expire(struct shm_client *client, int64_t now);

#endif

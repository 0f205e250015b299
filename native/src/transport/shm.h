/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SHM_H
#define MC_SHM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../device/device.h"
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
 * Other memory is offered as a file with nothing but the region's state. Memory of a device that the
 * owner has allocated comes with a handle, which the other opens once and copies with; the owner frees
 * it when everyone who has a handle has closed the connection, which it asks them to do. Memory of
 * the owner's caller is read out of the owner's process, and what is to be written there the owner
 * reads out of the writer's: nobody writes into the memory of another process, so whoever withdraws
 * memory has to wait for nobody but himself. What cannot be reached in one of these ways goes over
 * TCP.
 *
 * Only the first window is reached this way. A writer that is to be kept out must have ended its
 * connection, and is answered nothing as long as it is kept out.
 */

#define SHM_MAGIC 0x344d4853u /* "SHM4" */
#define SHM_BATCH 64u         /* regions in one answer, writes in one order */
#define SHM_TAKE_BYTES (16u << 20) /* of the writes in one order */

/* Both ends of a message lie in memory of one machine: native byte order. */
struct shm_question {
	uint32_t magic;
	uint8_t asker[MC_IDENTITY_SIZE]; /* zeros: it does not say */
	uint32_t count; /* writes to take; 0: what is published? */
};

/* Bytes of the asker that belong into memory of the owner. Those of an order follow its question. */
struct shm_write {
	uint64_t remote;  /* address, as peers name it */
	uint64_t address; /* in the asker */
	uint64_t length;
	uint64_t last; /* 1: the operation ends with it */
};

/* To an order: what became of each write, 0 or -errno. */
struct shm_taken {
	uint32_t magic;
	uint32_t count;
	int32_t results[SHM_BATCH];
};

enum shm_kind {
	SHM_FILE = 0,    /* in the file that comes with the offer */
	SHM_PROCESS = 1, /* in the owner's process */
	SHM_DEVICE = 2,  /* on a device, by a handle */
	SHM_REMOTE = 3,  /* over TCP only */
};

struct shm_offer {
	uint64_t base;    /* of the first byte, as peers name it */
	uint64_t length;  /* bytes */
	uint64_t shift;   /* SHM_FILE: where they begin in it */
	uint64_t address; /* SHM_PROCESS, SHM_DEVICE: what the owner calls the first byte */
	uint32_t kind;    /* enum shm_kind */
	uint32_t reserved;
	char location[MC_LOCATION_SIZE]; /* SHM_DEVICE */
	struct mc_ipc_handle handle;     /* SHM_DEVICE */
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
	uint32_t kind;   /* enum shm_kind */
	uint8_t *memory; /* SHM_FILE: here; SHM_PROCESS: in the owner; SHM_DEVICE: on the device */
	struct mc_device *device; /* SHM_DEVICE */
	bool opened;              /* by a handle, which is closed with the map */
};

/* All of an owner's regions, sorted by base. */
struct shm_maps {
	uint32_t count;
	struct shm_map maps[];
};

/* The process at the other end of a connection. */
struct shm_process {
	int pid; /* 0: it cannot be named */
	int fd;  /* which tells when it has ended, so that its number is nobody else's before */
};

/* Whether none of the events has happened to a descriptor; a signal is none. */
bool shm_is_quiet(int fd, short events);

/* Finds it out and opens the descriptor; without one its memory is not read. */
struct shm_process shm_process_of(int connection);
void shm_process_close(struct shm_process *process);

/*
 * Copies out of its memory: 0, -EPERM (this process may not), -EFAULT (that is no memory of it) or
 * -ESRCH (it has ended, and what was copied may be another's).
 */
int shm_process_read(const struct shm_process *process, uint64_t from, uint8_t *to,
		     uint64_t length);

/* Connects to an owner on this host. Returns the socket, or -errno. */
int shm_owner_connect(const char *name);

/*
 * Asks the owner, a process with that number, what it publishes: 0 and *maps, which share with old
 * what was mapped before, or -errno; -EAGAIN: it does not answer.
 */
int shm_maps_ask(int fd, const uint8_t *asker, int owner, const struct shm_maps *old,
		 struct shm_maps **maps);

/* Frees old, or NULL, but for what next, or NULL, has taken over. */
void shm_maps_free(struct shm_maps *old, const struct shm_maps *next);

/* The map that a range lies in and that its owner still serves, or NULL; maps may be NULL. */
struct shm_map *shm_maps_find(struct shm_maps *maps, uint64_t address, uint64_t length);

/*
 * Has the owner take writes, count of them, out of this process: 0 and what became of each in results,
 * or -errno; -EAGAIN: it does not answer.
 */
int shm_order(int fd, const uint8_t *asker, const struct shm_write *writes, uint32_t count,
	      int32_t *results);

/* The owner's side of that: 0 or -errno. reader is of the thread that calls. */
int shm_take(struct mc_engine *engine, struct mc_reader *reader, const struct shm_process *writer,
	     const struct shm_write *write);

struct shm_server;
struct shm_client;

/* Fills an abstract address; returns its length. */
socklen_t shm_address(const char *name, struct sockaddr_un *address);

int shm_server_open(struct mc_engine *engine, struct shm_server **server);
int shm_server_start(struct shm_server *server);
const char *shm_server_name(const struct shm_server *server);
int shm_server_fence(struct shm_server *server, const uint8_t *writer, int64_t until);
void shm_server_stop(struct shm_server *server);

/* Asks everyone who has handles of devices to let go: whether all have, within two seconds. */
bool shm_server_recall(struct shm_server *server);
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
uint32_t shm_client_refusals(struct shm_client *client);

#endif

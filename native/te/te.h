/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TE_H
#define TE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mc/transfer_engine_c.h"
#include "transfer_engine_c.h"

/* The reference's. */
#define ERR_INVALID_ARGUMENT (-1)
#define ERR_TOO_MANY_REQUESTS (-2)
#define ERR_BATCH_BUSY (-4)
#define ERR_ADDRESS_NOT_REGISTERED (-3)
#define ERR_ADDRESS_OVERLAPPED (-7)
#define ERR_DNS (-101)
#define ERR_SOCKET (-102)
#define ERR_MALFORMED_JSON (-103)
#define ERR_REJECT_HANDSHAKE (-104)
#define ERR_ENDPOINT (-201)
#define ERR_MEMORY (-302)
#define ERR_NOT_IMPLEMENTED (-303)

#define TE_HOST_SIZE 256
#define TE_NAME_SIZE (TE_HOST_SIZE + 8)
#define TE_FRAME_MAX (1u << 20)
#define TE_HANDSHAKE_MS 5000

enum te_handshake { TE_CONNECTION, TE_METADATA, TE_NOTIFY, TE_PROBE };

struct te_memory {
	struct te_memory *next;
	void *address;
	uint64_t length;
	uint32_t region; /* 0: not for peers */
};

/* An engine that requests can go to; number 0 is this one. */
struct te_segment {
	char *name;
	uint32_t peer;     /* 0: closed */
	uint32_t openings;
};

struct te_note {
	struct te_note *next;
	char *name, *msg;
};

struct te_batch;
struct te_answerer;

struct te {
	struct mc_engine *core;
	char name[TE_NAME_SIZE];
	char host[64];           /* numeric, of its listening socket as this machine reaches it */
	uint32_t port;
	atomic_bool tcp;         /* the transport is installed */
	pthread_mutex_t lock;    /* what follows, and calls of core but for its poll */
	struct te_memory *memories;
	struct te_segment *segments;
	uint32_t segment_count;
	struct te_note *notes, **last_note;
	uint32_t note_count;
	struct te_batch *batches;
	pthread_t poller;
	struct te_answerer *answerer;
};

/* One line for the operator. */
void te_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Splits "host:port" or "[host]:port"; port is 0 where there is none. False when it is no name. */
bool te_parse_name(const char *name, char host[TE_HOST_SIZE], uint32_t *port);

/* Numeric address of a host; 0 or ERR_DNS. */
int te_resolve(const char *host, char numeric[64]);

/*
 * Sends one handshake to an engine, and gives the body of its answer, NUL-terminated and for free().
 * 0 or a code.
 */
int te_exchange(const char *name, enum te_handshake type, const char *body, char **answer);

/* Answers handshakes at name, a Unix socket of the abstract name space. 0 or a code. */
int te_answerer_start(struct te *te, const char *name);
void te_answerer_stop(struct te *te);

/* This engine's document, for free(); NULL without memory. */
char *te_document(struct te *te);
/* Keeps a message, which is then not the caller's any more; false when there are too many. */
bool te_keep_note(struct te *te, char *name, char *msg);

/* Takes what core has completed until it is shut down. */
void *te_poll(void *argument);
void te_free_batches(struct te *te);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_CONN_H
#define RPC_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mc/rpc.h"

enum {
	SCRATCH_BYTES = 256 * 1024,
};

#define NONE UINT32_MAX
/* An id of a connection is its slot and, above that, how often the slot was used before. */
#define SLOT_BITS 20u
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

/* One client of the server: what has arrived of its requests and not left of its replies. */
struct conn {
	int fd; /* -1 = slot is free */
	uint32_t generation;
	uint32_t next; /* free list, or ready list */
	uint32_t events;
	uint8_t ready;   /* on the ready list: a whole frame is buffered */
	uint64_t skip;   /* bytes of the stream still to be thrown away */
	uint8_t *in;     /* bytes of an unfinished frame, or frames that did not fit */
	size_t in_length, in_capacity;
	uint8_t *out;    /* unsent reply bytes */
	size_t out_start, out_length, out_capacity;
	int64_t last_active_sec;
};

struct mc_rpc_server {
	int epoll_fd, listen_fd, wake_fd, spare_fd;
	struct mc_rpc_options options;
	struct conn *conns;
	uint32_t capacity, open, free_head;
	uint32_t ready_head, ready_tail;
	int64_t last_sweep_sec;
	size_t kept; /* bytes of the in and out buffers of all connections */
	size_t kept_limit;
	uint8_t *scratch;
};

/* The batch being filled by one mc_rpc_poll(). */
struct batch {
	uint8_t *bytes;
	size_t length, capacity;
	uint32_t count, need;
};

/* The open connection with an id that replies name, or NULL. */
struct conn *conn_find(struct mc_rpc_server *server, uint32_t id);

/* Asks epoll for what the connection waits for now. */
void conn_watch(struct mc_rpc_server *server, struct conn *conn);

/* Reads what has arrived. Returns 0, or a negative errno to close the connection. */
int conn_read(struct mc_rpc_server *server, struct conn *conn, struct batch *batch);

/* Hands out frames of the bytes kept in conn->in. Returns 0, or a negative errno to close it. */
int conn_take_kept(struct mc_rpc_server *server, struct conn *conn, struct batch *batch);

/* Sends replies, or keeps what the socket does not take. Returns 0, or a negative errno to close it. */
int conn_send(struct mc_rpc_server *server, struct conn *conn, struct iovec *iov, int count);

/* Sends what was kept. Returns 0, or a negative errno to close the connection. */
int conn_flush(struct mc_rpc_server *server, struct conn *conn);

void conn_close(struct mc_rpc_server *server, struct conn *conn);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RPC_H
#define MC_RPC_H

#include <stdint.h>

/*
 * A coro_rpc frame poller: one listening socket, many connections, one thread.
 *
 * The thread that owns the caller's state calls mc_rpc_poll() in a loop. Each call sends the
 * replies of the previous batch, waits for requests, and hands out every frame that is complete.
 * Nothing here knows what a frame means.
 */
struct mc_rpc_server;

struct mc_rpc_options {
	uint32_t size;              /* sizeof(struct mc_rpc_options) */
	uint32_t port;              /* 0 = let the system choose */
	uint32_t backlog;           /* of listen(2) */
	uint32_t max_connections;   /* further ones are closed at accept */
	uint32_t max_frame_bytes;   /* body and attachment together */
	uint32_t idle_timeout_sec;  /* 0 = connections may stay idle for ever */
	uint32_t tcp_nodelay;       /* 0 or 1 */
	uint32_t max_kept_mib;      /* see mc_rpc_poll(); 0 = 512, or 4 frames if that is more */
	char host[64];              /* numeric IPv4 or IPv6 address, NUL terminated */
};

/* What a request record holds; MC_RPC_TOO_LARGE has no body and needs an error reply. */
enum mc_rpc_kind { MC_RPC_REQUEST = 0, MC_RPC_TOO_LARGE = 1 };

/* Head of the buffer that mc_rpc_poll() fills. */
struct mc_rpc_batch {
	uint32_t count;       /* records that follow */
	uint32_t flags;       /* MC_RPC_WOKEN */
	uint32_t need;        /* in_capacity that a waiting frame wants, 0 = none waits */
	uint32_t connections; /* open now */
};

#define MC_RPC_WOKEN 1u

/* Longer attachments are stepped over and count as none. */
#define MC_RPC_MAX_ATTACHMENT 64u

/* One request: this, then the body, then the attachment, then padding to a multiple of 8. */
struct mc_rpc_request {
	uint32_t connection;  /* id to answer to; stale ids are ignored */
	uint32_t kind;        /* enum mc_rpc_kind */
	uint32_t seq;
	uint32_t function_id;
	uint32_t body_length;
	uint32_t attachment_length;
};

/* One reply in the caller's buffer: this, then length bytes (a whole response frame), no padding. */
struct mc_rpc_reply {
	uint32_t connection;
	uint32_t length;
};

_Static_assert(sizeof(struct mc_rpc_options) == 96, "struct mc_rpc_options is ABI");
_Static_assert(sizeof(struct mc_rpc_batch) == 16, "struct mc_rpc_batch is ABI");
_Static_assert(sizeof(struct mc_rpc_request) == 24, "struct mc_rpc_request is ABI");
_Static_assert(sizeof(struct mc_rpc_reply) == 8, "struct mc_rpc_reply is ABI");

/*
 * Binds, listens and returns 0 with *out set, or -errno (-EADDRINUSE when the port is taken,
 * -EINVAL for a bad option or host). Close with mc_rpc_close().
 */
int mc_rpc_open(const struct mc_rpc_options *options, struct mc_rpc_server **out);

/* The port the server listens on. */
int mc_rpc_port(const struct mc_rpc_server *server);

/*
 * An eventfd owned by the server; writing 8 bytes (a non-zero u64) to it from any thread makes the
 * running or the next mc_rpc_poll() return with MC_RPC_WOKEN.
 */
int mc_rpc_wake_fd(const struct mc_rpc_server *server);

/*
 * Sends the packed replies, then waits up to timeout_ms for requests and fills `in` with
 * struct mc_rpc_batch and its records. Returns the bytes filled, or -errno: -EINVAL when the
 * replies are malformed or in_capacity is under 4096 or above INT32_MAX.
 * Replies to connections that are gone are dropped. A connection is closed when its stream is not
 * the protocol, when it leaves more than 64 MiB of replies unread, and when what is kept for all
 * connections, unfinished requests and unread replies, would exceed max_kept_mib and it is not one
 * of those that keep little.
 * Ownership: replies are copied or sent before the call returns; `in` is the caller's.
 * Threads: one thread polls.
 */
int32_t mc_rpc_poll(struct mc_rpc_server *server, const uint8_t *replies, uint32_t replies_length,
		    uint8_t *in, uint32_t in_capacity, uint32_t timeout_ms);

/*
 * Sends the packed replies as mc_rpc_poll() does, without waiting for anything. Returns 0, or
 * -EINVAL when they are malformed. Threads: the one that polls.
 */
int32_t mc_rpc_send(struct mc_rpc_server *server, const uint8_t *replies, uint32_t replies_length);

/* Whether replies to a connection can still be sent. Threads: the one that polls. */
int32_t mc_rpc_is_open(struct mc_rpc_server *server, uint32_t connection);

/* Closes every connection and the listening socket. */
void mc_rpc_close(struct mc_rpc_server *server);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RPC_CLIENT_H
#define MC_RPC_CLIENT_H

#include <stdint.h>

/*
 * The client's end of one TCP connection: bytes out, bytes in. Nothing here knows what they mean.
 *
 * Two threads: the owner makes every call but mc_rpc_client_poll(), which another thread is parked
 * in all the time. The owner sends, and may sleep a moment for the answer in
 * mc_rpc_client_receive(); the parked thread is not woken by that. It only sees the end of the
 * connection, until the owner asks it to look for input, too, with mc_rpc_client_watch().
 */
struct mc_rpc_client;

struct mc_rpc_client_options {
	uint32_t size; /* sizeof(struct mc_rpc_client_options) */
	uint32_t port; /* 1 to 65535 */
	char host[64]; /* numeric IPv4 or IPv6 address, with a zone if need be, NUL terminated */
};

_Static_assert(sizeof(struct mc_rpc_client_options) == 72, "struct mc_rpc_client_options is ABI");

/* What mc_rpc_client_poll() has seen; bits. */
#define MC_RPC_CLIENT_INPUT 1u  /* bytes, or the end: mc_rpc_client_receive() */
#define MC_RPC_CLIENT_OUTPUT 2u /* connected, or room for bytes that are kept: mc_rpc_client_flush() */

/*
 * Begins to connect, and returns 0 with *out set, or -errno: -EINVAL for a bad option or host,
 * otherwise why there can be no connection. Owned by the caller: shut it down, wait for the poll to
 * have returned, close it.
 */
int mc_rpc_client_open(const struct mc_rpc_client_options *options, struct mc_rpc_client **out);

/*
 * Sends bytes, and keeps a copy of what the socket does not take. Returns how many bytes are kept
 * now (at most INT32_MAX is told), or -errno when the connection is lost.
 */
int32_t mc_rpc_client_send(struct mc_rpc_client *client, const uint8_t *bytes, uint32_t length);

/*
 * After MC_RPC_CLIENT_OUTPUT: sends what is kept. Returns as mc_rpc_client_send(); -errno, too, when
 * no connection could be made.
 */
int32_t mc_rpc_client_flush(struct mc_rpc_client *client);

/*
 * Takes what has arrived, up to capacity bytes; when there is nothing, waits for it once, at most
 * sleep_us: where that has worked lately it looks for a moment before it sleeps. Returns the bytes taken, 0 when there are none, or -errno when the connection is lost:
 * -ESHUTDOWN when its other end has hung up.
 */
int32_t mc_rpc_client_receive(struct mc_rpc_client *client, uint8_t *in, uint32_t capacity,
			      uint32_t sleep_us);

/* Whether mc_rpc_client_poll(), running or next, returns for input. */
void mc_rpc_client_watch(struct mc_rpc_client *client, uint32_t input);

/*
 * Sleeps until there is something for the owner to do, and returns what (MC_RPC_CLIENT_*), or
 * -ESHUTDOWN after mc_rpc_client_shutdown(). One call at a time, from any thread.
 */
int32_t mc_rpc_client_poll(struct mc_rpc_client *client);

/* Ends the connection, and the poll. */
void mc_rpc_client_shutdown(struct mc_rpc_client *client);

/* Frees everything. No call may be running. */
void mc_rpc_client_close(struct mc_rpc_client *client);

#endif

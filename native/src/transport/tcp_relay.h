/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TCP_RELAY_H
#define MC_TCP_RELAY_H

#include "tcp_server.h"

#define TCP_RELAY_BUFFER (16u << 10)
/* Of one thread; more are closed. */
#define TCP_RELAYS_MAX 1024

struct tcp_relay;

/* One of the two connections of a relay, in the thread's epoll set. */
struct tcp_relay_end {
	struct tcp_relay *relay;
	struct mc_stream stream;
	bool readable, writable;
	bool ended; /* sends nothing any more */
	bool shut;  /* was told that nothing comes any more */
	uint32_t from, to; /* bytes that were received here and not yet passed on */
	uint8_t bytes[TCP_RELAY_BUFFER];
};

/*
 * Bytes of a connection that is no data connection, passed between the peer and the Unix
 * socket of whoever answers handshakes. It belongs to one I/O thread.
 */
struct tcp_relay {
	struct mc_list entry; /* in the thread's relays */
	struct mc_list ready; /* in the thread's ready_relays, or alone */
	int64_t active;
	struct tcp_relay_end peer, answerer;
};

/* Takes the session's connection and what came on it over; the session is then without. */
void tcp_relay_begin(struct tcp_thread *thread, struct tcp_session *session);

/* Events of an end, whose pointer in the epoll set is tagged. */
#define TCP_RELAY_TAG 1u
void tcp_relay_event(struct tcp_thread *thread, struct tcp_relay_end *end, uint32_t events);

/* Passes on what is there; called after all events of a round have been noted. */
void tcp_relay_run_ready(struct tcp_thread *thread);

/* Ends those that have stood still; true when there are others. */
bool tcp_relay_sweep(struct tcp_thread *thread);

void tcp_relay_end_all(struct tcp_thread *thread);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TCP_LANE_H
#define MC_TCP_LANE_H

#include "../list.h"
#include "stream.h"
#include "tcp.h"

#define TCP_LANES_MAX 16

/* A request on its way through a lane; lives in mc_work.transport. */
struct tcp_request {
	struct tcp_header header;
	struct tcp_header proof; /* behind an unacknowledged WRITE: a READ of its first byte */
	struct tcp_status status; /* or the byte that proves */
	bool abandoned; /* its completion was handed out: what still arrives is thrown away */
	bool bounced;   /* its body goes by way of the client's buffer */
};
_Static_assert(sizeof(struct tcp_request) <= sizeof(((struct mc_work *)0)->transport),
	       "a request fits into its work");

static inline struct tcp_request *tcp_request(struct mc_work *work)
{
	return (struct tcp_request *)work->transport;
}

enum tcp_lane_state {
	LANE_CLOSED,
	LANE_CONNECTING,
	LANE_SECURING, /* in the TLS handshake */
	LANE_OPEN,
};

/*
 * One connection to a peer. Requests leave and are answered in the order of the queue:
 * those before sending have left, received counts the answer to the first.
 */
struct tcp_lane {
	struct mc_watch watch;
	struct tcp_link *link;
	struct mc_list ready; /* alone: not in the client's list */
	struct mc_work_queue queue;
	struct mc_work *sending; /* first not completely sent, or NULL */
	uint64_t sent;           /* bytes of it */
	uint64_t received;       /* bytes of the first one's answer */
	uint64_t queued_bytes;
	int64_t connect_deadline;
	int64_t active; /* when bytes last moved */
	struct mc_stream stream;
	uint32_t mark; /* of tcp_set_mark() */
	enum tcp_lane_state state;
	int broken; /* errno of sending; answers may still come */
	bool readable, writable, hung_up;
};

/* What the client half knows of a peer. */
struct tcp_link {
	struct tcp_client *client;
	struct mc_list entry;
	struct sockaddr_storage address;
	socklen_t address_length;
	bool acknowledged; /* version 2 */
	struct mc_spin spin; /* for its answers */
	char server_name[MC_SERVER_NAME_SIZE]; /* that its certificate covers */
	struct tcp_lane *lanes[TCP_LANES_MAX];
};

struct tcp_client {
	struct mc_engine *engine;
	struct mc_list links; /* that have been used */
	struct mc_list ready; /* lanes with something to do */
	uint32_t lanes_per_peer;
	uint64_t spill_bytes;
	int64_t connect_timeout; /* ns */
	_Atomic uint64_t connects;
	bool stopped;
	uint8_t *bounce; /* TCP_BOUNCE_SIZE bytes for use within a call */
	uint8_t *bounce_block;
};

#define TCP_BOUNCE_SIZE (256u << 10)

struct tcp_lane *tcp_lane_new(struct tcp_link *link);

/* Closes and frees; the queue must be empty. */
void tcp_lane_free(struct tcp_lane *lane);

/* Would a body be copied slowly between a socket and this memory? */
bool tcp_lane_collides(const struct tcp_lane *lane, const struct mc_work *work);

/* Queues work at the end, connecting if need be; 0, or -errno with work not taken. */
int tcp_lane_push(struct tcp_lane *lane, struct mc_work *work);

/* When no bytes are expected: the peer may have closed, or is not one of ours. */
void tcp_lane_check(struct tcp_lane *lane);

/* Sends and receives up to *budget bytes; true: there is more to do at once. */
bool tcp_lane_run(struct tcp_lane *lane, uint64_t *budget);

/* One call into the kernel for as much as it takes, up to about *budget. */
void tcp_lane_send(struct tcp_lane *lane, uint64_t *budget);
void tcp_lane_receive(struct tcp_lane *lane, uint64_t *budget);

/*
 * The device of a request's local memory failed in the middle of its bytes: the connection is
 * closed, that request fails with -EREMOTEIO and the others with -ECONNRESET.
 */
void tcp_lane_device_failed(struct tcp_lane *lane, struct mc_work *work);

/* Ends the first request of the queue. */
void tcp_lane_finish_first(struct tcp_lane *lane, int result);

/*
 * The peer refused the first request. It answers nothing after that and closes, so what was
 * queued behind has not been carried out and starts afresh on a new connection.
 */
void tcp_lane_refuse_first(struct tcp_lane *lane);

/* Closes the connection and fails what is queued. */
void tcp_lane_fail(struct tcp_lane *lane, int result, int detail);

/* Ends what is overdue; returns the earliest deadline that remains. */
int64_t tcp_lane_expire(struct tcp_lane *lane, int64_t now);

void tcp_lane_set_ready(struct tcp_lane *lane);

#endif

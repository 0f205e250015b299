// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fabric.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../common.h"

#define FLIGHTS 64u
#define TAKE 32
/* How long a peer may take to let itself be reached. */
#define CONNECT_NS 5000000000ll
/* libfabric's number for a key that the peer does not know. */
#define MCF_ENOKEY 266

static int watch(struct fabric *fabric, struct fabric_peer *peer)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (peer->end.fd < 0)
		return 0;
	return epoll_ctl(fabric->epoll_fd, EPOLL_CTL_ADD, peer->end.fd, &event) < 0 ? -errno : 0;
}

int fabric_connect(void *transport, const uint8_t *address, uint32_t size, void **connected)
{
	struct fabric *fabric = transport;
	struct fabric_peer *peer;
	int err;

	if (size != fabric->address.size)
		return -EINVAL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->fabric = fabric;
	peer->end.fd = -1;
	peer->made_at = mc_now();
	mc_list_init(&peer->node);
	mc_list_init(&peer->flights);
	mc_list_init(&peer->free_flights);
	peer->slots = calloc(FLIGHTS, sizeof(peer->slots[0]));
	err = peer->slots ? fabric_end_open(fabric, NULL, &peer->end) : -ENOMEM;
	if (!err)
		err = watch(fabric, peer);
	if (!err && peer->end.av->ops->insert(peer->end.av, address, 1, &peer->address, 0, NULL) != 1)
		err = -EHOSTUNREACH;
	if (err) {
		fabric_disconnect(fabric, peer);
		return err;
	}
	for (uint32_t i = 0; i < FLIGHTS; i++)
		mc_list_append(&peer->free_flights, &peer->slots[i].node);
	mc_list_append(&fabric->peers, &peer->node);
	*connected = peer;
	return 0;
}

void fabric_disconnect(void *transport, void *disconnected)
{
	struct fabric *fabric = transport;
	struct fabric_peer *peer = disconnected;

	if (peer->end.fd >= 0)
		epoll_ctl(fabric->epoll_fd, EPOLL_CTL_DEL, peer->end.fd, NULL);
	mc_list_remove(&peer->node);
	fabric_end_close(&peer->end);
	free(peer->slots);
	free(peer);
}

int fabric_submit(void *transport, void *submitted, const struct mc_plugin_slice *slice)
{
	struct fabric_peer *peer = submitted;
	struct mcf_ep *ep = peer->end.ep;
	struct fabric_memory *memory = slice->memory;
	void *desc = memory ? memory->mr->mem_desc : NULL;
	struct fabric_flight *flight;
	uint64_t key[2];
	ssize_t err;

	(void)transport;
	if (slice->key_size != sizeof(key))
		return -EINVAL;
	if (mc_list_empty(&peer->free_flights))
		return -EAGAIN;
	memcpy(key, slice->key, sizeof(key));
	flight = mc_list_entry(peer->free_flights.next, struct fabric_flight, node);
	if (slice->opcode == MC_PLUGIN_WRITE)
		err = ep->rma->write(ep, slice->local, slice->length, desc, peer->address,
				     key[0] + slice->offset, key[1], flight);
	else
		err = ep->rma->read(ep, slice->local, slice->length, desc, peer->address,
				    key[0] + slice->offset, key[1], flight);
	if (err == -EAGAIN) {
		struct mcf_cq_entry none;

		/* Has a connection that is being made go on; nothing of ours is under way then. */
		if (mc_list_empty(&peer->flights))
			(void)peer->end.cq->ops->read(peer->end.cq, &none, 0);
		if (!peer->reached && mc_now() - peer->made_at > CONNECT_NS)
			return -EHOSTUNREACH;
	}
	if (err)
		return (int)err;
	peer->reached = true;
	flight->token = slice->token;
	mc_list_remove(&flight->node);
	mc_list_append(&peer->flights, &flight->node);
	return 0;
}

static struct mc_plugin_completion land(struct fabric_peer *peer, void *context, int result,
					int detail)
{
	struct fabric_flight *flight = context;

	mc_list_remove(&flight->node);
	mc_list_append(&peer->free_flights, &flight->node);
	return (struct mc_plugin_completion){
		.token = flight->token,
		.result = result,
		.detail = detail,
	};
}

/* Peers answer a key or a range that they do not know in several ways. */
static int result_of(int error)
{
	return error == EACCES || error == EINVAL || error == EFAULT || error == MCF_ENOKEY ||
			       error == EREMOTEIO ?
		       -EFAULT :
		       -ECONNRESET;
}

static uint32_t take(struct fabric_peer *peer, struct mc_plugin_completion *out, uint32_t max)
{
	struct mcf_cq *cq = peer->end.cq;
	struct mcf_cq_entry entries[TAKE];
	struct mcf_cq_err_entry error = { 0 };
	ssize_t got = cq->ops->read(cq, entries, mc_min(max, TAKE));
	uint32_t count = 0;

	if (got == -MCF_EAVAIL && cq->ops->readerr(cq, &error, 0) == 1 && error.op_context)
		out[count++] = land(peer, error.op_context, result_of(error.err), error.err);
	for (ssize_t i = 0; i < got; i++) {
		if (entries[i].op_context)
			out[count++] = land(peer, entries[i].op_context, 0, 0);
	}
	return count;
}

int fabric_poll(void *transport, struct mc_plugin_completion *out, uint32_t max)
{
	struct fabric *fabric = transport;
	struct mc_list *node, *following;
	uint32_t count = 0;

	mc_list_each (node, following, &fabric->peers) {
		struct fabric_peer *peer = mc_list_entry(node, struct fabric_peer, node);

		if (count < max && !mc_list_empty(&peer->flights))
			count += take(peer, out + count, max - count);
	}
	return (int)count;
}

int fabric_arm(void *transport)
{
	struct fabric *fabric = transport;
	struct mc_list *node, *following;

	mc_list_each (node, following, &fabric->peers) {
		struct fabric_peer *peer = mc_list_entry(node, struct fabric_peer, node);
		struct mcf_fid *waited = &peer->end.cq->fid;

		if (!mc_list_empty(&peer->flights) &&
		    fabric->fabric->ops->trywait(fabric->fabric, &waited, 1))
			return 1;
	}
	return 0;
}

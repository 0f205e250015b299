// SPDX-License-Identifier: Apache-2.0
#include "mc/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* state_lock is held. */
static void stage_close(struct mc_engine *engine, struct mc_peer *peer)
{
	peer->next_closing = engine->closing;
	engine->closing = peer;
	atomic_fetch_add(&engine->staged_count, 1);
}

int mc_peer_open(struct mc_engine *engine, const struct mc_peer_options *options)
{
	struct mc_transport *transport;
	struct mc_peer *peer;
	int id;

	if (!options || options->size < sizeof(*options) ||
	    !memchr(options->host, 0, sizeof(options->host)))
		return -EINVAL;
	if (atomic_load(&engine->stopping))
		return -ESHUTDOWN;
	transport = mc_engine_transport(engine, options->transport);
	if (!transport)
		return -ENODEV;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->transport = transport;
	id = transport->ops->connect(transport, options, &peer->link);
	if (id < 0) {
		free(peer);
		return id;
	}
	pthread_mutex_lock(&engine->state_lock);
	id = mc_slots_add(&engine->peers, peer);
	if (id < 0)
		stage_close(engine, peer);
	pthread_mutex_unlock(&engine->state_lock);
	if (id < 0)
		mc_engine_kick(engine);
	return id;
}

int mc_peer_close(struct mc_engine *engine, uint32_t id)
{
	struct mc_peer *peer;

	pthread_mutex_lock(&engine->state_lock);
	peer = mc_slots_remove(&engine->peers, id);
	if (peer)
		stage_close(engine, peer);
	pthread_mutex_unlock(&engine->state_lock);
	if (!peer)
		return -ESTALE;
	mc_engine_kick(engine);
	return 0;
}

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

void mc_peer_free(struct mc_peer *peer)
{
	if (peer->direct)
		peer->direct->ops->disconnect(peer->direct, peer->direct_link);
	peer->transport->ops->disconnect(peer->transport, peer->link);
	free(peer);
}

/* The peer has a way of its own when it names one; without memory it does without. */
static void open_direct(struct mc_engine *engine, const struct mc_peer_options *options,
			struct mc_peer *peer)
{
	struct mc_transport *shm = mc_engine_transport(engine, MC_TRANSPORT_SHM);

	if (shm && options->local_name[0] &&
	    shm->ops->connect(shm, options, &peer->direct_link) == 0)
		peer->direct = shm;
}

int mc_peer_open(struct mc_engine *engine, const struct mc_peer_options *options)
{
	struct mc_transport *transport;
	struct mc_peer *peer;
	int id;

	if (!options || options->size < sizeof(*options) ||
	    !memchr(options->host, 0, sizeof(options->host)) ||
	    !memchr(options->local_name, 0, sizeof(options->local_name)) ||
	    !memchr(options->server_name, 0, sizeof(options->server_name)))
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
	open_direct(engine, options, peer);
	pthread_mutex_lock(&engine->state_lock);
	id = mc_slots_add(&engine->peers, peer);
	if (id < 0)
		stage_close(engine, peer);
	pthread_mutex_unlock(&engine->state_lock);
	if (id < 0)
		mc_engine_kick(engine);
	return id;
}

int mc_peer_link(struct mc_engine *engine, uint32_t id, uint32_t kind, void **link)
{
	struct mc_peer *peer;

	pthread_mutex_lock(&engine->state_lock);
	peer = mc_slots_get(&engine->peers, id);
	pthread_mutex_unlock(&engine->state_lock);
	if (!peer)
		return -ESTALE;
	if (peer->transport->ops->kind != kind)
		return -EINVAL;
	*link = peer->link;
	return 0;
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

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <stdlib.h>

struct shm_transport {
	struct mc_transport base;
	struct shm_server *server;
	struct shm_client *client;
};

static struct shm_transport *to_shm(struct mc_transport *transport)
{
	return (struct shm_transport *)transport;
}

static void close_shm(struct mc_transport *transport)
{
	struct shm_transport *shm = to_shm(transport);

	if (shm->server)
		shm_server_free(shm->server);
	if (shm->client)
		shm_client_free(shm->client);
	free(shm);
}

static int open_shm(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct mc_transport **transport)
{
	struct shm_transport *shm = calloc(1, sizeof(*shm));
	int err;

	(void)options;
	if (!shm)
		return -ENOMEM;
	shm->base.ops = &mc_shm_ops;
	shm->base.engine = engine;
	err = shm_server_open(engine, &shm->server);
	if (!err)
		err = shm_client_open(engine, &shm->client);
	if (err) {
		close_shm(&shm->base);
		return err;
	}
	*transport = &shm->base;
	return 0;
}

static void stop_shm(struct mc_transport *transport)
{
	shm_client_stop(to_shm(transport)->client);
	shm_server_stop(to_shm(transport)->server);
}

static void join_shm(struct mc_transport *transport)
{
	shm_client_join(to_shm(transport)->client);
}

static int connect_shm(struct mc_transport *transport, const struct mc_peer_options *options,
		       void **link)
{
	return shm_client_connect(to_shm(transport)->client, options->local_name, link);
}

static void disconnect_shm(struct mc_transport *transport, void *link)
{
	shm_client_disconnect(to_shm(transport)->client, link);
}

static void submit_shm(struct mc_transport *transport, struct mc_work *work)
{
	shm_client_submit(to_shm(transport)->client, work);
}

static bool progress_shm(struct mc_transport *transport, uint64_t *budget)
{
	return shm_client_progress(to_shm(transport)->client, budget);
}

static int64_t expire_shm(struct mc_transport *transport, int64_t now)
{
	return shm_client_expire(to_shm(transport)->client, now);
}

static void no_stats(struct mc_transport *transport, struct mc_engine_stats *stats)
{
	(void)transport;
	(void)stats;
}

int mc_shm_serve(struct mc_transport *transport)
{
	return shm_server_start(to_shm(transport)->server);
}

const char *mc_shm_name(struct mc_transport *transport)
{
	return shm_server_name(to_shm(transport)->server);
}

int mc_shm_fence(struct mc_transport *transport, const uint8_t *writer, int64_t until)
{
	return shm_server_fence(to_shm(transport)->server, writer, until);
}

bool mc_shm_recall(struct mc_transport *transport)
{
	return shm_server_recall(to_shm(transport)->server);
}

uint32_t mc_shm_refusals(struct mc_transport *transport)
{
	return shm_client_refusals(to_shm(transport)->client);
}

const struct mc_transport_ops mc_shm_ops = {
	.kind = MC_TRANSPORT_SHM,
	.capabilities = MC_CAN_BORROW | MC_CAN_CANCEL,
	.open = open_shm,
	.stop = stop_shm,
	.join = join_shm,
	.close = close_shm,
	.connect = connect_shm,
	.disconnect = disconnect_shm,
	.submit = submit_shm,
	.progress = progress_shm,
	.expire = expire_shm,
	.stats = no_stats,
};

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common.h"

static const struct mc_transport_ops *const transports[] = {
	&mc_tcp_ops,
	&mc_shm_ops,
	&mc_files_ops,
};
_Static_assert(MC_ARRAY_SIZE(transports) < MC_TRANSPORTS_MAX, "room for RDMA or a plugin, too");

static uint32_t default_server_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 4)
		return 1;
	return cpus > 16 ? 8 : (uint32_t)cpus / 2;
}

static int settle_options(const struct mc_engine_options *given, struct mc_engine_options *options)
{
	if (!given || given->size < sizeof(*given))
		return -EINVAL;
	*options = *given;
	if (!options->max_ops)
		options->max_ops = 65536;
	if (!options->lanes_per_peer)
		options->lanes_per_peer = 4;
	if (!options->lane_spill_bytes)
		options->lane_spill_bytes = 256 << 10;
	if (!options->connect_timeout_ms)
		options->connect_timeout_ms = 5000;
	if (!options->max_connections)
		options->max_connections = 16384;
	if (!options->server_threads)
		options->server_threads = default_server_threads();
	if (!options->stall_timeout_ms)
		options->stall_timeout_ms = 30000;
	if (options->max_ops > 1u << 24 || options->lanes_per_peer > 16 ||
	    options->server_threads > 64)
		return -EINVAL;
	return 0;
}

static int open_transports(struct mc_engine *engine, const struct mc_engine_options *options)
{
	for (size_t i = 0; i < MC_ARRAY_SIZE(transports); i++) {
		struct mc_transport *transport;
		int err = transports[i]->open(engine, options, &transport);

		if (err == -ENODEV)
			continue;
		if (err)
			return err;
		engine->transports[engine->transport_count++] = transport;
	}
	return 0;
}

static int open_descriptors(struct mc_engine *engine)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = 0 };

	engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->epoll_fd < 0)
		return -errno;
	engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->wake_fd < 0)
		return -errno;
	if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) < 0)
		return -errno;
	return 0;
}

static void release(struct mc_engine *engine)
{
	struct mc_work_block *block = engine->blocks;
	struct mc_completion lost[64];
	struct mc_region *region;
	struct mc_peer *peer;
	uint32_t cursor = 0;

	for (uint32_t i = 0; i < engine->transport_count; i++) {
		if (engine->transports[i]->ops->join)
			engine->transports[i]->ops->join(engine->transports[i]);
	}
	while ((peer = mc_slots_next(&engine->peers, &cursor)))
		mc_peer_free(peer);
	while (mc_work_harvest(engine, lost, MC_ARRAY_SIZE(lost)) > 0)
		;
	while (engine->transport_count) {
		struct mc_transport *transport = engine->transports[--engine->transport_count];

		transport->ops->close(transport);
	}
	cursor = 0;
	mc_stages_free(&engine->stages);
	mc_stages_free(&engine->bytes_stages);
	while ((region = mc_slots_next(&engine->regions, &cursor)))
		mc_region_free(region);
	while (block) {
		struct mc_work_block *next = mc_work_block_next(block);

		free(block);
		block = next;
	}
	if (engine->wake_fd >= 0)
		close(engine->wake_fd);
	if (engine->epoll_fd >= 0)
		close(engine->epoll_fd);
	mc_tls_free(engine->tls);
	mc_slots_free(&engine->regions);
	mc_slots_free(&engine->peers);
	mc_slots_free(&engine->watches);
	mc_publisher_free(&engine->publisher);
	pthread_mutex_destroy(&engine->progress_lock);
	pthread_mutex_destroy(&engine->bytes_lock);
	pthread_mutex_destroy(&engine->state_lock);
	free(engine);
}

int mc_engine_open(const struct mc_engine_options *given, struct mc_engine **opened)
{
	struct mc_engine_options options;
	struct mc_engine *engine;
	int err;

	err = settle_options(given, &options);
	if (err)
		return err;
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return -ENOMEM;
	err = mc_publisher_init(&engine->publisher);
	if (err) {
		free(engine);
		return err;
	}
	pthread_mutex_init(&engine->state_lock, NULL);
	pthread_mutex_init(&engine->progress_lock, NULL);
	pthread_mutex_init(&engine->bytes_lock, NULL);
	engine->max_ops = options.max_ops;
	engine->next_deadline = MC_NEVER;
	engine->epoll_fd = -1;
	engine->wake_fd = -1;
	err = open_descriptors(engine);
	if (!err)
		err = open_transports(engine, &options);
	if (err) {
		mc_engine_shutdown(engine);
		release(engine);
		return err;
	}
	*opened = engine;
	return 0;
}

int mc_engine_answer_at(struct mc_engine *engine, const char *name)
{
	struct mc_transport *tcp = mc_engine_transport(engine, MC_TRANSPORT_TCP);

	return name ? tcp->ops->answer_at(tcp, name) : -EINVAL;
}

int mc_engine_listen(struct mc_engine *engine, const char *host, uint32_t port)
{
	if (!host || port > UINT16_MAX)
		return -EINVAL;
	if (atomic_load(&engine->stopping))
		return -ESHUTDOWN;
	struct mc_transport *tcp = mc_engine_transport(engine, MC_TRANSPORT_TCP);
	struct mc_transport *shm = mc_engine_transport(engine, MC_TRANSPORT_SHM);
	int got = tcp->ops->listen(tcp, host, (uint16_t)port);

	/* Without it peers on this host use TCP. */
	if (got > 0)
		(void)mc_shm_serve(shm);
	return got;
}

int mc_engine_local_name(struct mc_engine *engine, char *name, uint32_t size)
{
	const char *known = mc_shm_name(mc_engine_transport(engine, MC_TRANSPORT_SHM));

	if (!name || size < MC_LOCAL_NAME_SIZE)
		return -EINVAL;
	memcpy(name, known, strlen(known) + 1);
	return 0;
}

int mc_engine_shutdown(struct mc_engine *engine)
{
	if (atomic_exchange(&engine->stopping, true))
		return 0;
	pthread_mutex_lock(&engine->progress_lock);
	mc_engine_step(engine, 0);
	for (uint32_t i = 0; i < engine->transport_count; i++)
		engine->transports[i]->ops->stop(engine->transports[i]);
	mc_engine_unlock(engine);
	return mc_wake(engine);
}

int mc_engine_destroy(struct mc_engine *engine)
{
	if (atomic_load(&engine->polling))
		return -EBUSY;
	mc_engine_shutdown(engine);
	release(engine);
	return 0;
}

int mc_engine_stats(struct mc_engine *engine, struct mc_engine_stats *stats, uint32_t size)
{
	struct mc_engine_stats sum = { 0 };

	mc_region_add_served(engine, &sum);
	for (uint32_t i = 0; i < engine->transport_count; i++)
		engine->transports[i]->ops->stats(engine->transports[i], &sum);
	memcpy(stats, &sum, mc_min(size, sizeof(sum)));
	return 0;
}

uint32_t mc_engine_refusals(struct mc_engine *engine)
{
	return mc_shm_refusals(mc_engine_transport(engine, MC_TRANSPORT_SHM));
}

struct mc_transport *mc_engine_transport(struct mc_engine *engine, uint32_t kind)
{
	for (uint32_t i = 0; i < engine->transport_count; i++) {
		if (engine->transports[i]->ops->kind == kind)
			return engine->transports[i];
	}
	return NULL;
}

bool mc_engine_registers(struct mc_engine *engine)
{
	return mc_engine_transport(engine, MC_TRANSPORT_RDMA) ||
	       mc_engine_transport(engine, MC_TRANSPORT_PLUGIN);
}

int mc_engine_may_register(struct mc_engine *engine)
{
	uint32_t cursor = 0;

	if (mc_engine_registers(engine) || engine->tls)
		return -EALREADY;
	return mc_slots_next(&engine->regions, &cursor) ? -EBUSY : 0;
}

int mc_engine_region_added(struct mc_engine *engine, struct mc_region *region)
{
	for (uint32_t i = 0; i < engine->transport_count; i++) {
		struct mc_transport *transport = engine->transports[i];
		int err = 0;

		if (transport->ops->region_added)
			err = transport->ops->region_added(transport, region);
		if (err)
			return err;
	}
	return 0;
}

void mc_engine_region_removed(struct mc_engine *engine, struct mc_region *region)
{
	for (uint32_t i = 0; i < engine->transport_count; i++) {
		struct mc_transport *transport = engine->transports[i];

		if (transport->ops->region_removed)
			transport->ops->region_removed(transport, region);
	}
}

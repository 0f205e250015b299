// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "rdma.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../common.h"

#define SLICES_MAX 1024u

struct rdma *rdma_of(struct mc_engine *engine)
{
	struct mc_transport *transport = mc_engine_transport(engine, MC_TRANSPORT_RDMA);

	return transport ? mc_container_of(transport, struct rdma, base) : NULL;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

/* Fills in defaults. Returns 0, or -EINVAL with a line that names the option. */
static int settle_options(const struct mc_rdma_options *given, struct mc_rdma_options *options,
			  char *why, uint32_t why_size)
{
	const char *wrong = NULL;

	if (!given || given->size < sizeof(*given) ||
	    !memchr(given->devices, 0, sizeof(given->devices)))
		return -EINVAL;
	*options = *given;
	options->port = options->port ? options->port : 1;
	options->mtu = options->mtu ? options->mtu : 4096;
	options->max_wr = options->max_wr ? options->max_wr : 256;
	options->max_sge = options->max_sge ? options->max_sge : 4;
	options->max_inline = options->max_inline ? options->max_inline : 64;
	options->cq_entries = options->cq_entries ? options->cq_entries : 4096;
	options->slice_bytes = options->slice_bytes ? options->slice_bytes : 256 << 10;
	options->bounce_bytes = options->bounce_bytes ? options->bounce_bytes : 16 << 20;
	options->retry_count = options->retry_count ? options->retry_count : 6;
	options->timeout = options->timeout ? options->timeout : 14;
	if (options->port > 255)
		wrong = "port: 1 to 255 are allowed";
	else if (options->gid_index < -1 || options->gid_index > 255)
		wrong = "gid_index: -1 to 255 are allowed";
	else if (!is_power_of_two(options->mtu) || options->mtu < 256 || options->mtu > 4096)
		wrong = "mtu: 256, 512, 1024, 2048 and 4096 are allowed";
	else if (options->service_level > 15)
		wrong = "service_level: 0 to 15 are allowed";
	else if (options->traffic_class > 255)
		wrong = "traffic_class: 0 to 255 are allowed";
	else if (options->retry_count > 7)
		wrong = "retry_count: 1 to 7 are allowed";
	else if (options->timeout > 31)
		wrong = "timeout: 1 to 31 are allowed";
	else if (options->slice_bytes < 4096 || options->slice_bytes > 1u << 30)
		wrong = "slice_bytes: 4096 to 2^30 are allowed";
	if (wrong)
		snprintf(why, why_size, "RDMA option %s", wrong);
	return wrong ? -EINVAL : 0;
}

static int make_slices(struct rdma *rdma)
{
	uint32_t chunk = rdma->options.slice_bytes;
	uint32_t chunks = rdma->options.bounce_bytes / chunk;

	chunks = chunks ? chunks : 1;
	rdma->slice_count = (uint32_t)mc_min(SLICES_MAX, rdma->options.cq_entries / 2 + 1);
	rdma->slices = calloc(rdma->slice_count, sizeof(rdma->slices[0]));
	rdma->free_bounce = calloc(chunks, sizeof(rdma->free_bounce[0]));
	rdma->bounce_length = (uint64_t)chunks * chunk;
	rdma->bounce_memory = mmap(NULL, rdma->bounce_length, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rdma->bounce_memory == MAP_FAILED)
		rdma->bounce_memory = NULL;
	if (!rdma->slices || !rdma->free_bounce || !rdma->bounce_memory)
		return -ENOMEM;
	madvise(rdma->bounce_memory, rdma->bounce_length, MADV_DONTFORK);
	mc_list_init(&rdma->free_slices);
	for (uint32_t i = 0; i < rdma->slice_count; i++)
		mc_list_append(&rdma->free_slices, &rdma->slices[i].link_node);
	for (uint32_t i = 0; i < chunks; i++)
		rdma->free_bounce[rdma->free_bounce_count++] =
			rdma->bounce_memory + (uint64_t)i * chunk;
	return 0;
}

static void release(struct rdma *rdma)
{
	rdma_devices_close(rdma);
	if (rdma->bounce_memory)
		munmap(rdma->bounce_memory, rdma->bounce_length);
	mc_slots_free(&rdma->links);
	free(rdma->free_bounce);
	free(rdma->slices);
	free(rdma);
}

static void break_links(struct rdma *rdma, int result)
{
	struct rdma_link *link;
	uint32_t cursor = 0;

	while ((link = mc_slots_next(&rdma->links, &cursor))) {
		if (link->connecting)
			continue;
		rdma_link_break(rdma, link, result);
	}
}

static void stop(struct mc_transport *transport)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct mc_list *node, *following;

	rdma->stopped = true;
	mc_list_each (node, following, &rdma->peers)
		rdma_peer_cancel(rdma, mc_list_entry(node, struct rdma_peer, node));
	break_links(rdma, -ECANCELED);
}

/* Nothing is under way any more; regions that are left are freed after this. */
static void close_transport(struct mc_transport *transport)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct mc_region *region;
	struct rdma_link *link;
	uint32_t cursor = 0;

	while ((link = mc_slots_next(&rdma->links, &cursor)))
		rdma_link_free(rdma, link);
	cursor = 0;
	while ((region = mc_slots_next(&transport->engine->regions, &cursor))) {
		if (region->keys)
			mc_region_keys_free(region->keys);
		region->keys = NULL;
	}
	release(rdma);
}

static int region_added(struct mc_transport *transport, struct mc_region *region)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	bool remote = region->remote_base != 0;
	uint64_t iova = remote ? region->remote_base : (uintptr_t)region->memory;
	int err = rdma_keys_make(rdma, region, iova, &region->keys);

	/* Local memory of a device passes through the bounce buffer then. */
	return err == -EOPNOTSUPP && region->device && !remote ? 0 : err;
}

/* Peers lose published memory now; private memory stays registered while work uses it. */
static void region_removed(struct mc_transport *transport, struct mc_region *region)
{
	struct mc_engine *engine = transport->engine;

	if (!region->remote_base || !region->keys)
		return;
	pthread_mutex_lock(&engine->progress_lock);
	mc_region_keys_free(region->keys);
	region->keys = NULL;
	mc_engine_unlock(engine);
}

static int connect_peer(struct mc_transport *transport, const struct mc_peer_options *options,
			void **link)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct rdma_peer *peer = calloc(1, sizeof(*peer));

	(void)options;
	if (!peer)
		return -ENOMEM;
	pthread_mutex_lock(&transport->engine->progress_lock);
	mc_list_append(&rdma->peers, &peer->node);
	mc_engine_unlock(transport->engine);
	*link = peer;
	return 0;
}

static void disconnect(struct mc_transport *transport, void *link)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct rdma_peer *peer = link;

	rdma_peer_cancel(rdma, peer);
	mc_list_remove(&peer->node);
	free(peer->buffers);
	free(peer);
}

static void add_stats(struct mc_transport *transport, struct mc_engine_stats *stats)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);

	stats->connects += atomic_load(&rdma->link_count);
}

static const struct mc_transport_ops ops = {
	.kind = MC_TRANSPORT_RDMA,
	.capabilities = MC_CAN_BORROW,
	.stop = stop,
	.close = close_transport,
	.region_added = region_added,
	.region_removed = region_removed,
	.connect = connect_peer,
	.disconnect = disconnect,
	.submit = rdma_submit,
	.progress = rdma_progress,
	.expire = rdma_expire,
	.stats = add_stats,
};

int mc_rdma_open(struct mc_engine *engine, const struct mc_rdma_options *given, char *why,
		 uint32_t why_size)
{
	struct rdma *rdma;
	int err;

	if (!why || why_size == 0)
		return -EINVAL;
	why[0] = 0;
	err = mc_engine_may_register(engine);
	if (err)
		return err;
	rdma = calloc(1, sizeof(*rdma));
	if (!rdma)
		return -ENOMEM;
	rdma->base.ops = &ops;
	rdma->base.engine = engine;
	mc_list_init(&rdma->peers);
	err = settle_options(given, &rdma->options, why, why_size);
	if (!err) {
		rdma->verbs = mcv_load(why, why_size);
		err = rdma->verbs ? make_slices(rdma) : -ENOENT;
	}
	pthread_mutex_lock(&engine->progress_lock);
	if (!err)
		err = rdma_devices_open(rdma, why, why_size);
	if (!err)
		engine->transports[engine->transport_count++] = &rdma->base;
	else
		release(rdma);
	mc_engine_unlock(engine);
	return err;
}

int mc_rdma_devices(struct mc_engine *engine, struct mc_rdma_device *out, uint32_t max)
{
	struct rdma *rdma = rdma_of(engine);

	for (uint32_t i = 0; rdma && i < max && i < rdma->device_count; i++)
		out[i] = rdma->devices[i].info;
	return rdma ? (int)rdma->device_count : 0;
}

int mc_rdma_region_keys(struct mc_engine *engine, uint32_t id, uint32_t *lkeys, uint32_t *rkeys)
{
	struct rdma *rdma = rdma_of(engine);
	struct mc_region *region;
	int count = -ESTALE;

	if (!rdma)
		return 0;
	pthread_mutex_lock(&engine->progress_lock);
	pthread_mutex_lock(&engine->state_lock);
	region = mc_slots_get(&engine->regions, id);
	if (region && region->keys) {
		count = (int)rdma->device_count;
		for (int i = 0; i < count; i++) {
			lkeys[i] = region->keys->mrs[i]->lkey;
			rkeys[i] = region->keys->mrs[i]->rkey;
		}
	}
	pthread_mutex_unlock(&engine->state_lock);
	mc_engine_unlock(engine);
	return count;
}

int mc_rdma_peer_set(struct mc_engine *engine, uint32_t id, const uint32_t *links,
		     uint32_t link_count, const struct mc_rdma_buffer *buffers,
		     uint32_t buffer_count)
{
	struct mc_rdma_buffer *copy;
	void *link = NULL;
	int err;

	if (link_count > MC_RDMA_DEVICES)
		return -EINVAL;
	copy = calloc(buffer_count ? buffer_count : 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, buffers, buffer_count * sizeof(*copy));
	pthread_mutex_lock(&engine->progress_lock);
	err = mc_peer_link(engine, id, MC_TRANSPORT_RDMA, &link);
	if (!err) {
		struct rdma_peer *known = link;

		free(known->buffers);
		known->buffers = copy;
		known->buffer_count = buffer_count;
		known->link_count = link_count;
		memcpy(known->links, links, link_count * sizeof(*links));
	} else {
		free(copy);
	}
	mc_engine_unlock(engine);
	return err;
}

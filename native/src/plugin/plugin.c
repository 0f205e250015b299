// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"

#define SLICE_BYTES (1ull << 20)
#define MAX_SLICES 256u
#define MOST_SLICES 65536u
#define ENTRY "mc_transport_plugin"

_Static_assert(MC_PLUGIN_ADDRESS_BYTES == MC_PLUGIN_ADDRESS_MAX, "one size for addresses");
_Static_assert(MC_PLUGIN_KEY_BYTES == MC_PLUGIN_KEY_MAX, "one size for keys");
_Static_assert(MC_PLUGIN_READ == MC_OP_READ && MC_PLUGIN_WRITE == MC_OP_WRITE, "same opcodes");

static struct plugin *plugin_of(struct mc_engine *engine)
{
	struct mc_transport *transport = mc_engine_transport(engine, MC_TRANSPORT_PLUGIN);

	return transport ? mc_container_of(transport, struct plugin, base) : NULL;
}

static int check_calls(const struct mc_transport_plugin *calls)
{
	return calls && calls->size >= sizeof(*calls) && calls->abi == MC_TRANSPORT_PLUGIN_ABI &&
	       calls->standing && calls->open && calls->name && calls->stop && calls->close &&
	       calls->address && calls->descriptor && calls->memory_add && calls->memory_remove &&
	       calls->connect && calls->disconnect && calls->submit && calls->poll && calls->arm;
}

/* The library stays mapped: what it made may outlive the engine that loaded it. */
static int load(struct plugin *plugin, const char *path, char *why, uint32_t why_size)
{
	const struct mc_transport_plugin *(*entry)(uint32_t abi);
	void *library, *symbol;

	if (!path[0]) {
		plugin->calls = &mc_fabric_plugin;
		return 0;
	}
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(why, why_size, "%s cannot be loaded: %s", path, dlerror());
		return -ENOENT;
	}
	symbol = dlsym(library, ENTRY);
	memcpy(&entry, &symbol, sizeof(entry));
	plugin->calls = symbol ? entry(MC_TRANSPORT_PLUGIN_ABI) : NULL;
	if (check_calls(plugin->calls))
		return 0;
	snprintf(why, why_size, "%s %s", path,
		 symbol ? "has no interface of version 1" : "is no transport: it has no " ENTRY "()");
	dlclose(library);
	return -EPROTO;
}

static int make_slices(struct plugin *plugin)
{
	struct mc_plugin_limits *limits = &plugin->limits;

	limits->slice_bytes = limits->slice_bytes ? limits->slice_bytes : SLICE_BYTES;
	limits->max_slices = limits->max_slices ? limits->max_slices : MAX_SLICES;
	limits->max_slices = (uint32_t)mc_min(limits->max_slices, MOST_SLICES);
	plugin->slices = calloc(limits->max_slices, sizeof(plugin->slices[0]));
	if (!plugin->slices)
		return -ENOMEM;
	for (uint32_t i = 0; i < limits->max_slices; i++)
		mc_list_append(&plugin->free_slices, &plugin->slices[i].node);
	return 0;
}

/* Completions are taken by progress, which comes after. */
static void ready(struct mc_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

static int watch_descriptor(struct plugin *plugin)
{
	int fd = plugin->calls->descriptor(plugin->handle);
	int err;

	if (fd < 0)
		return 0;
	plugin->watch.ready = ready;
	err = mc_watch_add(plugin->base.engine, &plugin->watch, fd);
	plugin->watched = !err;
	return err;
}

static void release(struct plugin *plugin)
{
	if (plugin->watched)
		mc_watch_remove(plugin->base.engine, &plugin->watch);
	if (plugin->handle)
		plugin->calls->close(plugin->handle);
	free(plugin->slices);
	free(plugin);
}

static void stop(struct mc_transport *transport)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	struct mc_list *node, *following;

	plugin->stopped = true;
	mc_list_each (node, following, &plugin->peers)
		plugin_cancel(plugin, mc_list_entry(node, struct plugin_peer, node));
	plugin->calls->stop(plugin->handle);
}

static void close_transport(struct mc_transport *transport)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	struct mc_region *region;
	uint32_t cursor = 0;

	while ((region = mc_slots_next(&transport->engine->regions, &cursor))) {
		if (region->ticket)
			mc_region_ticket_free(region->ticket);
		region->ticket = NULL;
	}
	release(plugin);
}

static int region_added(struct mc_transport *transport, struct mc_region *region)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	bool remote = region->remote_base != 0;
	struct mc_region_ticket *ticket;
	int err;

	if (!remote && !plugin->limits.needs_memory)
		return 0;
	ticket = calloc(1, sizeof(*ticket));
	if (!ticket)
		return -ENOMEM;
	ticket->plugin = plugin;
	err = plugin->calls->memory_add(plugin->handle, region->memory, region->length, remote,
					&ticket->memory, &ticket->key);
	if (!err && ticket->key.size > MC_PLUGIN_KEY_MAX) {
		plugin->calls->memory_remove(plugin->handle, ticket->memory);
		err = -EPROTO;
	}
	if (err) {
		free(ticket);
		return err;
	}
	region->ticket = ticket;
	return 0;
}

/* Peers lose published memory now; private memory stays registered while work uses it. */
static void region_removed(struct mc_transport *transport, struct mc_region *region)
{
	struct mc_engine *engine = transport->engine;

	if (!region->remote_base || !region->ticket)
		return;
	pthread_mutex_lock(&engine->progress_lock);
	mc_region_ticket_free(region->ticket);
	region->ticket = NULL;
	mc_engine_unlock(engine);
}

void mc_region_ticket_free(struct mc_region_ticket *ticket)
{
	ticket->plugin->calls->memory_remove(ticket->plugin->handle, ticket->memory);
	free(ticket);
}

static int connect_peer(struct mc_transport *transport, const struct mc_peer_options *options,
			void **link)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	struct plugin_peer *peer = calloc(1, sizeof(*peer));

	(void)options;
	if (!peer)
		return -ENOMEM;
	mc_list_init(&peer->slices);
	pthread_mutex_lock(&transport->engine->progress_lock);
	mc_list_append(&plugin->peers, &peer->node);
	mc_engine_unlock(transport->engine);
	*link = peer;
	return 0;
}

static void forget(struct plugin_peer *peer)
{
	free(peer->address);
	free(peer->buffers);
}

static void disconnect(struct mc_transport *transport, void *link)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	struct plugin_peer *peer = link;

	plugin_cancel(plugin, peer);
	mc_list_remove(&peer->node);
	forget(peer);
	free(peer);
}

static void add_stats(struct mc_transport *transport, struct mc_engine_stats *stats)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);

	stats->connects += atomic_load(&plugin->link_count);
}

static const struct mc_transport_ops ops = {
	.kind = MC_TRANSPORT_PLUGIN,
	.capabilities = MC_CAN_BORROW,
	.stop = stop,
	.close = close_transport,
	.region_added = region_added,
	.region_removed = region_removed,
	.connect = connect_peer,
	.disconnect = disconnect,
	.submit = plugin_submit,
	.progress = plugin_progress,
	.expire = plugin_expire,
	.stats = add_stats,
};

static bool options_ok(const struct mc_plugin_options *options)
{
	return options && options->size >= sizeof(*options) && !options->reserved &&
	       memchr(options->library, 0, sizeof(options->library)) &&
	       memchr(options->parameters, 0, sizeof(options->parameters));
}

int mc_plugin_open(struct mc_engine *engine, const struct mc_plugin_options *options, char *why,
		   uint32_t why_size)
{
	struct plugin *plugin;
	int err;

	if (!why || why_size == 0 || !options_ok(options))
		return -EINVAL;
	why[0] = 0;
	err = mc_engine_may_register(engine);
	if (err)
		return err;
	plugin = calloc(1, sizeof(*plugin));
	if (!plugin)
		return -ENOMEM;
	plugin->base.ops = &ops;
	plugin->base.engine = engine;
	plugin->look_at = MC_NEVER;
	mc_list_init(&plugin->peers);
	mc_list_init(&plugin->free_slices);
	err = load(plugin, options->library, why, why_size);
	if (!err)
		err = plugin->calls->open(options->parameters, &plugin->handle, &plugin->limits,
					  why, why_size);
	if (!err)
		err = make_slices(plugin);
	pthread_mutex_lock(&engine->progress_lock);
	if (!err)
		err = watch_descriptor(plugin);
	if (!err)
		engine->transports[engine->transport_count++] = &plugin->base;
	else
		release(plugin);
	mc_engine_unlock(engine);
	return err;
}

int mc_plugin_info(struct mc_engine *engine, struct mc_plugin_info *info)
{
	struct plugin *plugin = plugin_of(engine);
	struct mc_plugin_blob address = { 0 };
	int err;

	if (!plugin)
		return -ENODEV;
	pthread_mutex_lock(&engine->progress_lock);
	memset(info, 0, sizeof(*info));
	snprintf(info->name, sizeof(info->name), "%s", plugin->calls->name(plugin->handle));
	snprintf(info->standing, sizeof(info->standing), "%s", plugin->calls->standing);
	err = plugin->stopped ? -ESHUTDOWN : plugin->calls->address(plugin->handle, &address);
	if (!err && address.size > sizeof(info->address))
		err = -EPROTO;
	if (!err) {
		info->address_size = address.size;
		memcpy(info->address, address.bytes, address.size);
	}
	mc_engine_unlock(engine);
	return err;
}

int mc_plugin_region_key(struct mc_engine *engine, uint32_t id, uint8_t *key)
{
	struct mc_region *region;
	int size = -ESTALE;

	pthread_mutex_lock(&engine->progress_lock);
	pthread_mutex_lock(&engine->state_lock);
	region = mc_slots_get(&engine->regions, id);
	if (region && region->ticket) {
		size = (int)region->ticket->key.size;
		memcpy(key, region->ticket->key.bytes, (size_t)size);
	}
	pthread_mutex_unlock(&engine->state_lock);
	mc_engine_unlock(engine);
	return size;
}

static void *copy_of(const void *from, size_t size)
{
	void *copy = malloc(size ? size : 1);

	if (copy && size)
		memcpy(copy, from, size);
	return copy;
}

int mc_plugin_peer_set(struct mc_engine *engine, uint32_t id, const uint8_t *address,
		       uint32_t address_size, const struct mc_plugin_buffer *buffers, uint32_t count)
{
	struct plugin_peer told = { .address_size = address_size, .buffer_count = count };
	void *link = NULL;
	int err = 0;

	if (address_size > MC_PLUGIN_ADDRESS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (buffers[i].key_size > MC_PLUGIN_KEY_MAX)
			return -EINVAL;
	}
	told.address = copy_of(address, address_size);
	told.buffers = copy_of(buffers, count * sizeof(*buffers));
	if (!told.address || !told.buffers)
		err = -ENOMEM;
	pthread_mutex_lock(&engine->progress_lock);
	if (!err)
		err = mc_peer_link(engine, id, MC_TRANSPORT_PLUGIN, &link);
	if (err) {
		forget(&told);
	} else {
		struct plugin_peer *known = link;

		plugin_break(plugin_of(engine), known, -ECONNRESET);
		forget(known);
		known->address = told.address;
		known->address_size = told.address_size;
		known->buffers = told.buffers;
		known->buffer_count = told.buffer_count;
	}
	mc_engine_unlock(engine);
	return err;
}

// SPDX-License-Identifier: Apache-2.0
#include "plugin.h"

#include <errno.h>

#include "../common.h"
#include "../sliced.h"

#define TAKE 32
/* How soon what found no room, or has no descriptor to wake for, is tried again. */
#define RETRY_NS 1000000
#define LOOK_NS 100000

static void look_again(struct plugin *plugin, int64_t ns)
{
	plugin->look_at = mc_earlier(plugin->look_at, plugin->base.engine->now + ns);
	mc_engine_deadline(plugin->base.engine, plugin->look_at);
}

static void end_slice(struct plugin *plugin, struct plugin_slice *slice, int result)
{
	struct mc_work *work = slice->work;

	if (result)
		mc_sliced_fail(work, result);
	if (slice->memory)
		plugin->calls->memory_remove(plugin->handle, slice->memory);
	plugin->under_way--;
	slice->work = NULL;
	slice->memory = NULL;
	slice->turn++;
	mc_list_remove(&slice->node);
	mc_list_append(&plugin->free_slices, &slice->node);
	work->transport[MC_SLICED_SLICES]--;
	mc_sliced_settle(plugin->base.engine, work);
}

void plugin_break(struct plugin *plugin, struct plugin_peer *peer, int result)
{
	struct mc_list *node, *following;

	if (peer->link)
		plugin->calls->disconnect(plugin->handle, peer->link);
	peer->link = NULL;
	mc_list_each (node, following, &peer->slices)
		end_slice(plugin, mc_list_entry(node, struct plugin_slice, node), result);
}

static void fail_waiting(struct plugin *plugin, struct plugin_peer *peer, int result)
{
	while (peer->waiting.first) {
		mc_sliced_fail(peer->waiting.first, result);
		mc_sliced_unqueue(plugin->base.engine, &peer->waiting);
	}
}

void plugin_cancel(struct plugin *plugin, struct plugin_peer *peer)
{
	plugin_break(plugin, peer, -ECANCELED);
	fail_waiting(plugin, peer, -ECANCELED);
}

static const struct mc_plugin_buffer *find_buffer(const struct plugin_peer *peer,
						  const struct mc_work *work)
{
	for (uint32_t i = 0; i < peer->buffer_count; i++) {
		const struct mc_plugin_buffer *buffer = &peer->buffers[i];

		if (work->remote >= buffer->address &&
		    mc_range_ok(work->remote - buffer->address, work->length, buffer->length))
			return buffer;
	}
	return NULL;
}

/* Finds or makes the registration of a slice's local memory. */
static int local_memory(struct plugin *plugin, const struct mc_work *work, uint64_t at,
			uint64_t length, void **memory, void **own)
{
	struct mc_plugin_blob unused = { 0 };
	int err;

	*memory = *own = NULL;
	if (work->region && work->region->ticket) {
		*memory = work->region->ticket->memory;
		return 0;
	}
	if (!plugin->limits.needs_memory)
		return 0;
	if (work->region)
		return -ECONNRESET; /* withdrawn */
	err = plugin->calls->memory_add(plugin->handle, work->local + at, length, 0, own, &unused);
	*memory = *own;
	return err ? -ENOMEM : 0;
}

/* Begins the next slice of the first work that waits: 0, -EAGAIN, or another -errno. */
static int post_slice(struct plugin *plugin, struct plugin_peer *peer,
		      const struct mc_plugin_buffer *buffer)
{
	struct mc_work *work = peer->waiting.first;
	uint64_t at = work->transport[MC_SLICED_POSTED];
	uint64_t length = mc_min(work->length - at, plugin->limits.slice_bytes);
	struct plugin_slice *slice;
	struct mc_plugin_slice call;
	void *memory, *own;
	int err;

	if (mc_list_empty(&plugin->free_slices))
		return -EAGAIN;
	err = local_memory(plugin, work, at, length, &memory, &own);
	if (err)
		return err;
	slice = mc_list_entry(plugin->free_slices.next, struct plugin_slice, node);
	call = (struct mc_plugin_slice){
		.token = (uint64_t)slice->turn << 32 | (uint64_t)(slice - plugin->slices),
		.opcode = work->opcode == MC_OP_WRITE ? MC_PLUGIN_WRITE : MC_PLUGIN_READ,
		.local = work->local + at,
		.memory = memory,
		.length = length,
		.offset = work->remote - buffer->address + at,
		.key = buffer->key,
		.key_size = buffer->key_size,
	};
	err = plugin->calls->submit(plugin->handle, peer->link, &call);
	if (err) {
		if (own)
			plugin->calls->memory_remove(plugin->handle, own);
		return err;
	}
	mc_list_remove(&slice->node);
	mc_list_append(&peer->slices, &slice->node);
	slice->work = work;
	slice->peer = peer;
	slice->memory = own;
	plugin->under_way++;
	work->transport[MC_SLICED_SLICES]++;
	work->transport[MC_SLICED_POSTED] += length;
	if (work->transport[MC_SLICED_POSTED] == work->length)
		mc_sliced_unqueue(plugin->base.engine, &peer->waiting);
	return 0;
}

static int make_link(struct plugin *plugin, struct plugin_peer *peer)
{
	int err;

	if (peer->link)
		return 0;
	err = plugin->calls->connect(plugin->handle, peer->address, peer->address_size,
				     &peer->link);
	if (!err)
		atomic_fetch_add(&plugin->link_count, 1);
	return err;
}

/* Posts what waits for a peer, as far as there is room. */
static void pump(struct plugin *plugin, struct plugin_peer *peer)
{
	while (peer->waiting.first) {
		struct mc_work *work = peer->waiting.first;
		const struct mc_plugin_buffer *buffer = find_buffer(peer, work);
		int err = work->transport[MC_SLICED_RESULT] ? -ECANCELED : 0;

		if (!err && !buffer)
			err = -EFAULT;
		if (err) {
			mc_sliced_fail(work, err);
			mc_sliced_unqueue(plugin->base.engine, &peer->waiting);
			continue;
		}
		err = make_link(plugin, peer);
		if (!err)
			err = post_slice(plugin, peer, buffer);
		if (err == -EAGAIN) {
			look_again(plugin, RETRY_NS);
			return;
		}
		if (err) {
			plugin_break(plugin, peer, -ECONNRESET);
			fail_waiting(plugin, peer, err == -ENOMEM ? err : -EHOSTUNREACH);
		}
	}
}

static void pump_all(struct plugin *plugin)
{
	struct mc_list *node, *following;

	plugin->wants_pump = false;
	mc_list_each (node, following, &plugin->peers)
		pump(plugin, mc_list_entry(node, struct plugin_peer, node));
}

static void complete(struct plugin *plugin, const struct mc_plugin_completion *completion)
{
	uint32_t at = (uint32_t)completion->token;
	struct plugin_slice *slice = &plugin->slices[at];
	struct plugin_peer *peer;

	if (at >= plugin->limits.max_slices || !slice->work ||
	    slice->turn != (uint32_t)(completion->token >> 32))
		return;
	peer = slice->peer;
	if (completion->result && completion->result != -EFAULT) {
		int result = completion->result == -EHOSTUNREACH ? -EHOSTUNREACH : -ECONNRESET;

		plugin_break(plugin, peer, result);
		return;
	}
	end_slice(plugin, slice, completion->result);
}

static void take_completions(struct plugin *plugin)
{
	struct mc_plugin_completion out[TAKE];
	int count;

	do {
		count = plugin->calls->poll(plugin->handle, out, TAKE);
		for (int i = 0; i < count; i++)
			complete(plugin, &out[i]);
		plugin->wants_pump |= count > 0;
	} while (count == TAKE);
}

bool plugin_progress(struct mc_transport *transport, uint64_t *budget)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);

	(void)budget;
	if (plugin->wants_pump)
		pump_all(plugin);
	if (!plugin->under_way)
		return false;
	take_completions(plugin);
	if (plugin->wants_pump)
		pump_all(plugin);
	if (!plugin->under_way)
		return false;
	if (plugin->watched)
		return plugin->calls->arm(plugin->handle) != 0;
	look_again(plugin, LOOK_NS);
	return false;
}

/* Ends what is overdue; a slice that is under way takes its peer's link with it. */
static int64_t expire_slices(struct plugin *plugin, int64_t now)
{
	int64_t earliest = MC_NEVER;

	for (uint32_t i = 0; i < plugin->limits.max_slices; i++) {
		struct mc_work *work = plugin->slices[i].work;

		if (!work)
			continue;
		if (work->deadline <= now) {
			mc_sliced_fail(work, -ETIMEDOUT);
			plugin_break(plugin, plugin->slices[i].peer, -ECONNRESET);
		} else {
			earliest = mc_earlier(earliest, work->deadline);
		}
	}
	return earliest;
}

int64_t plugin_expire(struct mc_transport *transport, int64_t now)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	int64_t earliest = expire_slices(plugin, now);
	struct mc_list *node, *following;

	mc_list_each (node, following, &plugin->peers) {
		struct plugin_peer *peer = mc_list_entry(node, struct plugin_peer, node);

		earliest = mc_earlier(
			earliest, mc_sliced_expire(transport->engine, &peer->waiting, now));
	}
	if (plugin->look_at <= now) {
		plugin->look_at = MC_NEVER;
		plugin->wants_pump = true; /* by progress, which comes next */
	}
	return mc_earlier(earliest, plugin->look_at);
}

void plugin_submit(struct mc_transport *transport, struct mc_work *work)
{
	struct plugin *plugin = mc_container_of(transport, struct plugin, base);
	struct plugin_peer *peer = work->peer->link;

	if (plugin->stopped) {
		mc_work_finish(transport->engine, work, -ECANCELED, 0);
		return;
	}
	mc_sliced_queue(&peer->waiting, work);
	plugin->wants_pump = true;
}

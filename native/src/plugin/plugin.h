/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_PLUGIN_INTERNAL_H
#define MC_PLUGIN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "mc/plugin.h"
#include "mc/transport_plugin.h"

#include "../engine.h"
#include "../list.h"

struct plugin_peer;

/* Part of a work that one operation of the plugin carries. */
struct plugin_slice {
	struct mc_list node;  /* of its peer, or the free list */
	struct mc_work *work; /* NULL: free */
	struct plugin_peer *peer;
	void *memory; /* registered for this slice alone, or NULL */
	uint32_t turn; /* of this slot, so that a late completion is recognised */
};

/* What is known of a peer; work waits here until slices of it can be posted. */
struct plugin_peer {
	struct mc_list node;
	struct mc_work_queue waiting;
	struct mc_list slices;
	void *link; /* the plugin's; NULL until it is needed, and after it broke */
	uint8_t *address;
	uint32_t address_size;
	struct mc_plugin_buffer *buffers;
	uint32_t buffer_count;
};

/* A plugin as a transport of the engine. */
struct plugin {
	struct mc_transport base;
	const struct mc_transport_plugin *calls;
	void *handle;
	struct mc_plugin_limits limits;
	struct mc_watch watch; /* its descriptor, unless it has none */
	bool watched;
	struct mc_list peers;
	struct plugin_slice *slices;
	struct mc_list free_slices;
	uint32_t under_way;
	int64_t look_at; /* when it is to be polled or asked again, or MC_NEVER */
	bool stopped;
	bool wants_pump;
	_Atomic uint64_t link_count; /* ever made */
};

/* A region as the plugin knows it. */
struct mc_region_ticket {
	struct plugin *plugin;
	void *memory;
	struct mc_plugin_blob key;
};

/* The libfabric of this machine, as a plugin. */
extern const struct mc_transport_plugin mc_fabric_plugin;

/* Gives a peer's link up: what is under way with it ends with result. */
void plugin_break(struct plugin *plugin, struct plugin_peer *peer, int result);

/* Ends everything of a peer with -ECANCELED. */
void plugin_cancel(struct plugin *plugin, struct plugin_peer *peer);

/* Functions of the transport. */
void plugin_submit(struct mc_transport *transport, struct mc_work *work);
bool plugin_progress(struct mc_transport *transport, uint64_t *budget);
int64_t plugin_expire(struct mc_transport *transport, int64_t now);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_PLUGIN_H
#define MC_PLUGIN_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/*
 * A transport that is no part of the engine: a library with mc_transport_plugin(), see
 * mc/transport_plugin.h, or libfabric. One for an engine.
 */

#define MC_PLUGIN_ADDRESS_BYTES 256
#define MC_PLUGIN_KEY_BYTES 64

struct mc_plugin_options {
	uint32_t size;        /* sizeof(struct mc_plugin_options) */
	uint32_t reserved;    /* must be 0 */
	char library[512];    /* path, NUL-terminated; empty: libfabric */
	char parameters[512]; /* handed to the transport; of libfabric: the provider */
};

/*
 * Adds the transport to an engine that has no regions yet. Returns 0, or with one line in why
 * (why_size bytes, NUL-terminated): -ENOENT (the library cannot be loaded), -EPROTO (it is none
 * of this interface), -EINVAL, -EBUSY (the engine has regions), -EALREADY (it has a transport of
 * this kind, RDMA or TLS), -ENOMEM, or what the transport said, such as -ENODEV.
 */
MC_API int mc_plugin_open(struct mc_engine *engine, const struct mc_plugin_options *options,
			  char *why, uint32_t why_size);

struct mc_plugin_info {
	char name[64];      /* engines with the same one can reach each other */
	char standing[192]; /* what it has been run on, for people */
	uint32_t address_size;
	uint32_t reserved;
	uint8_t address[MC_PLUGIN_ADDRESS_BYTES];
};

/* Describes the transport as it is now; the address may change. 0, -ENODEV, or -errno of it. */
MC_API int mc_plugin_info(struct mc_engine *engine, struct mc_plugin_info *info);

/* Writes what lets peers use a published region, MC_PLUGIN_KEY_BYTES at most. Its size, or -ESTALE. */
MC_API int mc_plugin_region_key(struct mc_engine *engine, uint32_t region, uint8_t *key);

/* Published memory of a peer. */
struct mc_plugin_buffer {
	uint64_t address; /* of the first byte, as peers name it */
	uint64_t length;
	uint32_t key_size;
	uint32_t reserved;
	uint8_t key[MC_PLUGIN_KEY_BYTES];
};

/*
 * Tells where a peer opened with MC_TRANSPORT_PLUGIN is and which memory it has; replaces what was
 * told before. Returns 0, -EINVAL, -ESTALE, -ENOMEM.
 */
MC_API int mc_plugin_peer_set(struct mc_engine *engine, uint32_t peer, const uint8_t *address,
			      uint32_t address_size, const struct mc_plugin_buffer *buffers,
			      uint32_t buffer_count);

#endif

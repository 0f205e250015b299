/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_PEER_H
#define MC_PEER_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

enum mc_transport_kind {
	MC_TRANSPORT_TCP = 0,
	MC_TRANSPORT_SHM = 1, /* of peers on this host, in front of TCP */
	MC_TRANSPORT_RDMA = 2, /* after mc_rdma_open(); see mc_rdma_peer_set() */
	MC_TRANSPORT_PLUGIN = 3, /* after mc_plugin_open(); see mc_plugin_peer_set() */
	MC_TRANSPORT_FILES = 4, /* files instead of a peer; see mc_files_add() */
};

/* A name of mc_engine_local_name(), with its end. */
#define MC_LOCAL_NAME_SIZE 64
/* A host name, with its end. */
#define MC_SERVER_NAME_SIZE 256

struct mc_peer_options {
	uint32_t size;             /* sizeof(struct mc_peer_options) */
	uint32_t transport;        /* enum mc_transport_kind */
	uint32_t protocol_version; /* TCP framing: 2 with acknowledgements, 1 without */
	uint32_t port;             /* 1..65535 */
	char host[64];             /* numeric address, NUL-terminated */
	/*
	 * What the peer says is its local name, NUL-terminated, or empty. When it is on this host
	 * its memory is mapped and copied; otherwise the transport above is used.
	 */
	char local_name[MC_LOCAL_NAME_SIZE];
	/* With TLS: what its certificate has to cover, NUL-terminated; empty: host. */
	char server_name[MC_SERVER_NAME_SIZE];
};

/*
 * Names a peer. Connections are made when the first operation needs one, and again by
 * the first operation after one broke. Returns the id (> 0), or -EINVAL, -ENODEV (no
 * such transport in this engine), -ENOMEM, -ENOSPC.
 */
MC_API int mc_peer_open(struct mc_engine *engine, const struct mc_peer_options *options);

/*
 * Closes the peer's connections; what is in flight completes with -ECANCELED. Never
 * blocks. Returns 0, or -ESTALE for an id that is not valid.
 */
MC_API int mc_peer_close(struct mc_engine *engine, uint32_t id);

#endif

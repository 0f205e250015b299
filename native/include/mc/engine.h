/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_ENGINE_H
#define MC_ENGINE_H

#include <stdint.h>

#include "mc/api.h"

/*
 * A transfer engine: local regions, peers, and operations between the two. It also
 * serves its published regions to others. Engines of one process share nothing.
 */
struct mc_engine;

/* 0 in a field means the default given in brackets. */
struct mc_engine_options {
	uint32_t size;              /* sizeof(struct mc_engine_options) */
	uint32_t max_ops;           /* operations not yet completed [65536] */
	uint32_t lanes_per_peer;    /* connections to one peer, 1..16 [4] */
	uint32_t lane_spill_bytes;  /* queued on a lane before the next is used [262144] */
	uint32_t connect_timeout_ms; /* [5000] */
	uint32_t max_connections;   /* served at once [16384] */
	uint32_t server_threads;    /* at most, started when needed [half of the CPUs, 1..8] */
	uint32_t stall_timeout_ms;  /* of a peer in the middle of a request [30000] */
};

/*
 * Returns 0 and *engine, or -EINVAL (an option out of range), -ENOMEM, -EMFILE.
 * Ownership: the caller ends it with mc_engine_shutdown() and mc_engine_destroy().
 */
MC_API int mc_engine_open(const struct mc_engine_options *options, struct mc_engine **engine);

/*
 * Starts serving published regions at host, a numeric address ("0.0.0.0", "::" for
 * both families, "127.0.0.1", ...); port 0 lets the system choose. Returns the port,
 * or -EINVAL (not a numeric address), -EALREADY (it serves already), or what bind(2)
 * says, such as -EADDRINUSE.
 */
MC_API int mc_engine_listen(struct mc_engine *engine, const char *host, uint32_t port);

/*
 * Before the engine listens: connections whose first bytes are a handshake are passed on to
 * the Unix socket with that name in the abstract name space, which answers them; without
 * this their bytes are taken for requests. Returns 0, -EINVAL (no name, or one of over 106
 * bytes), or -EALREADY (it serves already).
 */
MC_API int mc_engine_answer_at(struct mc_engine *engine, const char *name);

/*
 * The name under which other engines on this host reach published memory directly, once
 * the engine listens; NUL-terminated, empty where that is not possible. size is at least
 * MC_LOCAL_NAME_SIZE. Returns 0 or -EINVAL.
 */
MC_API int mc_engine_local_name(struct mc_engine *engine, char *name, uint32_t size);

/*
 * Stops serving, fails everything in flight with -ECANCELED and wakes the poll; what
 * completed can still be fetched with mc_wait(). Returns 0. May be called twice.
 */
MC_API int mc_engine_shutdown(struct mc_engine *engine);

/*
 * Frees the engine and all its regions, after mc_engine_shutdown() and when no other
 * thread is inside any call on it. Returns 0, or -EBUSY when a poll is still inside.
 */
MC_API int mc_engine_destroy(struct mc_engine *engine);

struct mc_engine_stats {
	uint64_t served_reads;      /* requests answered for others */
	uint64_t served_writes;
	uint64_t served_read_bytes;
	uint64_t served_write_bytes;
	uint64_t refused;           /* requests refused: address, size, opcode */
	uint64_t accepted;          /* connections */
	uint64_t rejected;          /* connections over max_connections */
	uint64_t connections;       /* served now */
	uint64_t connects;          /* connections made to peers */
	uint64_t server_threads;    /* running */
	uint64_t reads_fenced;      /* READs refused: not published memory (any more), or fenced */
};

/* Copies the counters since open, at most size bytes of them. Any thread. Returns 0. */
MC_API int mc_engine_stats(struct mc_engine *engine, struct mc_engine_stats *stats, uint32_t size);

/*
 * How many peers of this host are reached over the network because the system does not let this
 * process read their memory, or them this one's. Any thread.
 */
MC_API uint32_t mc_engine_refusals(struct mc_engine *engine);

#endif

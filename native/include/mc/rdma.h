/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_H
#define MC_RDMA_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/*
 * RDMA for an engine: reliable connections between queue pairs, one-sided reads and writes.
 * libibverbs is loaded when it is first asked for. The caller carries the numbers of queue
 * pairs to and from peers; see mc_rdma_link_open().
 */

#define MC_RDMA_DEVICES 8
#define MC_RDMA_QPS 16

/* 0 in a field means the default given in brackets. */
struct mc_rdma_options {
	uint32_t size;           /* sizeof(struct mc_rdma_options) */
	uint32_t port;           /* port of each device [1] */
	int32_t gid_index;       /* -1: choose one (0 is a valid index) */
	uint32_t mtu;            /* bytes: 256, 512, 1024, 2048 or 4096, the port's at most [4096] */
	uint32_t service_level;  /* 0..15 */
	uint32_t traffic_class;  /* 0..255 */
	uint32_t pkey_index;
	uint32_t max_wr;         /* work requests of a queue pair [256] */
	uint32_t max_sge;        /* entries of a work request [4] */
	uint32_t max_inline;     /* bytes sent within a work request [64] */
	uint32_t cq_entries;     /* of a device's completion queue [4096] */
	uint32_t slice_bytes;    /* of one work request at most, 4096..2^30 [262144] */
	uint32_t bounce_bytes;   /* registered memory for borrowed bytes [16 MiB] */
	uint32_t retry_count;    /* 1..7 [6]; some devices take 7 for "for ever" */
	uint32_t timeout;        /* exponent of the wait for an answer, 1..31 [14: 67 ms] */
	uint32_t spin_us;        /* polls for completions that long before it sleeps [0] */
	char devices[256];       /* names joined by commas; empty: every one with an active port */
};

/*
 * Adds RDMA to an engine that has no regions yet. Returns 0, or with one line in why
 * (why_size bytes, NUL-terminated): -ENOENT (libibverbs cannot be loaded), -ENODEV (no
 * usable device, or a named one is missing or down), -EINVAL (an option out of range),
 * -EBUSY (it has regions), -EALREADY (also: a plugin, TLS), -ENOMEM, or what a call to the device answered.
 */
MC_API int mc_rdma_open(struct mc_engine *engine, const struct mc_rdma_options *options, char *why,
			uint32_t why_size);

struct mc_rdma_device {
	char name[64];
	uint8_t gid[16];
	uint32_t lid;
	uint32_t gid_index;
	uint32_t mtu;      /* bytes */
	uint32_t reserved;
};

/* Writes the engine's devices, at most max. Returns how many there are; 0 without RDMA. */
MC_API int mc_rdma_devices(struct mc_engine *engine, struct mc_rdma_device *out, uint32_t max);

/*
 * Writes the keys of a region, one per device in the order of mc_rdma_devices(); each array
 * holds MC_RDMA_DEVICES. Returns how many, or -ESTALE.
 */
MC_API int mc_rdma_region_keys(struct mc_engine *engine, uint32_t region, uint32_t *lkeys,
			       uint32_t *rkeys);

/*
 * Makes qp_count queue pairs (1..MC_RDMA_QPS) on a device for one device of a peer, and
 * writes their numbers. Returns the link's id (> 0), -EINVAL, -ENODEV, -ENOMEM, -ENOSPC, or
 * what the device answered.
 */
MC_API int mc_rdma_link_open(struct mc_engine *engine, uint32_t device, uint32_t qp_count,
			     uint32_t *qp_numbers);

struct mc_rdma_remote {
	uint8_t gid[16];
	uint32_t lid;
	uint32_t qp_count;
	uint32_t qp_numbers[MC_RDMA_QPS];
};

/*
 * Connects the queue pairs of a link with those of a peer; queue pair i with queue pair i. May
 * ask the network for the peer's address and take about a second. Returns 0, -EINVAL (other
 * number of queue pairs), -EALREADY (connected), -ESTALE, or what the device answered, such as
 * -ETIMEDOUT; the link can then only be closed.
 */
MC_API int mc_rdma_link_connect(struct mc_engine *engine, uint32_t link,
				const struct mc_rdma_remote *remote);

/* Returns 0 while a link is not connected, 1 while it is, -EPIPE once it broke, or -ESTALE. */
MC_API int mc_rdma_link_state(struct mc_engine *engine, uint32_t link);

/* Ends a link; what is in flight on it completes with -ECONNRESET. Returns 0 or -ESTALE. */
MC_API int mc_rdma_link_close(struct mc_engine *engine, uint32_t link);

/* Published memory of a peer; rkeys[i] goes with path i of mc_rdma_peer_set(). */
struct mc_rdma_buffer {
	uint64_t address;
	uint64_t length;
	uint32_t rkeys[MC_RDMA_DEVICES];
};

/*
 * Tells how a peer opened with MC_TRANSPORT_RDMA is reached: over which links (at most
 * MC_RDMA_DEVICES) and with which memory; replaces what was told before. Operations are cut
 * into slices, which go to the links and queue pairs with the least to do. Returns 0,
 * -EINVAL, -ESTALE, -ENOMEM.
 */
MC_API int mc_rdma_peer_set(struct mc_engine *engine, uint32_t peer, const uint32_t *links,
			    uint32_t link_count, const struct mc_rdma_buffer *buffers,
			    uint32_t buffer_count);

#endif

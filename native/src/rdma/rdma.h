/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_INTERNAL_H
#define MC_RDMA_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "mc/rdma.h"

#include "../engine.h"
#include "../list.h"
#include "../sliced.h"
#include "prefix.h"
#include "rate.h"
#include "spread.h"
#include "verbs.h"

struct rdma_device {
	struct mc_watch watch; /* the completion channel */
	struct rdma *rdma;
	struct mcv_context *context;
	struct mcv_pd *pd;
	struct mcv_channel *channel;
	struct mcv_cq *cq;
	struct mcv_mr *bounce;
	struct mc_rdma_device info;
	bool is_global; /* addressed by GID: Ethernet, or a subnet behind a router */
	uint8_t mtu;    /* as verbs number them */
	uint8_t max_reads;
	uint32_t max_wr;
	uint32_t cq_entries;
};

struct rdma_link {
	uint32_t id;
	struct rdma_device *device; /* NULL once it broke */
	struct mcv_qp *qps[MC_RDMA_QPS];
	struct mc_spread spread;
	uint32_t silent[MC_RDMA_QPS]; /* slices that are */
	uint32_t max_inline;
	uint64_t bytes; /* posted */
	struct mc_rate rate;
	bool connected;
	bool connecting; /* a thread is in mc_rdma_link_connect() */
	bool closed;     /* meanwhile */
	struct mc_list slices;
};

/* Part of a work that one work request carries. */
struct rdma_slice {
	struct mc_list link_node; /* of its link, or the free list */
	struct mc_work *work;     /* NULL: free */
	struct rdma_link *link;
	uint8_t *local;
	uint8_t *bounce; /* NULL: the device uses local itself, or had a copy */
	uint32_t length;
	uint32_t qp;
	uint64_t under_way; /* bytes of the link when it was posted, with its own */
	int64_t posted_at;
	bool silent;   /* has no completion: it has ended when the next one of its queue pair has */
	uint32_t turn; /* of this slot, so that a late completion is recognised */
};

/* What is known of a peer; work waits here until slices of it can be posted. */
struct rdma_peer {
	struct mc_list node;
	struct mc_work_queue waiting;
	uint32_t links[MC_RDMA_DEVICES]; /* ids */
	uint32_t link_count;
	struct mc_rdma_buffer *buffers;
	uint32_t buffer_count;
};

struct rdma {
	struct mc_transport base;
	const struct mcv_calls *verbs;
	struct mc_rdma_options options;
	struct rdma_device devices[MC_RDMA_DEVICES];
	uint32_t device_count;
	struct mc_slots links;
	struct mc_list peers;
	struct rdma_slice *slices;
	uint32_t slice_count;
	struct mc_list free_slices;
	uint32_t posted;
	uint8_t *bounce_memory;
	uint64_t bounce_length;
	uint8_t **free_bounce; /* chunks of slice_bytes */
	uint32_t free_bounce_count;
	int64_t spin_until;
	bool stopped;
	bool wants_pump; /* work came in */
	bool starved;    /* work waits for room */
	_Atomic uint64_t link_count; /* ever connected */
};

/* A region with every device. */
struct mc_region_keys {
	struct rdma *rdma;
	struct mcv_mr *mrs[MC_RDMA_DEVICES];
};

struct rdma *rdma_of(struct mc_engine *engine);

/* Opens what options name into rdma->devices; 0, or -errno with a line in why. */
int rdma_devices_open(struct rdma *rdma, char *why, uint32_t why_size);
void rdma_devices_close(struct rdma *rdma);

/*
 * Registers a region with every device; peers find it at iova when it is published. Memory of a
 * device is registered as a dma-buf: -EOPNOTSUPP where its driver or the adapter has no such thing.
 * 0 or -errno.
 */
int rdma_keys_make(struct rdma *rdma, const struct mc_region *region, uint64_t iova,
		   struct mc_region_keys **keys);

/* Frees a link that nothing is posted on. */
void rdma_link_free(struct rdma *rdma, struct rdma_link *link);

/*
 * Destroys a link's queue pairs, after which its device touches no memory for it, and fails
 * what was posted on it with result. progress_lock is held, also for what follows.
 */
void rdma_link_break(struct rdma *rdma, struct rdma_link *link, int result);

/* Functions of the transport; what comes in together is posted together, by progress. */
void rdma_submit(struct mc_transport *transport, struct mc_work *work);
bool rdma_progress(struct mc_transport *transport, uint64_t *budget);
int64_t rdma_expire(struct mc_transport *transport, int64_t now);

/* Ends everything that a peer has under way with -ECANCELED. */
void rdma_peer_cancel(struct rdma *rdma, struct rdma_peer *peer);

/* Posts what waits for peers, as far as there is room; ends what failed. */
void rdma_pump(struct rdma *rdma, struct rdma_peer *peer);
void rdma_pump_all(struct rdma *rdma);

/* Where a work keeps its prefix, behind enum mc_sliced_note. */
static inline struct mc_prefix *rdma_prefix_of(struct mc_work *work)
{
	_Static_assert(sizeof(struct mc_prefix) <= sizeof(work->transport) - 4 * sizeof(uint64_t),
		       "a work has room for it");
	return (struct mc_prefix *)&work->transport[4];
}

/*
 * Copies out of the bounce buffer, in any order, or into it, in order and with the sum; 0, or
 * -EREMOTEIO where a device failed.
 */
int rdma_pass(struct rdma *rdma, struct mc_work *work, uint8_t *local, uint8_t *bounce,
	      uint64_t length);

/* Takes a slice off its link after its end; read bytes are copied when it went well. */
void rdma_slice_end(struct rdma *rdma, struct rdma_slice *slice, int result);

void rdma_completions_ready(struct mc_watch *watch, uint32_t events);

/* Takes completions until there are none. */
void rdma_completions_take(struct rdma_device *device);

#endif

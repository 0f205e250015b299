// SPDX-License-Identifier: Apache-2.0
/* Cuts the work that waits for peers into slices and posts them. */
#define _GNU_SOURCE
#include "rdma.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common.h"
#include "../sliced.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Slices gathered before they are posted. */
#define RUN 32
/* Of an array that is read into, whose pages are provided at once; a fault costs more than a page. */
#define PROVIDED_LEAST (256u << 10)
#define PROVIDED_MOST (1u << 20)
/* Bytes copied into the bounce buffer before they are posted. */
#define COPIED MC_SPREAD_LEAST_BYTES
/* Of writes that are summed right behind their posting, which the caller's thread may do. */
#define SUM_AHEAD (1u << 20)

/* Work requests of one queue pair, posted with one call. */
struct chain {
	struct rdma_link *link;
	uint32_t qp;
	struct mcv_send_wr *first, *last;
	struct rdma_slice *last_slice;
};

struct run {
	struct mcv_send_wr wrs[RUN];
	struct mcv_sge sges[RUN];
	struct chain chains[RUN];
	struct mc_work *works[RUN];
	bool begins[RUN]; /* with this slice */
	uint32_t count, chain_count;
	uint64_t copied; /* bytes */
};

/* Speed of the fastest link that is known, for those that are not. */
static uint64_t best_rate(struct rdma *rdma, struct rdma_peer *peer)
{
	uint64_t best = UINT64_MAX;

	for (uint32_t i = 0; i < peer->link_count; i++) {
		struct rdma_link *link = mc_slots_get(&rdma->links, peer->links[i]);

		if (link && link->connected && mc_rate_known(&link->rate, rdma->base.engine->now))
			best = mc_min(best, link->rate.ns_per_kib);
	}
	return best == UINT64_MAX ? 1 : best;
}

/*
 * Returns the connected link that will be done first with a slice more, or NULL; *alive tells
 * whether there is any.
 */
static struct rdma_link *choose_link(struct rdma *rdma, struct rdma_peer *peer, uint32_t *path,
				     uint32_t *qp, bool *alive)
{
	uint64_t other = peer->link_count > 1 ? best_rate(rdma, peer) : 1;
	struct rdma_link *best = NULL;
	uint64_t least = UINT64_MAX;

	*alive = false;
	for (uint32_t i = 0; i < peer->link_count; i++) {
		struct rdma_link *link = mc_slots_get(&rdma->links, peer->links[i]);
		uint32_t free_qp = 0;
		uint64_t cost;

		if (!link || !link->connected)
			continue;
		*alive = true;
		if (!mc_spread_choose(&link->spread, link->device->max_wr, &free_qp))
			continue;
		cost = mc_rate_cost(&link->rate, rdma->base.engine->now,
				    link->bytes + rdma->options.slice_bytes, other);
		if (!best || cost < least) {
			best = link;
			least = cost;
			*path = i;
			*qp = free_qp;
		}
	}
	return best;
}

static const struct mc_rdma_buffer *find_buffer(const struct rdma_peer *peer,
						const struct mc_work *work)
{
	for (uint32_t i = 0; i < peer->buffer_count; i++) {
		const struct mc_rdma_buffer *buffer = &peer->buffers[i];

		if (work->remote >= buffer->address &&
		    mc_range_ok(work->remote - buffer->address, work->length, buffer->length))
			return buffer;
	}
	return NULL;
}

/* Whether the devices know nothing of the local memory: borrowed, or of a GPU without a dma-buf. */
static bool has_no_keys(const struct mc_work *work)
{
	return !work->region || !work->region->keys;
}

/* What the devices call local memory with keys: published memory is registered at its base. */
static uint64_t device_address(const struct mc_region *region, const uint8_t *local)
{
	uint64_t start = region->remote_base ? region->remote_base : (uintptr_t)region->memory;

	return start + (uint64_t)(local - region->memory);
}

/*
 * Whether something is to be done when a slice has ended: its buffer is wanted by the next one, or
 * the sum goes on while the device moves the others.
 */
static bool is_awaited(const struct rdma_slice *slice)
{
	const struct mc_work *work = slice->work;

	return slice->bounce ||
	       (work->sums && (work->opcode == MC_OP_READ || work->length > SUM_AHEAD));
}

/* Only the last slice of a work in a chain has to tell that it has ended, unless they are awaited. */
static void silence(struct chain *chain, const struct rdma_slice *next)
{
	struct rdma_slice *last = chain->last_slice;

	if (last->work != next->work || is_awaited(last))
		return;
	chain->last->send_flags &= ~(unsigned int)MCV_SEND_SIGNALED;
	last->silent = true;
	chain->link->silent[chain->qp]++;
}

/* Adds the work request of a slice to the chain of its queue pair. */
static void add_to_chain(struct run *run, struct rdma_slice *slice, struct mcv_send_wr *wr)
{
	struct rdma_link *link = slice->link;
	uint32_t qp = slice->qp;
	struct chain *chain = run->chains;

	while (chain < run->chains + run->chain_count && (chain->link != link || chain->qp != qp))
		chain++;
	if (chain == run->chains + run->chain_count) {
		run->chain_count++;
		*chain = (struct chain){ .link = link, .qp = qp, .first = wr };
	} else {
		silence(chain, slice);
		chain->last->next = wr;
	}
	chain->last = wr;
	chain->last_slice = slice;
}

/*
 * Bytes of each slice of a work but the last, settled with the first one. Queue pairs end theirs at
 * about the same time, so what is read and then copied or summed comes in two lots at least.
 */
static uint64_t slice_bytes(const struct rdma *rdma, const struct rdma_link *link,
			    struct mc_work *work)
{
	struct mc_prefix *prefix = rdma_prefix_of(work);
	uint64_t max = rdma->options.slice_bytes;

	if (work->opcode == MC_OP_READ && (work->sums || has_no_keys(work)) &&
	    max >= 2 * MC_SPREAD_LEAST_BYTES)
		max /= 2;
	if (!prefix->slice)
		prefix->slice = mc_spread_slice(&link->spread, work->length, max);
	return prefix->slice;
}

/* Adds the next slice of the first work that waits; 0, -EAGAIN (no room) or the work's error. */
static int next_slice(struct rdma *rdma, struct rdma_peer *peer, struct rdma_link *link,
		      uint32_t path, uint32_t qp, struct run *run)
{
	struct mc_work *work = peer->waiting.first;
	const struct mc_rdma_buffer *buffer = find_buffer(peer, work);
	uint64_t at = work->transport[MC_SLICED_POSTED];
	uint64_t length = mc_min(work->length - at, slice_bytes(rdma, link, work));
	bool write = work->opcode == MC_OP_WRITE;
	bool in_line = write && length <= link->max_inline && !mc_work_device(work);
	bool bounced = !in_line && has_no_keys(work);
	uint32_t device = (uint32_t)(link->device - rdma->devices);
	uint8_t *local = work->local + at, *bounce = NULL;
	struct mcv_send_wr *wr = &run->wrs[run->count];
	struct mcv_sge *sge = &run->sges[run->count];
	struct rdma_slice *slice;

	if (!buffer)
		return -EFAULT;
	if (work->region && !work->region->keys && !work->region->device)
		return -ECONNRESET;
	if (mc_list_empty(&rdma->free_slices) || (bounced && !rdma->free_bounce_count))
		return -EAGAIN;
	if (bounced) {
		bounce = rdma->free_bounce[rdma->free_bounce_count - 1];
		if (write && rdma_pass(rdma, work, local, bounce, length))
			return -EREMOTEIO;
		rdma->free_bounce_count--;
		run->copied += write ? length : 0;
	}
	slice = mc_list_entry(rdma->free_slices.next, struct rdma_slice, link_node);
	mc_list_remove(&slice->link_node);
	mc_list_append(&link->slices, &slice->link_node);
	*slice = (struct rdma_slice){
		.link_node = slice->link_node,
		.work = work,
		.link = link,
		.local = local,
		.bounce = bounce,
		.length = (uint32_t)length,
		.qp = qp,
		.turn = slice->turn,
		.under_way = link->bytes + length,
		.posted_at = rdma->base.engine->now,
	};
	*sge = (struct mcv_sge){ .addr = (uintptr_t)local, .length = (uint32_t)length };
	if (bounce) {
		sge->addr = (uintptr_t)bounce;
		sge->lkey = link->device->bounce->lkey;
	} else if (!in_line) {
		sge->addr = device_address(work->region, local);
		sge->lkey = work->region->keys->mrs[device]->lkey;
	}
	*wr = (struct mcv_send_wr){
		.wr_id = (uint64_t)slice->turn << 32 | (uint64_t)(slice - rdma->slices),
		.sg_list = sge,
		.num_sge = 1,
		.opcode = write ? MCV_WR_RDMA_WRITE : MCV_WR_RDMA_READ,
		.send_flags = MCV_SEND_SIGNALED | (in_line ? MCV_SEND_INLINE : 0),
		.remote_addr = work->remote + at,
		.rkey = buffer->rkeys[path],
	};
	run->begins[run->count] = at == 0;
	run->works[run->count++] = work;
	add_to_chain(run, slice, wr);
	mc_spread_add(&link->spread, qp, length);
	link->bytes += length;
	rdma->posted++;
	work->transport[MC_SLICED_SLICES]++;
	work->transport[MC_SLICED_POSTED] += length;
	return 0;
}

/*
 * Takes a slice of the work that waits first into the run, or ends the work when it failed; false
 * when nothing waits or there is no room.
 */
static bool gather(struct rdma *rdma, struct rdma_peer *peer, struct run *run)
{
	struct mc_work *work = peer->waiting.first;
	uint32_t path = 0, qp = 0;
	struct rdma_link *link;
	bool alive;
	int err;

	if (!work)
		return false;
	link = choose_link(rdma, peer, &path, &qp, &alive);
	if (!alive)
		mc_sliced_fail(work, -ECONNRESET);
	if (!work->transport[MC_SLICED_RESULT]) {
		err = link ? next_slice(rdma, peer, link, path, qp, run) : -EAGAIN;
		if (err == -EAGAIN)
			return false;
		if (err)
			mc_sliced_fail(work, err);
	}
	if (work->transport[MC_SLICED_RESULT] || work->transport[MC_SLICED_POSTED] == work->length)
		mc_sliced_unqueue(rdma->base.engine, &peer->waiting);
	return true;
}

static void post(struct rdma *rdma, const struct run *run)
{
	for (uint32_t i = 0; i < run->chain_count; i++) {
		const struct chain *chain = &run->chains[i];
		struct mcv_send_wr *bad = NULL;
		struct mcv_qp *qp;

		/* It broke with one of its chains, and what was to be posted ended with it. */
		if (!chain->link->device)
			continue;
		qp = chain->link->qps[chain->qp];
		if (qp->context->ops.post_send(qp, chain->first, &bad))
			rdma_link_break(rdma, chain->link, -ECONNRESET);
		else if (rdma->options.spin_us)
			rdma->spin_until =
				rdma->base.engine->now + (int64_t)rdma->options.spin_us * 1000;
	}
}

/* Sums what a run writes, now that the device is at work on it; takes from the bytes left. */
static void sum_posted(const struct run *run, uint64_t *left)
{
	for (uint32_t i = 0; i < run->count; i++) {
		struct mc_work *work = run->works[i];
		uint64_t before = work->summed;

		if (work->opcode != MC_OP_WRITE || work->transport[MC_SLICED_RESULT])
			continue;
		mc_work_sum(work, mc_min(work->transport[MC_SLICED_POSTED], before + *left));
		*left -= work->summed - before;
	}
}

/*
 * Has the kernel provide the pages that a run reads into while the device is at work on it: those of
 * an array that was made for that are not there yet. Where the kernel cannot, the copy faults.
 */
static void provide_pages(const struct run *run)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 0; i < run->count; i++) {
		const struct mc_work *work = run->works[i];
		uintptr_t start = (uintptr_t)work->local & ~(page - 1);
		uint64_t length = mc_min(work->length, PROVIDED_MOST);

		if (work->opcode != MC_OP_READ || work->region || !run->begins[i] ||
		    work->length < PROVIDED_LEAST)
			continue;
		length += (uintptr_t)work->local - start;
		(void)madvise((void *)start, length, MADV_POPULATE_WRITE);
	}
}

void rdma_pump(struct rdma *rdma, struct rdma_peer *peer)
{
	uint64_t left = SUM_AHEAD;
	struct run run;
	bool more;

	do {
		run.count = run.chain_count = 0;
		run.copied = 0;
		do {
			more = gather(rdma, peer, &run);
		} while (more && run.count < RUN && run.copied < COPIED);
		post(rdma, &run);
		provide_pages(&run);
		sum_posted(&run, &left);
	} while (more);
	if (peer->waiting.first)
		rdma->starved = true;
}

void rdma_pump_all(struct rdma *rdma)
{
	struct mc_list *node, *following;

	rdma->starved = false;
	mc_list_each (node, following, &rdma->peers)
		rdma_pump(rdma, mc_list_entry(node, struct rdma_peer, node));
}

// SPDX-License-Identifier: Apache-2.0
#include "rdma.h"

#include <errno.h>
#include <string.h>

#include "../common.h"
#include "../sliced.h"

/* Completions of one call. */
#define TAKE 32

int rdma_pass(struct rdma *rdma, struct mc_work *work, uint8_t *local, uint8_t *bounce,
	      uint64_t length)
{
	uint64_t at = (uint64_t)(local - work->local);

	/* What has been read out of order is summed once the rest is there. */
	if (work->opcode == MC_OP_WRITE || mc_work_device(work) || at == work->summed)
		return mc_work_copy(rdma->base.engine, work, at, bounce, length);
	memcpy(local, bounce, length);
	return 0;
}

/* A slice has been moved: sums what is there for good while the device moves the others. */
static void sum_moved(const struct rdma_slice *slice)
{
	struct mc_work *work = slice->work;

	mc_prefix_note(rdma_prefix_of(work), (uint64_t)(slice->local - work->local));
	if (!work->transport[MC_SLICED_RESULT])
		mc_work_sum(work, mc_min(rdma_prefix_of(work)->whole, work->length));
}

void rdma_slice_end(struct rdma *rdma, struct rdma_slice *slice, int result)
{
	struct rdma_link *link = slice->link;
	struct mc_work *work = slice->work;

	if (result)
		mc_sliced_fail(work, result);
	else if (slice->bounce && work->opcode == MC_OP_READ &&
		 rdma_pass(rdma, work, slice->local, slice->bounce, slice->length))
		mc_sliced_fail(work, -EREMOTEIO);
	if (!result) {
		sum_moved(slice);
		if (!slice->silent)
			mc_rate_note(&link->rate, rdma->base.engine->now, slice->under_way,
				     rdma->base.engine->now - slice->posted_at);
	}
	if (slice->silent)
		link->silent[slice->qp]--;
	if (slice->bounce)
		rdma->free_bounce[rdma->free_bounce_count++] = slice->bounce;
	mc_spread_remove(&link->spread, slice->qp, slice->length);
	link->bytes -= slice->length;
	rdma->posted--;
	slice->work = NULL;
	slice->turn++;
	mc_list_remove(&slice->link_node);
	mc_list_append(&rdma->free_slices, &slice->link_node);
	work->transport[MC_SLICED_SLICES]--;
	mc_sliced_settle(rdma->base.engine, work);
}

/* A queue pair ends its work requests in order. */
static void end_silent(struct rdma *rdma, const struct rdma_slice *later)
{
	struct rdma_link *link = later->link;
	struct mc_list *node, *following;

	mc_list_each (node, following, &link->slices) {
		struct rdma_slice *slice = mc_list_entry(node, struct rdma_slice, link_node);

		if (slice == later || !link->silent[later->qp])
			break;
		if (slice->silent && slice->qp == later->qp)
			rdma_slice_end(rdma, slice, 0);
	}
}

static void complete(struct rdma *rdma, const struct mcv_wc *wc)
{
	uint32_t at = (uint32_t)wc->wr_id;
	struct rdma_slice *slice = &rdma->slices[at];
	struct rdma_link *link;

	if (at >= rdma->slice_count || !slice->work || slice->turn != (uint32_t)(wc->wr_id >> 32))
		return;
	if (wc->status == MCV_WC_SUCCESS) {
		bool copied = slice->bounce && slice->length >= MC_SPREAD_LEAST_BYTES;

		end_silent(rdma, slice);
		rdma_slice_end(rdma, slice, 0);
		/* The device has something to do while the next one is copied. */
		if (copied && rdma->starved)
			rdma_pump_all(rdma);
		return;
	}
	link = slice->link;
	if (wc->status == MCV_WC_REM_ACCESS_ERR)
		mc_sliced_fail(slice->work, -EFAULT);
	rdma_link_break(rdma, link, -ECONNRESET);
}

void rdma_completions_take(struct rdma_device *device)
{
	struct rdma *rdma = device->rdma;
	struct mcv_wc wcs[TAKE];
	int count;

	while ((count = device->context->ops.poll_cq(device->cq, TAKE, wcs)) > 0) {
		for (int i = 0; i < count; i++)
			complete(rdma, &wcs[i]);
	}
	if (rdma->starved)
		rdma_pump_all(rdma);
}

void rdma_completions_ready(struct mc_watch *watch, uint32_t events)
{
	struct rdma_device *device = mc_container_of(watch, struct rdma_device, watch);
	const struct mcv_calls *verbs = device->rdma->verbs;
	struct mcv_cq *cq;
	void *context;

	(void)events;
	/* There is one at most: the next one has to be asked for. */
	if (verbs->get_cq_event(device->channel, &cq, &context))
		return;
	verbs->ack_cq_events(device->cq, 1);
	device->context->ops.req_notify_cq(device->cq, 0);
	rdma_completions_take(device);
}

/* Ends what is overdue. A slice that is posted takes its link with it. */
static int64_t expire_posted(struct rdma *rdma, int64_t now)
{
	int64_t earliest = MC_NEVER;

	for (uint32_t i = 0; i < rdma->slice_count; i++) {
		struct mc_work *work = rdma->slices[i].work;

		if (!work)
			continue;
		if (work->deadline <= now) {
			mc_sliced_fail(work, -ETIMEDOUT);
			rdma_link_break(rdma, rdma->slices[i].link, -ECONNRESET);
		} else {
			earliest = mc_earlier(earliest, work->deadline);
		}
	}
	return earliest;
}

int64_t rdma_expire(struct mc_transport *transport, int64_t now)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct mc_list *node, *following;
	int64_t earliest = expire_posted(rdma, now);

	mc_list_each (node, following, &rdma->peers) {
		struct rdma_peer *peer = mc_list_entry(node, struct rdma_peer, node);

		earliest = mc_earlier(
			earliest, mc_sliced_expire(transport->engine, &peer->waiting, now));
		rdma_pump(rdma, peer);
	}
	return earliest;
}

void rdma_submit(struct mc_transport *transport, struct mc_work *work)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);
	struct rdma_peer *peer = work->peer->link;

	if (rdma->stopped) {
		mc_work_finish(transport->engine, work, -ECANCELED, 0);
		return;
	}
	mc_sliced_queue(&peer->waiting, work);
	rdma->wants_pump = true;
}

bool rdma_progress(struct mc_transport *transport, uint64_t *budget)
{
	struct rdma *rdma = mc_container_of(transport, struct rdma, base);

	(void)budget;
	if (rdma->wants_pump) {
		rdma->wants_pump = false;
		rdma_pump_all(rdma);
	}
	if (!rdma->spin_until)
		return false;
	for (uint32_t i = 0; i < rdma->device_count; i++)
		rdma_completions_take(&rdma->devices[i]);
	if (!rdma->posted || transport->engine->now >= rdma->spin_until)
		rdma->spin_until = 0;
	return rdma->spin_until != 0;
}

void rdma_peer_cancel(struct rdma *rdma, struct rdma_peer *peer)
{
	for (uint32_t i = 0; i < rdma->slice_count; i++) {
		struct mc_work *work = rdma->slices[i].work;

		if (!work || work->peer->link != peer)
			continue;
		mc_sliced_fail(work, -ECANCELED);
		rdma_link_break(rdma, rdma->slices[i].link, -ECONNRESET);
	}
	while (peer->waiting.first) {
		mc_sliced_fail(peer->waiting.first, -ECANCELED);
		mc_sliced_unqueue(rdma->base.engine, &peer->waiting);
	}
}

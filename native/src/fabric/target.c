// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fabric.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common.h"

#define QUEUE 1024
#define TAKE 64
/* How often a provider without a descriptor is driven. */
#define DRIVE_MS 1

static int open_queue(struct fabric *fabric, struct fabric_end *end)
{
	struct mcf_cq_attr attr = {
		.size = QUEUE,
		.format = MCF_CQ_FORMAT_CONTEXT,
		.wait_obj = MCF_WAIT_FD,
	};
	int err = -ENOSYS;

	end->fd = -1;
	if (fabric->has_fds)
		err = fabric->domain->ops->cq_open(fabric->domain, &attr, &end->cq, NULL);
	if (!err)
		return end->cq->fid.ops->control(&end->cq->fid, MCF_GETWAIT, &end->fd);
	fabric->has_fds = false;
	attr.wait_obj = MCF_WAIT_NONE;
	return fabric->domain->ops->cq_open(fabric->domain, &attr, &end->cq, NULL);
}

int fabric_end_open(struct fabric *fabric, const struct mc_plugin_blob *at, struct fabric_end *end)
{
	struct mcf_info *info = fabric->info, *own = NULL;
	struct mcf_av_attr av_attr = { .type = MCF_AV_TABLE, .count = 1 };
	struct fabric_end made = { .fd = -1 };
	int err;

	if (at && at->size == info->src_addrlen) {
		own = fabric->calls->dupinfo(info);
		if (!own)
			return -ENOMEM;
		memcpy(own->src_addr, at->bytes, at->size);
		info = own;
	}
	err = open_queue(fabric, &made);
	if (!err)
		err = fabric->domain->ops->av_open(fabric->domain, &av_attr, &made.av, NULL);
	if (!err)
		err = fabric->domain->ops->endpoint(fabric->domain, info, &made.ep, NULL);
	if (!err)
		err = made.ep->fid.ops->bind(&made.ep->fid, &made.av->fid, 0);
	if (!err)
		err = made.ep->fid.ops->bind(&made.ep->fid, &made.cq->fid, MCF_SEND | MCF_RECV);
	if (!err)
		err = made.ep->fid.ops->control(&made.ep->fid, MCF_ENABLE, NULL);
	if (own)
		fabric->calls->freeinfo(own);
	if (err)
		fabric_end_close(&made);
	else
		*end = made;
	return err;
}

void fabric_end_close(struct fabric_end *end)
{
	if (end->ep)
		end->ep->fid.ops->close(&end->ep->fid);
	if (end->av)
		end->av->fid.ops->close(&end->av->fid);
	if (end->cq)
		end->cq->fid.ops->close(&end->cq->fid);
	*end = (struct fabric_end){ .fd = -1 };
}

/* Moves what is ready. Nothing of ours completes here; errors are the peers' to hear of. */
static void drive(struct mcf_cq *cq)
{
	struct mcf_cq_entry entries[TAKE];
	struct mcf_cq_err_entry error;
	ssize_t got;

	do {
		got = cq->ops->read(cq, entries, TAKE);
		if (got == -MCF_EAVAIL) {
			memset(&error, 0, sizeof(error));
			got = cq->ops->readerr(cq, &error, 0);
		}
	} while (got > 0);
}

static void *serve(void *argument)
{
	struct fabric *fabric = argument;
	struct fabric_end *end = &fabric->target;
	struct mcf_fid *waited = &end->cq->fid;
	struct pollfd polled[2] = {
		{ .fd = fabric->stop_fd, .events = POLLIN },
		{ .fd = end->fd, .events = POLLIN },
	};

	for (;;) {
		int timeout = end->fd < 0 ? DRIVE_MS : -1;

		drive(end->cq);
		if (end->fd >= 0 && fabric->fabric->ops->trywait(fabric->fabric, &waited, 1))
			timeout = 0;
		if (poll(polled, 2, timeout) < 0 && errno != EINTR)
			return NULL;
		if (polled[0].revents)
			return NULL;
	}
}

int fabric_target_start(struct fabric *fabric)
{
	const struct mc_plugin_blob *old = fabric->address.size ? &fabric->address : NULL;
	size_t size = sizeof(fabric->address.bytes);
	eventfd_t value;
	int err = fabric_end_open(fabric, old, &fabric->target);

	if (err && old)
		err = fabric_end_open(fabric, NULL, &fabric->target);
	if (err)
		return err;
	err = fabric->target.ep->cm->getname(&fabric->target.ep->fid, fabric->address.bytes, &size);
	if (!err) {
		fabric->address.size = (uint32_t)size;
		eventfd_read(fabric->stop_fd, &value);
		err = -pthread_create(&fabric->thread, NULL, serve, fabric);
	}
	fabric->serving = !err;
	if (err)
		fabric_end_close(&fabric->target);
	return err;
}

void fabric_target_stop(struct fabric *fabric)
{
	if (!fabric->serving)
		return;
	eventfd_write(fabric->stop_fd, 1);
	pthread_join(fabric->thread, NULL);
	fabric_end_close(&fabric->target);
	fabric->serving = false;
}

// SPDX-License-Identifier: Apache-2.0
#include "rdma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common.h"
#include "../device/device.h"

#define GIDS_MAX 256

static int failed(void)
{
	return errno > 0 ? -errno : -EIO;
}

static bool is_v4(const uint8_t *gid)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(gid, prefix, sizeof(prefix)) == 0;
}

static bool is_private(const uint8_t *gid)
{
	if (!is_v4(gid))
		return (gid[0] & 0xfe) == 0xfc;
	return gid[12] == 10 || (gid[12] == 172 && (gid[13] & 0xf0) == 16) ||
	       (gid[12] == 192 && gid[13] == 168);
}

static bool is_link_local(const uint8_t *gid)
{
	if (is_v4(gid))
		return gid[12] == 169 && gid[13] == 254;
	return gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80;
}

/* Lower is better, in the order in which the reference chooses; INT32_MAX: unusable. */
static int gid_rank(const struct mcv_gid_entry *entry)
{
	static const uint8_t none[16];
	int rank;

	if (memcmp(entry->gid, none, sizeof(none)) == 0)
		return INT32_MAX;
	if (is_link_local(entry->gid))
		rank = 2;
	else
		rank = is_private(entry->gid) ? 1 : 0;
	if (!entry->ndev_ifindex)
		rank += 3;
	return entry->gid_type == MCV_GID_TYPE_ROCE_V1 ? rank + 6 : rank;
}

/* Returns 0 and fills in the device's GID, or -errno. */
static int choose_gid(struct rdma *rdma, struct rdma_device *device, int table_length)
{
	struct mcv_gid_entry entry, chosen;
	int best = INT32_MAX;

	if (rdma->options.gid_index >= 0) {
		if (rdma->verbs->query_gid(device->context, rdma->options.port,
					   (uint32_t)rdma->options.gid_index, &chosen, 0,
					   sizeof(chosen)))
			return -EADDRNOTAVAIL;
		best = gid_rank(&chosen);
	}
	for (int i = 0; rdma->options.gid_index < 0 && i < table_length && i < GIDS_MAX; i++) {
		if (rdma->verbs->query_gid(device->context, rdma->options.port, (uint32_t)i, &entry,
					   0, sizeof(entry)))
			continue;
		if (gid_rank(&entry) < best) {
			best = gid_rank(&entry);
			chosen = entry;
		}
	}
	if (best == INT32_MAX)
		return -EADDRNOTAVAIL;
	memcpy(device->info.gid, chosen.gid, sizeof(device->info.gid));
	device->info.gid_index = chosen.gid_index;
	return 0;
}

static uint8_t mtu_number(uint32_t bytes)
{
	uint8_t number = 1;

	while (bytes > 256) {
		bytes >>= 1;
		number++;
	}
	return number;
}

/* Reads what the port can do. Returns 0, -ENETDOWN (not active), or another -errno. */
static int look_at_port(struct rdma *rdma, struct rdma_device *device)
{
	struct mcv_port_attr port = { 0 };
	struct mcv_device_attr attr = { 0 };
	int err;

	if (rdma->verbs->query_port(device->context, (uint8_t)rdma->options.port, &port) ||
	    rdma->verbs->query_device(device->context, &attr))
		return failed();
	if (port.state != MCV_PORT_ACTIVE)
		return -ENETDOWN;
	err = choose_gid(rdma, device, port.gid_tbl_len);
	if (err)
		return err;
	device->info.lid = port.lid;
	device->mtu = (uint8_t)mc_min((uint64_t)port.active_mtu, mtu_number(rdma->options.mtu));
	device->info.mtu = 128u << device->mtu;
	device->is_global = port.link_layer == MCV_LINK_LAYER_ETHERNET || port.lid == 0;
	device->max_reads = (uint8_t)mc_min(16, (uint64_t)attr.max_qp_init_rd_atom);
	device->max_reads = (uint8_t)mc_min(device->max_reads, (uint64_t)attr.max_qp_rd_atom);
	device->max_wr = (uint32_t)mc_min(rdma->options.max_wr, (uint64_t)attr.max_qp_wr);
	device->cq_entries = (uint32_t)mc_min(rdma->options.cq_entries, (uint64_t)attr.max_cqe);
	return 0;
}

static void close_device(struct rdma *rdma, struct rdma_device *device)
{
	const struct mcv_calls *verbs = rdma->verbs;

	if (device->watch.id)
		mc_watch_remove(rdma->base.engine, &device->watch);
	if (device->bounce)
		verbs->dereg_mr(device->bounce);
	if (device->cq)
		verbs->destroy_cq(device->cq);
	if (device->channel)
		verbs->destroy_comp_channel(device->channel);
	if (device->pd)
		verbs->dealloc_pd(device->pd);
	if (device->context)
		verbs->close_device(device->context);
	memset(device, 0, sizeof(*device));
}

static int prepare_device(struct rdma *rdma, struct rdma_device *device)
{
	const struct mcv_calls *verbs = rdma->verbs;
	int flags;

	device->pd = verbs->alloc_pd(device->context);
	if (!device->pd)
		return failed();
	device->channel = verbs->create_comp_channel(device->context);
	if (!device->channel)
		return failed();
	flags = fcntl(device->channel->fd, F_GETFL);
	if (flags < 0 || fcntl(device->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return failed();
	device->cq = verbs->create_cq(device->context, (int)device->cq_entries, device,
				      device->channel, 0);
	if (!device->cq)
		return failed();
	device->bounce = verbs->reg_mr(device->pd, rdma->bounce_memory, rdma->bounce_length,
				       (uintptr_t)rdma->bounce_memory, MCV_ACCESS_LOCAL_WRITE);
	if (!device->bounce)
		return failed();
	if (device->cq->context->ops.req_notify_cq(device->cq, 0))
		return failed();
	device->watch.ready = rdma_completions_ready;
	return mc_watch_add(rdma->base.engine, &device->watch, device->channel->fd);
}

/* Returns 1 when the device was taken, 0 when it was passed over, or -errno. */
static int open_device(struct rdma *rdma, struct mcv_device *found, bool named, char *why,
		       uint32_t why_size)
{
	struct rdma_device *device = &rdma->devices[rdma->device_count];
	const char *name = rdma->verbs->get_device_name(found);
	int err;

	if (rdma->device_count == MC_RDMA_DEVICES) {
		if (named)
			snprintf(why, why_size, "more than %d RDMA devices are named",
				 MC_RDMA_DEVICES);
		return named ? -EINVAL : 0;
	}
	device->rdma = rdma;
	device->context = rdma->verbs->open_device(found);
	err = device->context ? look_at_port(rdma, device) : failed();
	if (!err)
		err = prepare_device(rdma, device);
	if (!err) {
		snprintf(device->info.name, sizeof(device->info.name), "%s", name);
		rdma->device_count++;
		return 1;
	}
	close_device(rdma, device);
	snprintf(why, why_size, "RDMA device %s port %u: %s", name, rdma->options.port,
		 err == -EADDRNOTAVAIL ? "it has no such GID" : strerror(-err));
	return named ? err : 0;
}

/* Opens the device of that name; an error when there is none. */
static int open_named(struct rdma *rdma, struct mcv_device **list, const char *name, char *why,
		      uint32_t why_size)
{
	for (int i = 0; list[i]; i++) {
		if (strcmp(rdma->verbs->get_device_name(list[i]), name) == 0)
			return open_device(rdma, list[i], true, why, why_size);
	}
	snprintf(why, why_size, "there is no RDMA device %s; there are", name);
	for (int i = 0; list[i]; i++) {
		size_t used = strlen(why);

		snprintf(why + used, why_size - used, "%s %s", i ? "," : "",
			 rdma->verbs->get_device_name(list[i]));
	}
	return -ENODEV;
}

int rdma_devices_open(struct rdma *rdma, char *why, uint32_t why_size)
{
	char names[sizeof(rdma->options.devices)];
	struct mcv_device **list;
	char *rest = NULL, *name;
	int count = 0, err = 0;

	list = rdma->verbs->get_device_list(&count);
	if (!list || count == 0) {
		if (list)
			rdma->verbs->free_device_list(list);
		snprintf(why, why_size, "this machine has no RDMA device");
		return -ENODEV;
	}
	memcpy(names, rdma->options.devices, sizeof(names));
	if (names[0]) {
		for (name = strtok_r(names, ",", &rest); name && err >= 0;
		     name = strtok_r(NULL, ",", &rest))
			err = open_named(rdma, list, name, why, why_size);
	} else {
		for (int i = 0; list[i] && err >= 0; i++)
			err = open_device(rdma, list[i], false, why, why_size);
	}
	rdma->verbs->free_device_list(list);
	if (err >= 0 && rdma->device_count > 0)
		return 0;
	if (!why[0])
		snprintf(why, why_size, "no RDMA device has an active port");
	return err < 0 ? err : -ENODEV;
}

void rdma_devices_close(struct rdma *rdma)
{
	while (rdma->device_count)
		close_device(rdma, &rdma->devices[--rdma->device_count]);
}

/* A dma-buf and where a region begins in it. */
struct exported {
	int fd; /* -1: it is memory of the host */
	uint64_t offset;
};

/* Whole pages around a region, as drivers want it. */
static int export_region(const struct mc_region *region, struct exported *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)region->memory;
	uint64_t end = (start + region->length + page - 1) & ~(page - 1);
	const struct mc_device *device = region->device;

	out->fd = -1;
	if (!device)
		return 0;
	out->offset = start & (page - 1);
	start -= out->offset;
	return device->ops->dmabuf(device->handle, start, end - start, &out->fd) ? -EOPNOTSUPP : 0;
}

static struct mcv_mr *register_with(const struct rdma *rdma, struct mcv_pd *pd,
				    const struct mc_region *region, const struct exported *from,
				    uint64_t iova, unsigned int access)
{
	if (from->fd < 0)
		return rdma->verbs->reg_mr(pd, region->memory, region->length, iova, access);
	return rdma->verbs->reg_dmabuf_mr(pd, from->offset, region->length, iova, from->fd,
					  (int)access);
}

int rdma_keys_make(struct rdma *rdma, const struct mc_region *region, uint64_t iova,
		   struct mc_region_keys **made)
{
	unsigned int access = MCV_ACCESS_LOCAL_WRITE;
	struct mc_region_keys *keys;
	struct exported from;
	int err;

	if (region->device && !rdma->verbs->reg_dmabuf_mr)
		return -EOPNOTSUPP;
	err = export_region(region, &from);
	if (err)
		return err;
	keys = calloc(1, sizeof(*keys));
	if (keys)
		keys->rdma = rdma;
	else
		err = -ENOMEM;
	if (region->remote_base)
		access |= MCV_ACCESS_REMOTE_READ | MCV_ACCESS_REMOTE_WRITE |
			  MCV_ACCESS_RELAXED_ORDERING;
	for (uint32_t i = 0; !err && i < rdma->device_count; i++) {
		keys->mrs[i] = register_with(rdma, rdma->devices[i].pd, region, &from, iova, access);
		if (!keys->mrs[i])
			err = region->device ? -EOPNOTSUPP : failed();
	}
	/* The registrations keep the dma-buf. */
	if (from.fd >= 0)
		close(from.fd);
	if (!err)
		*made = keys;
	else if (keys)
		mc_region_keys_free(keys);
	return err;
}

void mc_region_keys_free(struct mc_region_keys *keys)
{
	for (uint32_t i = 0; i < MC_RDMA_DEVICES; i++) {
		if (keys->mrs[i])
			keys->rdma->verbs->dereg_mr(keys->mrs[i]);
	}
	free(keys);
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "fabric.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "../common.h"

/* Interface of libfabric that is asked for. */
#define VERSION MCF_VERSION(1, 9)
#define SLICE_BYTES (1ull << 20)
#define MAX_SLICES 1024u
#define KEY_TRIES 4

static int ask(struct mcf_info *hints, struct fabric *fabric)
{
	return fabric->calls->getinfo(VERSION, NULL, NULL, 0, hints, &fabric->info);
}

/* Finds what a provider offers that can do all that is needed here. */
static int find(struct fabric *fabric, const char *provider, char *why, uint32_t why_size)
{
	struct mcf_info *hints = fabric->calls->dupinfo(NULL);
	int err;

	if (!hints)
		return -ENOMEM;
	hints->caps = MCF_RMA | MCF_READ | MCF_WRITE | MCF_REMOTE_READ | MCF_REMOTE_WRITE;
	hints->mode = MCF_CONTEXT | MCF_CONTEXT2;
	hints->ep_attr->type = MCF_EP_RDM;
	hints->domain_attr->mr_mode =
		MCF_MR_LOCAL | MCF_MR_VIRT_ADDR | MCF_MR_ALLOCATED | MCF_MR_PROV_KEY;
	hints->domain_attr->threading = MCF_THREAD_SAFE;
	/* A write is over when its bytes can be read by others. */
	hints->tx_attr->op_flags = MCF_DELIVERY_COMPLETE;
	hints->fabric_attr->prov_name = strdup(provider);
	err = hints->fabric_attr->prov_name ? ask(hints, fabric) : -ENOMEM;
	fabric->calls->freeinfo(hints);
	if (!err && strstr(fabric->info->fabric_attr->prov_name, "shm")) {
		snprintf(why, why_size,
			 "libfabric's provider shm does not end what goes to memory that was "
			 "withdrawn; protocol tcp uses the memory of one host by itself");
		return -ENODEV;
	}
	if (err)
		snprintf(why, why_size,
			 "libfabric.so.1 has no provider %s that can be used on this machine: %s",
			 provider, fabric->calls->strerror(-err));
	return err ? -ENODEV : 0;
}

static void fabric_close(void *transport)
{
	struct fabric *fabric = transport;

	fabric_target_stop(fabric);
	if (fabric->domain)
		fabric->domain->fid.ops->close(&fabric->domain->fid);
	if (fabric->fabric)
		fabric->fabric->fid.ops->close(&fabric->fabric->fid);
	if (fabric->info)
		fabric->calls->freeinfo(fabric->info);
	if (fabric->epoll_fd >= 0)
		close(fabric->epoll_fd);
	if (fabric->stop_fd >= 0)
		close(fabric->stop_fd);
	free(fabric);
}

static int open_domain(struct fabric *fabric, char *why, uint32_t why_size)
{
	struct mcf_info *info = fabric->info;
	int err = fabric->calls->fabric(info->fabric_attr, &fabric->fabric, NULL);

	if (!err)
		err = fabric->fabric->ops->domain(fabric->fabric, info, &fabric->domain, NULL);
	if (!err)
		err = fabric_target_start(fabric);
	if (err)
		snprintf(why, why_size, "libfabric's provider %s on %s cannot be opened: %s",
			 info->fabric_attr->prov_name, info->domain_attr->name,
			 fabric->calls->strerror(-err));
	return err;
}

static int fabric_open(const char *provider, void **opened, struct mc_plugin_limits *limits,
		       char *why, uint32_t why_size)
{
	struct fabric *fabric = calloc(1, sizeof(*fabric));
	int err = 0;

	if (!fabric)
		return -ENOMEM;
	fabric->target.fd = -1;
	fabric->has_fds = true;
	mc_list_init(&fabric->peers);
	fabric->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fabric->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fabric->epoll_fd < 0 || fabric->stop_fd < 0)
		err = -EMFILE;
	if (!err) {
		fabric->calls = fabric_load(why, why_size);
		err = fabric->calls ? find(fabric, provider, why, why_size) : -ENOENT;
	}
	if (!err)
		err = open_domain(fabric, why, why_size);
	if (err) {
		fabric_close(fabric);
		return err;
	}
	snprintf(fabric->name, sizeof(fabric->name), "libfabric/%s",
		 fabric->info->fabric_attr->prov_name);
	limits->slice_bytes = mc_min(SLICE_BYTES, fabric->info->ep_attr->max_msg_size);
	limits->max_slices = MAX_SLICES;
	limits->needs_memory = (fabric->info->domain_attr->mr_mode & MCF_MR_LOCAL) != 0;
	*opened = fabric;
	return 0;
}

static const char *fabric_name(void *transport)
{
	return ((struct fabric *)transport)->name;
}

static void fabric_stop(void *transport)
{
	fabric_target_stop(transport);
}

static int fabric_address(void *transport, struct mc_plugin_blob *address)
{
	*address = ((struct fabric *)transport)->address;
	return 0;
}

static int fabric_descriptor(void *transport)
{
	struct fabric *fabric = transport;

	return fabric->has_fds ? fabric->epoll_fd : -1;
}

/* A key that no other registration has, where the provider leaves it to us. */
static uint64_t draw_key(const struct fabric *fabric)
{
	size_t bytes = fabric->info->domain_attr->mr_key_size;
	uint64_t key = 0;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		key = (uint64_t)mc_now();
	return bytes < sizeof(key) ? key & ((1ull << (8 * bytes)) - 1) : key;
}

static int fabric_memory_add(void *transport, void *start, uint64_t length, int remote,
			     void **added, struct mc_plugin_blob *key)
{
	struct fabric *fabric = transport;
	struct mcf_domain *domain = fabric->domain;
	struct fabric_memory *memory = calloc(1, sizeof(*memory));
	uint64_t access = MCF_READ | MCF_WRITE;
	uint64_t told[2] = { 0 };
	int err = -ENOMEM;

	if (!memory)
		return -ENOMEM;
	if (remote)
		access |= MCF_REMOTE_READ | MCF_REMOTE_WRITE;
	for (int i = 0; i < KEY_TRIES && err; i++)
		err = domain->mr->reg(&domain->fid, start, length, access, 0, draw_key(fabric), 0,
				      &memory->mr, NULL);
	if (err) {
		free(memory);
		return err;
	}
	if (fabric->info->domain_attr->mr_mode & MCF_MR_VIRT_ADDR)
		told[0] = (uintptr_t)start;
	told[1] = memory->mr->key;
	key->size = sizeof(told);
	memcpy(key->bytes, told, sizeof(told));
	memory->remote = remote;
	*added = memory;
	return 0;
}

/*
 * A provider in software may be in the middle of a peer's operation, with the memory's address
 * at hand, when the registration goes. So the endpoint is closed first, with all of its
 * connections, and another one opened at its address; peers try again.
 */
static void fabric_memory_remove(void *transport, void *removed)
{
	struct fabric *fabric = transport;
	struct fabric_memory *memory = removed;
	bool reopen = memory->remote && fabric->serving;

	if (reopen)
		fabric_target_stop(fabric);
	memory->mr->fid.ops->close(&memory->mr->fid);
	free(memory);
	/* Where that fails peers are not served any more, and say so. */
	if (reopen)
		(void)fabric_target_start(fabric);
}

const struct mc_transport_plugin mc_fabric_plugin = {
	.size = sizeof(mc_fabric_plugin),
	.abi = MC_TRANSPORT_PLUGIN_ABI,
	.standing = "libfabric, run with its tcp provider; not yet on a network device",
	.open = fabric_open,
	.name = fabric_name,
	.stop = fabric_stop,
	.close = fabric_close,
	.address = fabric_address,
	.descriptor = fabric_descriptor,
	.memory_add = fabric_memory_add,
	.memory_remove = fabric_memory_remove,
	.connect = fabric_connect,
	.disconnect = fabric_disconnect,
	.submit = fabric_submit,
	.poll = fabric_poll,
	.arm = fabric_arm,
};

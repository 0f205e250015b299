/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_REGION_H
#define MC_REGION_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

enum mc_region_flags {
	MC_REGION_PUBLISHED = 1 << 0,   /* peers may read and write it */
	MC_REGION_LOCKED = 1 << 1,      /* its pages stay in memory once they are there */
	MC_REGION_INTERLEAVED = 1 << 2, /* pages lie on the nodes in turn, not in one piece each */
	MC_REGION_SMALL_PAGES = 1 << 3, /* ordinary pages, not huge ones where there are any */
	MC_REGION_AT_ADDRESS = 1 << 4,  /* published: peers name it by its address in this process */
};

struct mc_region_options {
	uint32_t size;    /* sizeof(struct mc_region_options) */
	uint32_t flags;   /* enum mc_region_flags */
	uint64_t length;  /* bytes, > 0 */
	uint32_t device;  /* id from mc_device_open(): memory of that device; 0: of the host */
	uint32_t page_shift; /* 21, 30: pages of the hugetlb pool of 2 MiB, 1 GiB; 0: no pool */
	uint64_t address; /* of memory that the caller owns and keeps, of the host or the device; 0: none */
	uint64_t nodes;   /* NUMA nodes that pages lie on if these have room, bit n for node n; 0: any */
};

struct mc_region_info {
	uint64_t address;     /* of the first byte in this process; of a device, not to be touched */
	uint64_t length;      /* bytes */
	uint64_t remote_base; /* of the first byte as peers name it, or 0 */
	uint64_t mapped;      /* where the mapping begins that holds it; 0: of a device, or the caller's */
	uint64_t mapped_length; /* bytes */
};

/*
 * Maps zeroed memory, or allocates it on a device, or takes memory of the caller, of the host or
 * of a device, which stays readable and writable until mc_region_unregister() has returned and the
 * last local operation with it has completed; peers on this host reach that over the network.
 * Flags other than MC_REGION_PUBLISHED, pages and nodes are for memory that is mapped here alone.
 * The remote base of a published region is not its address: it is drawn per registration and never
 * used again by this engine, so a descriptor that outlived its region is refused. With
 * MC_REGION_AT_ADDRESS, for memory of the caller on the host, it is the address, for peers that know
 * no other; then what is registered there next is reached by old descriptors, too. Returns the id
 * (> 0) and *info, or -EINVAL, -EEXIST (a published region has some of these addresses),
 * -ENOMEM (also: the pool has not enough pages, or a device may not pin so many), -ENOSPC
 * (too many regions, or no remote addresses left), -EIO (the device failed), -EFAULT (the
 * address is not that device's), -EOPNOTSUPP (published device memory in an engine with RDMA
 * that its driver or an adapter has no dma-buf for, device memory in one with a plugin, or there
 * are no pages of that size), -EPERM (so much may not be locked), -ENODEV (no such node, or not for
 * this process). With RDMA all pages are provided before it returns.
 */
MC_API int mc_region_register(struct mc_engine *engine, const struct mc_region_options *options,
			      struct mc_region_info *info);

/*
 * Has the kernel provide every page now, so that the first transfers take no page
 * faults. Up to eight threads take about 0.4 s per GiB each; any thread may call. Returns 0, -ESTALE, -ENOMEM, or
 * -ECANCELED when the region or the engine went away meanwhile.
 */
MC_API int mc_region_populate(struct mc_engine *engine, uint32_t id);

/*
 * Withdraws a region: when it returns 0, no peer reads or writes it any more, and
 * transfers that were under way break off. The memory itself is unmapped as soon as
 * no local operation uses it. Returns -ESTALE for an id that is not valid.
 */
MC_API int mc_region_unregister(struct mc_engine *engine, uint32_t id);

#endif

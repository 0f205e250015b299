// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "device/device.h"
#include "engine.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE (2ull << 20)
#define POPULATE_STEP (16ull << 20)

/*
 * Regions start in the middle of a page. A socket puts a body 8 or 24 bytes into a page, and
 * some processors copy at a third of their speed when the destination lies up to 31 bytes
 * behind the source in its page. With these starts no offset that is a multiple of 64 meets
 * that, neither where regions are served from nor where they are read into. With RDMA they
 * start where a page does, as a registration and its remote address have to.
 */
#define PUBLISHED_SHIFT (2048u + 16u)
#define PRIVATE_SHIFT (2048u + 48u)

static uint64_t whole_pages(uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (length + page - 1) & ~(page - 1);
}

/* A file in memory that others can map and nobody can make smaller; -1: there is none. */
static int make_file(uint64_t length)
{
	int fd = memfd_create("snowskin-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)length) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

/*
 * Large maps start on a huge page, or the kernel could not use huge pages at either end.
 * fd -1: memory of this process alone.
 */
static uint8_t *map_memory(uint64_t length, int fd)
{
	const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint64_t slack = length >= HUGE_PAGE ? HUGE_PAGE : 0;
	uint64_t head;
	uint8_t *memory;

	memory = mmap(NULL, length + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	if (slack) {
		head = -(uintptr_t)memory & (HUGE_PAGE - 1);
		if (head)
			munmap(memory, head);
		memory += head;
		if (slack > head)
			munmap(memory + length, slack - head);
	}
	if (mmap(memory, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(memory, length);
		return NULL;
	}
	if (slack)
		madvise(memory, length, MADV_HUGEPAGE);
	madvise(memory, length, MADV_DONTFORK);
	madvise(memory, length, MADV_DONTDUMP);
	return memory;
}

_Static_assert(PUBLISHED_SHIFT >= sizeof(struct mc_region_header), "room for the header");

static struct mc_region_header *header_of(const struct mc_region *region)
{
	return (struct mc_region_header *)region->mapped;
}

static void add_counts(struct mc_shared_counts *sum, const struct mc_shared_counts *part)
{
	sum->reads += part->reads;
	sum->writes += part->writes;
	sum->read_bytes += part->read_bytes;
	sum->write_bytes += part->write_bytes;
}

/* Maps what the region needs of this host's memory; with a file where others may map it. */
static int map_region(struct mc_region *region, uint64_t length, bool shared)
{
	uint64_t mapped = whole_pages(length);

	region->fd = shared ? make_file(mapped) : -1;
	region->mapped = map_memory(mapped, region->fd);
	region->mapped_length = region->mapped ? mapped : 0;
	return region->mapped ? 0 : -ENOMEM;
}

static int place_on_host(struct mc_engine *engine, struct mc_region *region,
			 const struct mc_region_options *options)
{
	bool published = options->flags & MC_REGION_PUBLISHED;
	int err;

	region->shift = published ? PUBLISHED_SHIFT : PRIVATE_SHIFT;
	if (mc_engine_transport(engine, MC_TRANSPORT_RDMA))
		region->shift = published ? (uint32_t)sysconf(_SC_PAGESIZE) : 0;
	err = map_region(region, region->length + region->shift, published);
	if (!err)
		region->memory = region->mapped + region->shift;
	return err;
}

/* Peers on this host map the header alone, which tells them when the region is gone. */
static int place_on_device(struct mc_engine *engine, struct mc_region *region,
			   const struct mc_region_options *options)
{
	struct mc_device *device = mc_device_get(options->device);
	uint64_t address = 0;
	int err = 0;

	if (!device)
		return -EINVAL;
	if (mc_engine_transport(engine, MC_TRANSPORT_RDMA))
		return -EOPNOTSUPP;
	if (options->flags & MC_REGION_PUBLISHED)
		err = map_region(region, sizeof(struct mc_region_header), true);
	if (!err)
		err = mc_device_place(device, options->address, options->length, &address);
	if (err)
		return err;
	region->device = device;
	region->adopted = options->address != 0;
	region->memory = (uint8_t *)(uintptr_t)address;
	return 0;
}

int mc_region_register(struct mc_engine *engine, const struct mc_region_options *options,
		       struct mc_region_info *info)
{
	struct mc_region *region;
	int id, err;

	if (!options || !info || options->size < sizeof(*options) || options->length == 0 ||
	    options->length > MC_WINDOW_MASK || options->reserved ||
	    (options->flags & ~(uint32_t)MC_REGION_PUBLISHED) ||
	    (options->address && !options->device))
		return -EINVAL;
	region = calloc(1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	region->users = 1;
	region->fd = -1;
	region->length = options->length;
	err = options->device ? place_on_device(engine, region, options) :
				place_on_host(engine, region, options);
	if (err)
		goto err_unmap;
	if (options->flags & MC_REGION_PUBLISHED)
		err = mc_publisher_draw(&engine->publisher, region);
	if (!err)
		err = mc_engine_region_added(engine, region);
	if (err)
		goto err_unmap;
	if (options->flags & MC_REGION_PUBLISHED) {
		err = mc_publisher_add(&engine->publisher, region);
		if (err)
			goto err_removed;
	}
	pthread_mutex_lock(&engine->state_lock);
	id = mc_slots_add(&engine->regions, region);
	pthread_mutex_unlock(&engine->state_lock);
	if (id < 0) {
		err = id;
		goto err_published;
	}
	info->address = (uintptr_t)region->memory;
	info->length = region->length;
	info->remote_base = region->remote_base;
	return id;

err_published:
	if (region->remote_base)
		mc_publisher_remove(&engine->publisher, region);
err_removed:
	mc_engine_region_removed(engine, region);
err_unmap:
	mc_region_free(region);
	return err;
}

int mc_region_unregister(struct mc_engine *engine, uint32_t id)
{
	struct mc_region *region;
	bool last;

	pthread_mutex_lock(&engine->state_lock);
	region = mc_slots_remove(&engine->regions, id);
	pthread_mutex_unlock(&engine->state_lock);
	if (!region)
		return -ESTALE;
	atomic_store(&region->withdrawn, true);
	if (region->fd >= 0)
		atomic_store(&header_of(region)->withdrawn, true);
	if (region->remote_base)
		mc_publisher_remove(&engine->publisher, region);
	mc_engine_region_removed(engine, region);

	pthread_mutex_lock(&engine->state_lock);
	if (region->fd >= 0)
		add_counts(&engine->shared, &header_of(region)->served);
	last = mc_region_put_locked(region);
	pthread_mutex_unlock(&engine->state_lock);
	if (last)
		mc_region_free(region);
	return 0;
}

void mc_region_add_served(struct mc_engine *engine, struct mc_engine_stats *stats)
{
	struct mc_shared_counts sum = { 0 };
	struct mc_region *region;
	uint32_t cursor = 0;

	pthread_mutex_lock(&engine->state_lock);
	add_counts(&sum, &engine->shared);
	while ((region = mc_slots_next(&engine->regions, &cursor))) {
		if (region->fd >= 0)
			add_counts(&sum, &header_of(region)->served);
	}
	pthread_mutex_unlock(&engine->state_lock);
	stats->served_reads += sum.reads;
	stats->served_writes += sum.writes;
	stats->served_read_bytes += sum.read_bytes;
	stats->served_write_bytes += sum.write_bytes;
}

int mc_region_get_locked(struct mc_engine *engine, uint32_t id, uint64_t offset, uint64_t length,
			 struct mc_region **found)
{
	struct mc_region *region = mc_slots_get(&engine->regions, id);

	if (!region)
		return -ESTALE;
	if (!mc_range_ok(offset, length, region->length))
		return -ERANGE;
	region->users++;
	*found = region;
	return 0;
}

bool mc_region_put_locked(struct mc_region *region)
{
	return --region->users == 0;
}

void mc_region_free(struct mc_region *region)
{
	if (region->keys)
		mc_region_keys_free(region->keys);
	if (region->device && !region->adopted)
		region->device->ops->release(region->device->handle, (uintptr_t)region->memory);
	if (region->mapped)
		munmap(region->mapped, region->mapped_length);
	if (region->fd >= 0)
		close(region->fd);
	free(region);
}

/* Writes to every page without changing it: peers may be using the memory already. */
static void touch(uint8_t *memory, uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint64_t at = 0; at < length; at += page)
		__atomic_fetch_or(&memory[at], 0, __ATOMIC_RELAXED);
}

int mc_region_populate(struct mc_engine *engine, uint32_t id)
{
	struct mc_region *region;
	uint64_t length;
	uint8_t *memory;
	bool last;
	int err;

	pthread_mutex_lock(&engine->state_lock);
	err = mc_region_get_locked(engine, id, 0, 0, &region);
	pthread_mutex_unlock(&engine->state_lock);
	if (err)
		return err;
	memory = region->mapped;
	length = region->mapped_length;
	for (uint64_t at = 0; at < length && !err; at += POPULATE_STEP) {
		uint64_t step = mc_min(POPULATE_STEP, length - at);

		if (atomic_load(&region->withdrawn) || atomic_load(&engine->stopping))
			err = -ECANCELED;
		else if (madvise(memory + at, step, MADV_POPULATE_WRITE) == 0)
			continue;
		else if (errno == ENOMEM)
			err = -ENOMEM;
		else
			touch(memory + at, step);
	}
	pthread_mutex_lock(&engine->state_lock);
	last = mc_region_put_locked(region);
	pthread_mutex_unlock(&engine->state_lock);
	if (last)
		mc_region_free(region);
	return err;
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"
#include "device/device.h"
#include "engine.h"

/*
 * Regions start in the middle of a page. A socket puts a body 8 or 24 bytes into a page, and
 * some processors copy at a third of their speed when the destination lies up to 31 bytes
 * behind the source in its page. With these starts no offset that is a multiple of 64 meets
 * that, neither where regions are served from nor where they are read into. With RDMA they
 * start where a page does, as a registration and its remote address have to.
 */
#define PUBLISHED_SHIFT (2048u + 16u)
#define PRIVATE_SHIFT (2048u + 48u)

_Static_assert(PUBLISHED_SHIFT >= sizeof(struct mc_region_header), "room for the header");

static struct mc_region_header *header_of(const struct mc_region *region)
{
	return (struct mc_region_header *)region->host.start;
}

static void add_counts(struct mc_shared_counts *sum, const struct mc_shared_counts *part)
{
	sum->reads += part->reads;
	sum->writes += part->writes;
	sum->read_bytes += part->read_bytes;
	sum->write_bytes += part->write_bytes;
}

/* Peers on this host map the header alone, which tells them when the region is gone. */
static int map_header(struct mc_region *region, const struct mc_region_options *options)
{
	const struct mc_host_memory_options ordinary = { 0 };

	if (!(options->flags & MC_REGION_PUBLISHED))
		return 0;
	return mc_host_memory_map(&ordinary, sizeof(struct mc_region_header), true, &region->host);
}

static int place_on_host(struct mc_engine *engine, struct mc_region *region,
			 const struct mc_region_options *options)
{
	const struct mc_host_memory_options wanted = {
		.nodes = options->nodes,
		.page_shift = options->page_shift,
		.flags = options->flags,
	};
	bool published = options->flags & MC_REGION_PUBLISHED;
	bool registers = mc_engine_registers(engine);
	int err;

	region->shift = published ? PUBLISHED_SHIFT : PRIVATE_SHIFT;
	if (registers)
		region->shift = published ? (uint32_t)sysconf(_SC_PAGESIZE) : 0;
	err = mc_host_memory_map(&wanted, region->length + region->shift, published, &region->host);
	if (err)
		return err;
	region->memory = region->host.start + region->shift;
	/* A registration pins every page, and would provide one after the other. */
	return registers ? mc_host_memory_populate(&region->host, NULL, &engine->stopping) : 0;
}

static int take_own(struct mc_region *region, const struct mc_region_options *options)
{
	region->adopted = true;
	region->memory = (uint8_t *)(uintptr_t)options->address;
	return map_header(region, options);
}

static int place_on_device(struct mc_engine *engine, struct mc_region *region,
			   const struct mc_region_options *options)
{
	struct mc_device *device = mc_device_get(options->device);
	uint64_t address = 0;
	int err;

	if (!device)
		return -EINVAL;
	if (mc_engine_transport(engine, MC_TRANSPORT_PLUGIN))
		return -EOPNOTSUPP;
	err = map_header(region, options);
	if (!err)
		err = mc_device_place(device, options->address, options->length, &address);
	if (err)
		return err;
	region->device = device;
	region->adopted = options->address != 0;
	region->memory = (uint8_t *)(uintptr_t)address;
	/* Memory of the caller could be freed while others have it open. */
	region->has_handle = !region->adopted && (options->flags & MC_REGION_PUBLISHED) &&
			     device->ops->ipc_export(device->handle, address, options->length,
						     &region->handle) == 0;
	return 0;
}

/* Whether the mapping is the memory, and not the header alone. */
static bool holds_memory(const struct mc_region *region)
{
	return !region->device && !region->adopted;
}

static bool options_ok(const struct mc_region_options *options)
{
	const uint32_t host_flags = MC_REGION_LOCKED | MC_REGION_INTERLEAVED | MC_REGION_SMALL_PAGES;
	uint32_t shift = options->page_shift;

	if (options->size < sizeof(*options) || options->length == 0 ||
	    options->length > MC_WINDOW_MASK ||
	    options->address + options->length < options->length ||
	    (options->flags & ~(MC_REGION_PUBLISHED | MC_REGION_AT_ADDRESS | host_flags)))
		return false;
	if ((options->flags & MC_REGION_AT_ADDRESS) &&
	    (!(options->flags & MC_REGION_PUBLISHED) || !options->address || options->device ||
	     options->address + options->length > MC_WINDOW_MASK))
		return false;
	if (options->device || options->address)
		return !(options->flags & host_flags) && !shift && !options->nodes;
	if (shift && (shift < 16 || shift > 34))
		return false;
	return (!shift || !(options->flags & MC_REGION_SMALL_PAGES)) &&
	       (options->nodes || !(options->flags & MC_REGION_INTERLEAVED));
}

int mc_region_register(struct mc_engine *engine, const struct mc_region_options *options,
		       struct mc_region_info *info)
{
	struct mc_region *region;
	int id, err;

	if (!options || !info || !options_ok(options))
		return -EINVAL;
	region = calloc(1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	region->users = 1;
	region->host.fd = -1;
	region->length = options->length;
	if (options->device)
		err = place_on_device(engine, region, options);
	else if (options->address)
		err = take_own(region, options);
	else
		err = place_on_host(engine, region, options);
	if (err)
		goto err_unmap;
	if (options->flags & MC_REGION_AT_ADDRESS)
		region->remote_base = options->address;
	else if (options->flags & MC_REGION_PUBLISHED)
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
	info->mapped = holds_memory(region) ? (uintptr_t)region->host.start : 0;
	info->mapped_length = holds_memory(region) ? region->host.length : 0;
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
	bool last, recalled;

	pthread_mutex_lock(&engine->state_lock);
	region = mc_slots_remove(&engine->regions, id);
	pthread_mutex_unlock(&engine->state_lock);
	if (!region)
		return -ESTALE;
	atomic_store(&region->withdrawn, true);
	if (region->host.fd >= 0)
		atomic_store(&header_of(region)->withdrawn, true);
	if (region->remote_base)
		mc_publisher_remove(&engine->publisher, region);
	mc_engine_region_removed(engine, region);
	recalled = region->has_handle &&
		   mc_shm_recall(mc_engine_transport(engine, MC_TRANSPORT_SHM));

	pthread_mutex_lock(&engine->state_lock);
	region->handed_out = region->handed_out && !recalled;
	if (region->host.fd >= 0)
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
		if (region->host.fd >= 0)
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
	if (region->ticket)
		mc_region_ticket_free(region->ticket);
	/* A driver's behaviour is undefined when memory is freed that others have open. */
	if (region->device && !region->adopted && !region->handed_out)
		region->device->ops->release(region->device->handle, (uintptr_t)region->memory);
	mc_host_memory_unmap(&region->host);
	free(region);
}

int mc_region_populate(struct mc_engine *engine, uint32_t id)
{
	struct mc_host_memory memory;
	struct mc_region *region;
	bool last;
	int err;

	pthread_mutex_lock(&engine->state_lock);
	err = mc_region_get_locked(engine, id, 0, 0, &region);
	pthread_mutex_unlock(&engine->state_lock);
	if (err)
		return err;
	memory = region->host;
	if (region->adopted && !region->device)
		memory = (struct mc_host_memory){
			.start = region->memory,
			.length = region->length,
			.page = (uint64_t)sysconf(_SC_PAGESIZE),
			.piece = region->length,
			.fd = -1,
		};
	err = mc_host_memory_populate(&memory, &region->withdrawn, &engine->stopping);
	pthread_mutex_lock(&engine->state_lock);
	last = mc_region_put_locked(region);
	pthread_mutex_unlock(&engine->state_lock);
	if (last)
		mc_region_free(region);
	return err;
}

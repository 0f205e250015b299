// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "common.h"
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

/*
 * Remote addresses are drawn from [2^46, 2^49). In every window they are below 2^52, so exact
 * in a double, and none is an address.
 */
#define BASE_FIRST (1ull << 46)
#define BASE_SPREAD (1ull << 48)
#define BASE_LIMIT (1ull << MC_WINDOW_SHIFT)
#define BASE_GAP HUGE_PAGE

int mc_publisher_init(struct mc_publisher *publisher)
{
	struct mc_published *none = calloc(1, sizeof(*none));
	uint64_t random;

	if (!none)
		return -ENOMEM;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		free(none);
		return -EIO;
	}
	publisher->next_base = (BASE_FIRST + random % (BASE_SPREAD - BASE_FIRST)) & ~(BASE_GAP - 1);
	publisher->readers = NULL;
	pthread_mutex_init(&publisher->lock, NULL);
	atomic_store(&publisher->published, none);
	return 0;
}

void mc_publisher_free(struct mc_publisher *publisher)
{
	struct mc_published *published = atomic_load(&publisher->published);

	free((void *)published->fences);
	free(published);
	pthread_mutex_destroy(&publisher->lock);
}

void mc_reader_add(struct mc_publisher *publisher, struct mc_reader *reader)
{
	pthread_mutex_lock(&publisher->lock);
	reader->next = publisher->readers;
	publisher->readers = reader;
	pthread_mutex_unlock(&publisher->lock);
}

void mc_reader_remove(struct mc_publisher *publisher, struct mc_reader *reader)
{
	struct mc_reader **at;

	pthread_mutex_lock(&publisher->lock);
	for (at = &publisher->readers; *at; at = &(*at)->next) {
		if (*at == reader) {
			*at = reader->next;
			break;
		}
	}
	pthread_mutex_unlock(&publisher->lock);
}

/* Returns when no reader can still see what was unpublished before; lock is held. */
static void wait_for_readers(struct mc_publisher *publisher)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	for (struct mc_reader *reader = publisher->readers; reader; reader = reader->next) {
		uint64_t turn = atomic_load(&reader->turn);

		while ((turn & 1) && atomic_load(&reader->turn) == turn)
			nanosleep(&nap, NULL);
	}
}

static void set_entry(struct mc_published_region *to, struct mc_published_region *from)
{
	to->base = from->base;
	to->memory = from->memory;
	atomic_init(&to->length, atomic_load(&from->length));
}

static uint64_t page_offset(const void *memory)
{
	return (uintptr_t)memory & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

static int draw_base(struct mc_publisher *publisher, struct mc_region *region)
{
	int err = 0;

	pthread_mutex_lock(&publisher->lock);
	if (region->length > BASE_LIMIT - 2 * BASE_GAP - publisher->next_base) {
		err = -ENOSPC;
	} else {
		/* RDMA asks for the same place in a page on both sides. */
		region->remote_base = publisher->next_base;
		if (region->foreign)
			region->remote_base += page_offset(region->memory);
		publisher->next_base += (region->length + 2 * BASE_GAP - 1) & ~(BASE_GAP - 1);
	}
	pthread_mutex_unlock(&publisher->lock);
	return err;
}

static int publish(struct mc_publisher *publisher, struct mc_region *region)
{
	struct mc_published *old, *list;
	int err = 0;

	pthread_mutex_lock(&publisher->lock);
	old = atomic_load(&publisher->published);
	list = malloc(sizeof(*list) + (old->count + 1) * sizeof(list->regions[0]));
	if (!list) {
		err = -ENOMEM;
		goto out;
	}
	list->fences = old->fences;
	list->count = 0;
	for (uint32_t i = 0; i < old->count; i++) {
		if (atomic_load(&old->regions[i].length))
			set_entry(&list->regions[list->count++], &old->regions[i]);
	}
	list->regions[list->count].base = region->remote_base;
	list->regions[list->count].memory = region->memory;
	atomic_init(&list->regions[list->count].length, region->length);
	list->count++;
	atomic_store(&publisher->published, list);
	wait_for_readers(publisher);
	free(old);
out:
	pthread_mutex_unlock(&publisher->lock);
	return err;
}

static void unpublish(struct mc_publisher *publisher, const struct mc_region *region)
{
	struct mc_published *list;
	uint32_t at = 0;

	pthread_mutex_lock(&publisher->lock);
	list = atomic_load(&publisher->published);
	while (list->regions[at].base != region->remote_base)
		at++;
	atomic_store(&list->regions[at].length, 0);
	wait_for_readers(publisher);
	pthread_mutex_unlock(&publisher->lock);
}

int mc_publisher_fence(struct mc_publisher *publisher, struct mc_fence fence)
{
	uint64_t length = fence.end - fence.start;
	const struct mc_fences *before;
	struct mc_published *old, *list;
	int err = 0;

	pthread_mutex_lock(&publisher->lock);
	old = atomic_load(&publisher->published);
	before = old->fences;
	list = malloc(sizeof(*list) + old->count * sizeof(list->regions[0]));
	if (!list) {
		err = -ENOMEM;
		goto out;
	}
	list->fences = NULL;
	list->count = old->count;
	for (uint32_t i = 0; i < old->count; i++)
		set_entry(&list->regions[i], &old->regions[i]);
	if (!mc_published_find(list, fence.start, length))
		err = -EFAULT;
	else if (!(list->fences = mc_fences_with(before, fence)))
		err = -ENOSPC;
	if (err) {
		free(list);
		goto out;
	}
	atomic_store(&publisher->published, list);
	wait_for_readers(publisher);
	free((void *)before);
	free(old);
out:
	pthread_mutex_unlock(&publisher->lock);
	return err;
}

uint8_t *mc_published_find(struct mc_published *published, uint64_t address, uint64_t length)
{
	uint64_t base = address >> MC_WINDOW_SHIFT < MC_WINDOWS ? address & MC_WINDOW_MASK : 0;
	struct mc_published_region *region;
	uint32_t low = 0, high = published->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (published->regions[middle].base <= base)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || length == 0)
		return NULL;
	region = &published->regions[low - 1];
	if (!mc_range_ok(base - region->base, length, atomic_load(&region->length)))
		return NULL;
	if (published->fences && mc_fences_meet(published->fences, address, length))
		return NULL;
	return region->memory + (base - region->base);
}

static uint64_t map_length(const struct mc_region *region)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (region->length + region->shift + page - 1) & ~(page - 1);
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
	return (struct mc_region_header *)(region->memory - region->shift);
}

static void add_counts(struct mc_shared_counts *sum, const struct mc_shared_counts *part)
{
	sum->reads += part->reads;
	sum->writes += part->writes;
	sum->read_bytes += part->read_bytes;
	sum->write_bytes += part->write_bytes;
}

static int make_memory(struct mc_engine *engine, struct mc_region *region, bool published)
{
	uint8_t *memory;

	region->shift = published ? PUBLISHED_SHIFT : PRIVATE_SHIFT;
	if (mc_engine_transport(engine, MC_TRANSPORT_RDMA))
		region->shift = published ? (uint32_t)sysconf(_SC_PAGESIZE) : 0;
	region->fd = published ? make_file(map_length(region)) : -1;
	memory = map_memory(map_length(region), region->fd);
	if (!memory) {
		if (region->fd >= 0)
			close(region->fd);
		return -ENOMEM;
	}
	region->memory = memory + region->shift;
	return 0;
}

int mc_region_register(struct mc_engine *engine, const struct mc_region_options *options,
		       struct mc_region_info *info)
{
	struct mc_region *region;
	int id, err = 0;

	if (!options || !info || options->size < sizeof(*options) || options->length == 0 ||
	    options->length > BASE_LIMIT || (options->flags & ~(uint32_t)MC_REGION_PUBLISHED) ||
	    options->address + options->length < options->length)
		return -EINVAL;
	region = calloc(1, sizeof(*region));
	if (!region)
		return -ENOMEM;
	region->users = 1;
	region->length = options->length;
	region->foreign = options->address != 0;
	region->memory = (uint8_t *)(uintptr_t)options->address;
	region->fd = -1;
	if (!region->foreign)
		err = make_memory(engine, region, options->flags & MC_REGION_PUBLISHED);
	if (err) {
		free(region);
		return err;
	}
	if (options->flags & MC_REGION_PUBLISHED)
		err = draw_base(&engine->publisher, region);
	if (!err)
		err = mc_engine_region_added(engine, region);
	if (err)
		goto err_unmap;
	if (options->flags & MC_REGION_PUBLISHED) {
		err = publish(&engine->publisher, region);
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
		unpublish(&engine->publisher, region);
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
		unpublish(&engine->publisher, region);
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
	if (!region->foreign)
		munmap(region->memory - region->shift, map_length(region));
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
	memory = region->memory - region->shift;
	length = region->foreign ? region->length : map_length(region);
	for (uint64_t at = 0; at < length && !err; at += POPULATE_STEP) {
		uint64_t step = mc_min(POPULATE_STEP, length - at);

		if (atomic_load(&region->withdrawn) || atomic_load(&engine->stopping))
			err = -ECANCELED;
		else if (!region->foreign && madvise(memory + at, step, MADV_POPULATE_WRITE) == 0)
			continue;
		else if (!region->foreign && errno == ENOMEM)
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

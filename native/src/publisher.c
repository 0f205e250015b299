// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "region.h"

/*
 * Remote addresses are drawn from [2^46, 2^49). In every window they are below 2^52, so exact
 * in a double, and none is an address.
 */
#define BASE_FIRST (1ull << 46)
#define BASE_SPREAD (1ull << 48)
#define BASE_LIMIT (1ull << MC_WINDOW_SHIFT)
#define BASE_GAP (2ull << 20)

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
	to->start = from->start;
	atomic_init(&to->length, atomic_load(&from->length));
}

static uint64_t page_offset(const void *memory)
{
	return (uintptr_t)memory & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

int mc_publisher_draw(struct mc_publisher *publisher, struct mc_region *region)
{
	int err = 0;

	pthread_mutex_lock(&publisher->lock);
	if (region->length > BASE_LIMIT - 2 * BASE_GAP - publisher->next_base) {
		err = -ENOSPC;
	} else {
		/* RDMA asks for the same place in a page on both sides. */
		region->remote_base = publisher->next_base;
		if (region->adopted || region->device)
			region->remote_base += page_offset(region->memory);
		publisher->next_base += (region->length + 2 * BASE_GAP - 1) & ~(BASE_GAP - 1);
	}
	pthread_mutex_unlock(&publisher->lock);
	return err;
}

static bool overlap(const struct mc_published_region *entry, const struct mc_region *region)
{
	return entry->base < region->remote_base + region->length &&
	       region->remote_base < entry->base + atomic_load(&entry->length);
}

int mc_publisher_add(struct mc_publisher *publisher, struct mc_region *region)
{
	struct mc_published_region added = {
		.base = region->remote_base,
		.start = { region->memory, region->device },
		.length = region->length,
	};
	struct mc_published *old, *list;
	bool placed = false;
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
		if (!atomic_load(&old->regions[i].length))
			continue;
		if (overlap(&old->regions[i], region)) {
			free(list);
			err = -EEXIST;
			goto out;
		}
		if (!placed && old->regions[i].base > added.base) {
			set_entry(&list->regions[list->count++], &added);
			placed = true;
		}
		set_entry(&list->regions[list->count++], &old->regions[i]);
	}
	if (!placed)
		set_entry(&list->regions[list->count++], &added);
	atomic_store(&publisher->published, list);
	wait_for_readers(publisher);
	free(old);
out:
	pthread_mutex_unlock(&publisher->lock);
	return err;
}

void mc_publisher_remove(struct mc_publisher *publisher, const struct mc_region *region)
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
	if (!mc_published_find(list, fence.start, length).memory)
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

struct mc_place mc_published_find(struct mc_published *published, uint64_t address, uint64_t length)
{
	const struct mc_place none = { NULL, NULL };
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
		return none;
	region = &published->regions[low - 1];
	if (!mc_range_ok(base - region->base, length, atomic_load(&region->length)))
		return none;
	if (published->fences && mc_fences_meet(published->fences, address, length))
		return none;
	return (struct mc_place){ region->start.memory + (base - region->base),
				  region->start.device };
}

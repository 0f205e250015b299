// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common.h"

/* Longest wait for an owner that does not answer. */
#define ANSWER_LIMIT_S 1
#define MAPS_MAX 65536u

struct shm_map *shm_maps_find(struct shm_maps *maps, uint64_t address, uint64_t length)
{
	uint32_t low = 0, high = maps ? maps->count : 0;
	struct shm_map *map;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (maps->maps[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	map = &maps->maps[low - 1];
	if (!mc_range_ok(address - map->base, length, map->length) ||
	    atomic_load(&map->header->withdrawn))
		return NULL;
	return map;
}

static void unmap(struct shm_map *map)
{
	if (map->opened)
		map->device->ops->ipc_close(map->device->handle, (uintptr_t)map->memory);
	munmap(map->header, map->mapped);
}

static int compare_maps(const void *left, const void *right)
{
	const struct shm_map *a = left, *b = right;

	return a->base < b->base ? -1 : a->base > b->base;
}

int shm_owner_connect(const char *name)
{
	const struct timeval limit = { .tv_sec = ANSWER_LIMIT_S };
	struct sockaddr_un address;
	socklen_t length = shm_address(name, &address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, length) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Takes an answer and its descriptors, which are the caller's. */
static int receive(int fd, struct shm_answer *answer, int *descriptors)
{
	union {
		char bytes[CMSG_SPACE(SHM_BATCH * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = { .iov_base = answer, .iov_len = sizeof(*answer) };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	uint32_t count = 0;
	ssize_t got;

	do
		got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		count = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(descriptors, CMSG_DATA(header), count * sizeof(int));
	}
	if (got >= (ssize_t)offsetof(struct shm_answer, offers) && answer->magic == SHM_MAGIC &&
	    answer->count <= SHM_BATCH && answer->count == count &&
	    (size_t)got == offsetof(struct shm_answer, offers) + count * sizeof(answer->offers[0]) &&
	    !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	while (count > 0)
		close(descriptors[--count]);
	return got == 0 ? -ECONNRESET : -EPROTO;
}

/* Opens a handle for the same device of this process; what cannot be had goes over TCP. */
static void open_handle(const struct shm_offer *offer, int owner, struct shm_map *map)
{
	char location[MC_LOCATION_SIZE], why[8];
	struct mc_device_info info;
	struct mc_device *device;
	uint64_t address = 0;
	int id;

	memcpy(location, offer->location, sizeof(location));
	location[sizeof(location) - 1] = 0;
	map->kind = SHM_REMOTE;
	id = mc_device_open(location, &info, why, sizeof(why));
	device = id > 0 ? mc_device_get((uint32_t)id) : NULL;
	if (!device)
		return;
	if (owner == getpid()) {
		/* Drivers open no handle where it was made. */
		map->memory = (uint8_t *)(uintptr_t)offer->address;
	} else if (device->ops->ipc_open(device->handle, &offer->handle, &address) == 0) {
		map->memory = (uint8_t *)(uintptr_t)address;
		map->opened = true;
	} else {
		return;
	}
	map->device = device;
	map->kind = SHM_DEVICE;
}

/* A file that could shrink would end this process when it is touched. */
static int map_offer(const struct shm_offer *offer, int fd, int owner, struct shm_map *map)
{
	bool in_file = offer->kind == SHM_FILE;
	uint64_t size = in_file ? offer->shift + offer->length : sizeof(*map->header);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat file;
	uint8_t *start;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &file) < 0 ||
	    offer->length == 0 || (in_file && offer->shift < sizeof(*map->header)) ||
	    !mc_range_ok(in_file ? offer->shift : 0, in_file ? offer->length : size,
			 (uint64_t)file.st_size))
		return -EPROTO;
	/* All of the file: huge pages cannot be mapped, or unmapped, in part. */
	size = (uint64_t)file.st_size;
	start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (start == MAP_FAILED)
		return -errno;
	madvise(start, size, MADV_DONTFORK);
	madvise(start, size, MADV_DONTDUMP);
	*map = (struct shm_map){
		.mapped = size,
		.base = offer->base,
		.length = offer->length,
		.header = (struct mc_region_header *)start,
		.kind = offer->kind,
		.memory = in_file ? start + offer->shift : (uint8_t *)(uintptr_t)offer->address,
	};
	if (offer->kind == SHM_DEVICE)
		open_handle(offer, owner, map);
	return 0;
}

/* Finds the same registration in old. */
static bool take_over(const struct shm_maps *old, const struct shm_offer *offer, struct shm_map *map)
{
	for (uint32_t i = 0; old && i < old->count; i++) {
		if (old->maps[i].base == offer->base && old->maps[i].length == offer->length) {
			*map = old->maps[i];
			return true;
		}
	}
	return false;
}

static bool holds(const struct shm_maps *maps, const struct shm_map *map)
{
	for (uint32_t i = 0; i < maps->count; i++) {
		if (maps->maps[i].header == map->header)
			return true;
	}
	return false;
}

void shm_maps_free(struct shm_maps *old, const struct shm_maps *next)
{
	for (uint32_t i = 0; old && i < old->count; i++) {
		if (!next || !holds(next, &old->maps[i]))
			unmap(&old->maps[i]);
	}
	free(old);
}

/* Adds what one answer offers to *maps. */
static int take_answer(const struct shm_answer *answer, const int *descriptors, int owner,
		       const struct shm_maps *old, struct shm_maps **maps)
{
	struct shm_maps *more;
	int err = 0;

	if ((*maps)->count + answer->count > MAPS_MAX)
		return -EPROTO;
	more = realloc(*maps, sizeof(*more) + ((*maps)->count + answer->count) * sizeof(more->maps[0]));
	if (!more)
		return -ENOMEM;
	*maps = more;
	for (uint32_t i = 0; i < answer->count && !err; i++) {
		struct shm_map *map = &more->maps[more->count];

		if (!take_over(old, &answer->offers[i], map))
			err = map_offer(&answer->offers[i], descriptors[i], owner, map);
		if (!err)
			more->count++;
	}
	return err;
}

int shm_maps_ask(int fd, const uint8_t *asker, int owner, const struct shm_maps *old,
		 struct shm_maps **asked)
{
	struct shm_question question = { .magic = SHM_MAGIC };
	struct shm_maps *maps = calloc(1, sizeof(*maps));
	int descriptors[SHM_BATCH];
	struct shm_answer answer;
	int err = maps ? 0 : -ENOMEM;

	memcpy(question.asker, asker, sizeof(question.asker));
	if (!err && send(fd, &question, sizeof(question), MSG_NOSIGNAL) < 0)
		err = -errno;
	do {
		if (!err)
			err = receive(fd, &answer, descriptors);
		if (err)
			break;
		err = take_answer(&answer, descriptors, owner, old, &maps);
		for (uint32_t i = 0; i < answer.count; i++)
			close(descriptors[i]);
	} while (!err && answer.more);
	if (!err) {
		qsort(maps->maps, maps->count, sizeof(maps->maps[0]), compare_maps);
		*asked = maps;
		return 0;
	}
	shm_maps_free(maps, old);
	return err;
}

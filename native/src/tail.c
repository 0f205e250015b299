/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "mc/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mc/api.h"
#include "mc/crc32c.h"

/* Room is taken ahead where so many times as much is free. */
enum { PLENTY = 16 };

#define PAGE ((uint64_t)4096)
#define SMALLEST_ROOM (16 * PAGE)

/* Of linux/magic.h. */
#define EXT4_MAGIC 0xef53
#define XFS_MAGIC 0x58465342
#define TMPFS_MAGIC 0x01021994

struct mc_tail {
	int32_t file;
	bool mapped;   /* otherwise groups are written */
	uint8_t *map;  /* of the file from its beginning on, NULL = not yet */
	uint64_t span; /* bytes of the mapping, also beyond the file's end */
	uint64_t at;   /* where the next group begins */
	uint64_t end;  /* of the file: blocks are there for all of it */
};

/* Whether a page that has its blocks can be written to without new ones, now and after a sync. */
static bool writes_in_place(int32_t file)
{
	struct statfs about;

	if (fstatfs(file, &about) != 0)
		return false;
	return about.f_type == EXT4_MAGIC || about.f_type == XFS_MAGIC || about.f_type == TMPFS_MAGIC;
}

static uint64_t free_bytes(int32_t file)
{
	struct statvfs space;

	return fstatvfs(file, &space) == 0 ? (uint64_t)space.f_bavail * space.f_frsize : 0;
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

MC_API int32_t mc_tail_open(const char *path, uint64_t expected, struct mc_tail **out)
{
	struct stat status;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	struct mc_tail *tail = fstat(fd, &status) == 0 ? calloc(1, sizeof(*tail)) : NULL;

	if (tail == NULL) {
		int error = errno;

		close(fd);
		return -error;
	}
	tail->file = fd;
	tail->mapped = writes_in_place(fd);
	tail->at = tail->end = (uint64_t)status.st_size;
	if (expected > 0 && expected <= INT64_MAX / PLENTY &&
	    free_bytes(fd) / PLENTY >= expected)
		(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)expected);
	if (expected <= INT64_MAX / PLENTY)
		tail->span = pages(expected + MC_TAIL_ROOM);
	*out = tail;
	return 0;
}

MC_API int32_t mc_tail_descriptor(const struct mc_tail *tail)
{
	return tail->file;
}

static bool map(struct mc_tail *tail, uint64_t needed)
{
	uint64_t span = tail->span;

	if (tail->map != NULL && needed <= span)
		return true;
	while (span < needed)
		span = span < MC_TAIL_ROOM ? MC_TAIL_ROOM : 2 * span;
	if (tail->map != NULL)
		munmap(tail->map, tail->span);
	void *at = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, tail->file, 0);

	tail->map = at == MAP_FAILED ? NULL : at;
	tail->span = span;
	return tail->map != NULL;
}

/* Makes the file so long, of blocks that it has. */
static int32_t take_room(struct mc_tail *tail, uint64_t needed)
{
	uint64_t room = MC_TAIL_ROOM;

	while (room > SMALLEST_ROOM && free_bytes(tail->file) / PLENTY < room)
		room /= 2;
	uint64_t end = pages(needed) / room * room + room;
	int failed = fallocate(tail->file, 0, (off_t)tail->end, (off_t)(end - tail->end));

	if (failed != 0 && errno == ENOSPC) {
		end = pages(needed);
		failed = fallocate(tail->file, 0, (off_t)tail->end, (off_t)(end - tail->end));
	}
	if (failed != 0)
		return -errno;
	tail->end = end;
	/* What is full need not count as memory of the process. */
	if (tail->map != NULL)
		(void)madvise(tail->map, tail->at / PAGE * PAGE, MADV_DONTNEED);
	return 0;
}

static int32_t store(struct mc_tail *tail, const uint8_t *bytes, uint32_t length)
{
	uint64_t needed = tail->at + length;

	if (needed > tail->end) {
		int32_t code = take_room(tail, needed);

		if (code != 0)
			return code;
	}
	if (!map(tail, needed))
		return -ENOMEM;
	memcpy(tail->map + tail->at, bytes, length);
	tail->at = needed;
	return 0;
}

static int32_t written(struct mc_tail *tail, const uint8_t *bytes, uint32_t length)
{
	for (uint32_t done = 0; done < length;) {
		ssize_t count = pwrite(tail->file, bytes + done, length - done, (off_t)(tail->at + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			int32_t code = count < 0 ? -errno : -ENOSPC;

			(void)!ftruncate(tail->file, (off_t)tail->at);
			return code;
		}
		done += (uint32_t)count;
	}
	tail->at = tail->end = tail->at + length;
	return 0;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void seal(uint8_t *group, uint32_t length, double sequence)
{
	uint64_t bits;

	memcpy(&bits, &sequence, sizeof(bits));
	put_u32(group, length - MC_TAIL_GROUP_HEADER);
	put_u32(group + 4, mc_crc32c(0, group + MC_TAIL_GROUP_HEADER, length - MC_TAIL_GROUP_HEADER));
	put_u32(group + 8, (uint32_t)bits);
	put_u32(group + 12, (uint32_t)(bits >> 32));
	put_u32(group + 16, mc_crc32c(0, group, 16));
}

MC_API int32_t mc_tail_append(struct mc_tail *tail, uint8_t *group, uint32_t length, double sequence)
{
	if (length < MC_TAIL_GROUP_HEADER)
		return -EINVAL;
	seal(group, length, sequence);
	if (tail->mapped) {
		int32_t code = store(tail, group, length);

		/* Only at the beginning: what the file system or the memory do not offer. */
		if (code != -EOPNOTSUPP && code != -ENOMEM && code != -ENODEV)
			return code;
		tail->mapped = false;
		if (tail->end > tail->at && ftruncate(tail->file, (off_t)tail->at) != 0)
			return -errno;
	}
	return written(tail, group, length);
}

MC_API void mc_tail_close(struct mc_tail *tail)
{
	if (tail->map != NULL)
		munmap(tail->map, tail->span);
	/* Also blocks beyond the end go. */
	(void)!ftruncate(tail->file, (off_t)tail->at);
	close(tail->file);
	free(tail);
}

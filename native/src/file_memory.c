// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "mc/file_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

struct extent {
	uint64_t size;  /* bytes that there are */
	uint64_t align; /* of what can be mapped */
	bool device;
};

/* A number that the kernel tells of a character device; 0: it does not. */
static uint64_t device_number(dev_t device, const char *name)
{
	unsigned long long number = 0;
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(device), minor(device), name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &number) != 1)
		number = 0;
	fclose(file);
	return number;
}

static int measure(int fd, struct extent *extent, char *why, uint32_t why_size)
{
	struct stat file;

	if (fstat(fd, &file) < 0)
		return -errno;
	extent->align = (uint64_t)sysconf(_SC_PAGESIZE);
	extent->device = S_ISCHR(file.st_mode);
	extent->size = (uint64_t)file.st_size;
	if (extent->device) {
		uint64_t align = device_number(file.st_rdev, "align");

		extent->size = device_number(file.st_rdev, "size");
		extent->align = align ? align : extent->align;
	}
	if (S_ISREG(file.st_mode) || extent->size)
		return 0;
	snprintf(why, why_size, "it is neither a DAX device nor a file");
	return -EINVAL;
}

static int check(const struct extent *extent, uint64_t length, char *why, uint32_t why_size)
{
	if (length > extent->size) {
		snprintf(why, why_size, "it has %llu bytes, and %llu are asked for",
			 (unsigned long long)extent->size, (unsigned long long)length);
		return -EINVAL;
	}
	if (length == 0 || length % extent->align) {
		snprintf(why, why_size, "%llu bytes are asked for; allowed: multiples of %llu",
			 (unsigned long long)length, (unsigned long long)extent->align);
		return -EINVAL;
	}
	return 0;
}

/* A store is durable in the device's sense only with MAP_SYNC, which ordinary files do not have. */
static int map(int fd, struct mc_file_memory *memory)
{
	void *start = mmap(NULL, memory->length, PROT_READ | PROT_WRITE,
			   MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);

	memory->direct = start != MAP_FAILED;
	if (start == MAP_FAILED)
		start = mmap(NULL, memory->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (start == MAP_FAILED)
		return -errno;
	madvise(start, memory->length, MADV_DONTFORK);
	madvise(start, memory->length, MADV_DONTDUMP);
	memory->address = (uintptr_t)start;
	memory->fd = fd;
	return 0;
}

int mc_file_memory_map(const char *path, uint64_t length, struct mc_file_memory *memory, char *why,
		       uint32_t why_size)
{
	struct mc_file_memory made = { .length = length };
	struct extent extent = { 0 };
	int fd, err;

	if (!path || !memory || !why || why_size == 0)
		return -EINVAL;
	why[0] = 0;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		err = -errno;
		snprintf(why, why_size, "%s", strerror(-err));
		return err;
	}
	err = measure(fd, &extent, why, why_size);
	if (!err)
		err = check(&extent, length, why, why_size);
	if (!err && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (err == -EBUSY)
			snprintf(why, why_size, "another process lends it");
	}
	if (!err && !extent.device)
		err = -posix_fallocate(fd, 0, (off_t)length);
	if (!err)
		err = map(fd, &made);
	if (!err && extent.device)
		made.direct = 1;
	if (!err) {
		*memory = made;
		return 0;
	}
	close(fd);
	if (!why[0])
		snprintf(why, why_size, "%s", strerror(-err));
	return err;
}

int mc_file_memory_unmap(const struct mc_file_memory *memory)
{
	munmap((void *)(uintptr_t)memory->address, memory->length);
	close(memory->fd);
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "mc/file_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What sysfs tells of a character device, in an entry of one line. Returns whether it does. */
static bool device_entry(dev_t device, const char *name, char *text, int size)
{
	char path[80];
	FILE *file;
	bool read;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(device), minor(device), name);
	file = fopen(path, "re");
	if (!file)
		return false;
	read = fgets(text, size, file) != NULL;
	fclose(file);
	return read;
}

/* A number that it tells; 0: none. */
static uint64_t device_number(dev_t device, const char *name)
{
	char text[32];

	return device_entry(device, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* Other character devices have a size, too. */
static bool is_dax(dev_t device)
{
	char path[80], target[256];
	const char *name;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/subsystem", major(device), minor(device));
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = 0;
	name = strrchr(target, '/');
	return name && !strcmp(name, "/dax");
}

/* A DAX device has no size of its own, and is mapped in whole pages of its alignment alone. */
static void measure_device(dev_t device, struct extent *extent)
{
	uint64_t align = device_number(device, "align");

	if (!align) /* where the kernel has devices of the older class */
		align = device_number(device, "device/align");
	extent->device = true;
	extent->size = device_number(device, "size");
	if (align)
		extent->align = align;
}

static int measure(int fd, struct extent *extent, char *why, uint32_t why_size)
{
	struct stat file;

	if (fstat(fd, &file) < 0)
		return -errno;
	extent->align = (uint64_t)sysconf(_SC_PAGESIZE);
	extent->size = (uint64_t)file.st_size;
	if (S_ISREG(file.st_mode))
		return 0;
	if (S_ISCHR(file.st_mode) && is_dax(file.st_rdev)) {
		measure_device(file.st_rdev, extent);
		return 0;
	}
	snprintf(why, why_size, "it is %s; allowed: a DAX device (/dev/daxN.M) or a file",
		 S_ISBLK(file.st_mode)	? "a block device" :
		 S_ISCHR(file.st_mode) ? "a device of another kind" :
					 "no file");
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

/* Only what lies on DAX can be mapped with MAP_SYNC. */
static int map(int fd, bool device, struct mc_file_memory *memory)
{
	void *start = mmap(NULL, memory->length, PROT_READ | PROT_WRITE,
			   MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);

	memory->kind = start == MAP_FAILED ? MC_FILE_PLAIN : MC_FILE_DAX;
	if (device)
		memory->kind = MC_FILE_DAX_DEVICE;
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
		err = map(fd, extent.device, &made);
	if (!err) {
		*memory = made;
		return 0;
	}
	close(fd);
	if (!why[0])
		snprintf(why, why_size, "%s", strerror(-err));
	return err;
}

int mc_file_view_map(const char *path, uint64_t length, struct mc_file_memory *view, char *why,
		     uint32_t why_size)
{
	struct stat file;
	void *start = MAP_FAILED;
	int fd, err = 0;

	if (!path || !view || !why || why_size == 0 || length == 0)
		return -EINVAL;
	why[0] = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &file) < 0) {
		err = -errno;
	} else if (!S_ISREG(file.st_mode) || (uint64_t)file.st_size < length) {
		snprintf(why, why_size, "it is no file of %llu bytes", (unsigned long long)length);
		err = -EINVAL;
	} else {
		start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd,
			     0);
		err = start == MAP_FAILED ? -errno : 0;
	}
	if (err) {
		if (!why[0])
			snprintf(why, why_size, "%s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	madvise(start, length, MADV_DONTFORK);
	madvise(start, length, MADV_DONTDUMP);
	*view = (struct mc_file_memory){ .address = (uintptr_t)start, .length = length, .fd = fd };
	return 0;
}

int mc_file_memory_unmap(const struct mc_file_memory *memory)
{
	munmap((void *)(uintptr_t)memory->address, memory->length);
	close(memory->fd);
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* One file of a segment: what it is, and its bytes. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common.h"

struct measure {
	uint64_t length;
	uint32_t sector;
	bool device;
};

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode) ? "a folder" : S_ISCHR(mode) ? "a character device" : "a pipe or socket";
}

static int measure(int fd, struct measure *found, char *why, uint32_t why_size)
{
	struct stat status;
	int sector = 0;

	if (fstat(fd, &status) < 0)
		return -errno;
	*found = (struct measure){ .length = (uint64_t)status.st_size };
	if (S_ISREG(status.st_mode))
		return 0;
	if (!S_ISBLK(status.st_mode)) {
		snprintf(why, why_size, "it is %s; allowed: a block device or a file",
			 kind_of(status.st_mode));
		return -EINVAL;
	}
	found->device = true;
	if (ioctl(fd, BLKGETSIZE64, &found->length) < 0 || ioctl(fd, BLKSSZGET, &sector) < 0)
		return -errno;
	found->sector = (uint32_t)sector;
	return 0;
}

static void say(char *why, uint32_t why_size, int err)
{
	if (!why[0])
		snprintf(why, why_size, "%s", strerror(-err));
}

int mc_files_measure(const char *path, uint64_t *length, char *why, uint32_t why_size)
{
	struct measure found;
	int fd, err;

	if (!path || !length || !why || why_size == 0)
		return -EINVAL;
	why[0] = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? -errno : measure(fd, &found, why, why_size);
	if (fd >= 0)
		close(fd);
	if (err)
		say(why, why_size, err);
	else
		*length = found.length;
	return err;
}

/* Without O_NONBLOCK a pipe would be waited for. */
static int open_file(const char *path, bool *writable)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	*writable = fd >= 0;
	if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int files_file_open(const char *path, uint64_t length, struct files_file **opened, char *why,
		    uint32_t why_size)
{
	size_t size = strlen(path) + 1;
	struct files_file *file = calloc(1, sizeof(*file) + size);
	struct measure found;
	int err;

	if (!file)
		return -ENOMEM;
	memcpy(file->path, path, size);
	file->length = length;
	file->direct = -1;
	file->fd = open_file(path, &file->writable);
	err = file->fd < 0 ? file->fd : measure(file->fd, &found, why, why_size);
	if (!err && found.length < length) {
		snprintf(why, why_size, "it has %llu bytes, and the segment has %llu of it",
			 (unsigned long long)found.length, (unsigned long long)length);
		err = -EINVAL;
	}
	if (err) {
		say(why, why_size, err);
		files_file_close(file);
		return err;
	}
	file->device = found.device;
	if (found.sector <= FILES_PAGE)
		file->direct = open(path, (file->writable ? O_RDWR : O_RDONLY) | O_DIRECT |
						  O_CLOEXEC | O_NONBLOCK);
	*opened = file;
	return 0;
}

void files_file_close(struct files_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->direct >= 0)
		close(file->direct);
	free(file);
}

/* Reads at least least bytes, at most most. 0, or -EIO where the file ends before. */
static int read_all(int fd, uint8_t *to, uint64_t least, uint64_t most, uint64_t offset)
{
	uint64_t got = 0;

	while (got < least) {
		ssize_t count = pread(fd, to + got, most - got, (off_t)(offset + got));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			return -EIO;
		got += (uint64_t)count;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *from, uint64_t length, uint64_t offset)
{
	uint64_t put = 0;

	while (put < length) {
		ssize_t count = pwrite(fd, from + put, length - put, (off_t)(offset + put));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			return -EIO;
		put += (uint64_t)count;
	}
	return 0;
}

/* Has the next one who looks at a range find what is on the device. */
static void drop_cached(const struct files_file *file, uint64_t offset, uint64_t length)
{
	posix_fadvise(file->fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

int files_read(const struct files_file *file, uint64_t offset, uint64_t length, uint8_t *bounce,
	       uint8_t **begin)
{
	uint64_t low = offset & ~(uint64_t)(FILES_PAGE - 1);
	uint64_t high = (offset + length + FILES_PAGE - 1) & ~(uint64_t)(FILES_PAGE - 1);
	int err = -EINVAL;

	*begin = bounce + (offset - low);
	if (file->direct >= 0)
		err = read_all(file->direct, bounce, offset + length - low, high - low, low);
	if (err != -EINVAL)
		return err;
	if (file->device)
		drop_cached(file, low, high - low);
	return read_all(file->fd, *begin, length, length, offset);
}

/* Waits until the bytes are on the device. */
static int flush(const struct files_file *file, uint64_t offset, uint64_t length)
{
	const unsigned int whole = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				   SYNC_FILE_RANGE_WAIT_AFTER;

	if (sync_file_range(file->fd, (off_t)offset, (off_t)length, whole) == 0)
		return 0;
	if (errno != ENOSYS && errno != EINVAL && errno != ESPIPE)
		return -errno;
	return fdatasync(file->fd) < 0 ? -errno : 0;
}

/*
 * Bytes that are no whole pages. The page is read anew, changed and written by the kernel, which
 * lets no other process of this host into it meanwhile.
 */
static int write_cached(const struct files_file *file, uint64_t offset, uint64_t length,
			const uint8_t *from)
{
	int err;

	drop_cached(file, offset & ~(uint64_t)(FILES_PAGE - 1), length + 2 * FILES_PAGE);
	err = write_all(file->fd, from, length, offset);
	if (!err)
		err = flush(file, offset, length);
	drop_cached(file, offset & ~(uint64_t)(FILES_PAGE - 1), length + 2 * FILES_PAGE);
	return err;
}

static int write_pages(const struct files_file *file, uint64_t offset, uint64_t length,
		       const uint8_t *from)
{
	int err = -EINVAL;

	if (file->direct >= 0)
		err = write_all(file->direct, from, length, offset);
	return err == -EINVAL ? write_cached(file, offset, length, from) : err;
}

int files_write(const struct files_file *file, uint64_t offset, uint64_t length,
		const uint8_t *bounce)
{
	uint64_t base = offset & ~(uint64_t)(FILES_PAGE - 1);
	uint64_t end = offset + length;
	uint64_t head = (offset + FILES_PAGE - 1) & ~(uint64_t)(FILES_PAGE - 1);
	uint64_t tail = end & ~(uint64_t)(FILES_PAGE - 1);
	int err = 0;

	if (head > tail)
		return write_cached(file, offset, length, bounce + (offset - base));
	if (offset < head)
		err = write_cached(file, offset, head - offset, bounce + (offset - base));
	if (!err && head < tail)
		err = write_pages(file, head, tail - head, bounce + (head - base));
	if (!err && tail < end)
		err = write_cached(file, tail, end - tail, bounce + (tail - base));
	return err;
}

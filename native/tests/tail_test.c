// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE

#include "mc/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "mc/crc32c.h"

enum { PAYLOAD = 5000, GROUP = MC_TAIL_GROUP_HEADER + PAYLOAD, HEAD = 4 };

static uint64_t size_of(int file)
{
	struct stat status;

	CHECK_EQ(fstat(file, &status), 0);
	return (uint64_t)status.st_size;
}

static uint32_t u32_at(const uint8_t *bytes)
{
	return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void check_group(const uint8_t *bytes, double sequence, uint8_t fill)
{
	double found;

	CHECK_EQ(u32_at(bytes), PAYLOAD);
	CHECK_EQ(u32_at(bytes + 4), mc_crc32c(0, bytes + MC_TAIL_GROUP_HEADER, PAYLOAD));
	memcpy(&found, bytes + 8, sizeof(found));
	CHECK(found == sequence);
	CHECK_EQ(u32_at(bytes + 16), mc_crc32c(0, bytes, 16));
	for (int i = 0; i < PAYLOAD; i++)
		CHECK_EQ(bytes[MC_TAIL_GROUP_HEADER + i], fill);
}

/* Groups lie one behind the other while the tail is open, and nothing else once it is closed. */
static void groups_follow_each_other(const char *folder, uint64_t expected, int count)
{
	char path[64] = "";
	uint8_t group[GROUP], zeros[4096] = { 0 };
	struct mc_tail *tail = NULL;

	strcat(strcat(path, folder), "/snowskin-tail-XXXXXX");
	int file = mkstemp(path);

	CHECK(file >= 0);
	CHECK_EQ(write(file, "head", HEAD), HEAD);
	CHECK_EQ(mc_tail_open(path, expected, &tail), 0);
	CHECK(mc_tail_descriptor(tail) >= 0);
	for (int i = 0; i < count; i++) {
		memset(group, i + 1, sizeof(group));
		CHECK_EQ(mc_tail_append(tail, group, GROUP, i + 1), 0);
		CHECK_EQ(pread(file, group, GROUP, HEAD + (off_t)i * GROUP), GROUP);
		check_group(group, i + 1, (uint8_t)(i + 1));
	}
	uint64_t length = HEAD + (uint64_t)count * GROUP;

	CHECK(size_of(file) >= length);
	CHECK(size_of(file) <= length + MC_TAIL_ROOM + sizeof(zeros));
	for (uint64_t at = length; at < size_of(file); at += sizeof(group)) {
		memset(group, 1, sizeof(group));
		ssize_t got = pread(file, group, sizeof(group), (off_t)at);

		for (ssize_t i = 0; i < got; i++)
			CHECK_EQ(group[i], 0);
	}
	CHECK_EQ(mc_tail_append(tail, group, MC_TAIL_GROUP_HEADER - 1, 1), -EINVAL);
	CHECK_EQ(fdatasync(mc_tail_descriptor(tail)), 0);
	mc_tail_close(tail);
	CHECK_EQ(size_of(file), length);
	struct stat status;

	CHECK_EQ(fstat(file, &status), 0);
	CHECK((uint64_t)status.st_blocks * 512 < length + ((uint64_t)1 << 16));
	close(file);
	unlink(path);
}

static void a_file_that_is_not_there_is_told(void)
{
	struct mc_tail *tail = NULL;

	CHECK_EQ(mc_tail_open("/nowhere/at/all", 1, &tail), -ENOENT);
	CHECK(tail == NULL);
}

void test_tail(void)
{
	static const char *const folders[] = { "/tmp", "/dev/shm" };

	for (int i = 0; i < 2; i++) {
		if (access(folders[i], W_OK) != 0)
			continue;
		groups_follow_each_other(folders[i], 0, 3);
		/* Beyond what was expected, so that the mapping grows. */
		groups_follow_each_other(folders[i], 1 << 16, 700);
		groups_follow_each_other(folders[i], 1 << 20, 100);
		/* More than any disk has. */
		groups_follow_each_other(folders[i], (uint64_t)1 << 62, 3);
	}
	a_file_that_is_not_there_is_told();
}

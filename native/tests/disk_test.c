// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE

#include "mc/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static void rounds_follow_each_other(void)
{
	char path[] = "/tmp/snowskin-disk-XXXXXX";
	int written = mkstemp(path);
	struct mc_disk_syncer *syncer = NULL;

	CHECK(written >= 0);
	CHECK_EQ(mc_disk_syncer_open(&syncer), 0);
	int32_t file = mc_disk_file_open(path, 0);

	CHECK(file >= 0);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(write(written, "x", 1), 1);
		CHECK_EQ(mc_disk_sync_begin(syncer, &file, 1), 0);
		int32_t second = mc_disk_sync_begin(syncer, &file, 1);

		CHECK(second == -EBUSY || second == 0);
		CHECK_EQ(mc_disk_sync_wait(syncer), 0);
		CHECK_EQ(mc_disk_sync_result(syncer), 0);
	}
	CHECK_EQ(mc_disk_sync_begin(syncer, &file, 1), 0);
	mc_disk_syncer_close(syncer);
	mc_disk_file_close(file);
	close(written);
	unlink(path);
}

static void appends_take_room_ahead_and_give_it_back(void)
{
	char path[] = "/tmp/snowskin-disk-XXXXXX";
	int written = mkstemp(path);
	uint8_t bytes[5000] = { 7 };
	struct stat status;

	CHECK(written >= 0);
	CHECK_EQ(write(written, "head", 4), 4);
	int32_t file = mc_disk_file_open(path, 1 << 20);

	CHECK(file >= 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(mc_disk_file_append(file, bytes, sizeof(bytes)), 0);
	CHECK_EQ(fstat(written, &status), 0);
	CHECK_EQ(status.st_size, 4 + 3 * sizeof(bytes));
	mc_disk_file_close(file);
	CHECK_EQ(fstat(written, &status), 0);
	CHECK_EQ(status.st_size, 4 + 3 * sizeof(bytes));
	CHECK(status.st_blocks * 512 < 1 << 19);
	/* More than any disk has. */
	file = mc_disk_file_open(path, (uint64_t)1 << 62);
	CHECK(file >= 0);
	CHECK_EQ(mc_disk_file_append(file, bytes, 1), 0);
	mc_disk_file_close(file);
	CHECK_EQ(mc_disk_file_append(-1, bytes, 1), -EBADF);
	close(written);
	unlink(path);
}

static void failures_are_told(void)
{
	struct mc_disk_syncer *syncer = NULL;
	int ends[2];

	CHECK_EQ(mc_disk_file_open("/nowhere/at/all", 1), -ENOENT);
	CHECK_EQ(mc_disk_syncer_open(&syncer), 0);
	CHECK_EQ(mc_disk_sync_begin(syncer, NULL, 0), -EINVAL);
	CHECK_EQ(mc_disk_sync_begin(syncer, NULL, MC_DISK_MAX_FILES + 1), -EINVAL);
	/* A pipe cannot be synced. */
	CHECK_EQ(pipe(ends), 0);
	CHECK_EQ(mc_disk_sync_begin(syncer, &ends[1], 1), 0);
	CHECK_EQ(mc_disk_sync_wait(syncer), -EINVAL);
	mc_disk_syncer_close(syncer);
	close(ends[0]);
	close(ends[1]);
}

void test_disk(void)
{
	rounds_follow_each_other();
	appends_take_room_ahead_and_give_it_back();
	failures_are_told();
}

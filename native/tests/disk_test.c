// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE

#include "mc/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static void rounds_follow_each_other(void)
{
	char path[] = "/tmp/snowskin-disk-XXXXXX";
	int written = mkstemp(path);
	struct mc_disk_syncer *syncer = NULL;

	CHECK(written >= 0);
	CHECK_EQ(mc_disk_syncer_open(&syncer), 0);
	int32_t file = open(path, O_RDWR);

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
	close(file);
	close(written);
	unlink(path);
}

static void failures_are_told(void)
{
	struct mc_disk_syncer *syncer = NULL;
	int ends[2];

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
	failures_are_told();
}

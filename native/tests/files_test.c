// SPDX-License-Identifier: Apache-2.0
/* Segments of files (mc/files.h), also on a device that does not answer: pread and pwrite stall. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "mc/files.h"

#define MIB (1ull << 20)
#define LENGTH (3 * MIB + 1000)
#define OTHER 5000ull

/* ---- what stands in for a device that does not answer: calls wait while it is so ---- */

static pthread_mutex_t stall_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stall_changed = PTHREAD_COND_INITIALIZER;
static bool stalled;
static int stalled_calls;

static void set_stalled(bool now)
{
	pthread_mutex_lock(&stall_lock);
	stalled = now;
	pthread_cond_broadcast(&stall_changed);
	pthread_mutex_unlock(&stall_lock);
}

static void pass(void)
{
	pthread_mutex_lock(&stall_lock);
	stalled_calls++;
	pthread_cond_broadcast(&stall_changed);
	while (stalled)
		pthread_cond_wait(&stall_changed, &stall_lock);
	stalled_calls--;
	pthread_cond_broadcast(&stall_changed);
	pthread_mutex_unlock(&stall_lock);
}

/* Waits until so many calls are held. */
static void await_stalled(int calls)
{
	pthread_mutex_lock(&stall_lock);
	while (stalled_calls < calls)
		pthread_cond_wait(&stall_changed, &stall_lock);
	pthread_mutex_unlock(&stall_lock);
}

/* Lets them go, and waits until they have gone. */
static void end_stall(void)
{
	set_stalled(false);
	pthread_mutex_lock(&stall_lock);
	while (stalled_calls > 0)
		pthread_cond_wait(&stall_changed, &stall_lock);
	pthread_mutex_unlock(&stall_lock);
}

ssize_t pread(int fd, void *to, size_t count, off_t offset)
{
	pass();
	return syscall(SYS_pread64, fd, to, count, offset);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t offset)
{
	pass();
	return syscall(SYS_pwrite64, fd, from, count, offset);
}

/* Threads of this process. */
static int count_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	int count = 0;

	CHECK(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static void await_threads(int wanted)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0; count_threads() > wanted; i++) {
		CHECK(i < 20000);
		nanosleep(&nap, NULL);
	}
}

/* ---- a segment of two files, and memory to move bytes from and to ---- */

struct test {
	char folder[32];
	char *paths[2];
	struct mc_engine *engine;
	struct mc_region_info local;
	uint32_t local_id, peer;
	uint8_t *bytes;
};

static uint8_t byte_of(uint64_t at, uint32_t seed)
{
	return (uint8_t)(at * 7 + (at >> 12) + seed);
}

static void make_file(const char *path, uint64_t from, uint64_t length)
{
	FILE *file = fopen(path, "wbe");

	CHECK(file);
	for (uint64_t i = 0; i < length; i++)
		putc(byte_of(from + i, 0), file);
	CHECK_EQ(fclose(file), 0);
}

static uint32_t open_segment(struct mc_engine *engine)
{
	struct mc_peer_options options = { .size = sizeof(options), .transport = MC_TRANSPORT_FILES };
	int id = mc_peer_open(engine, &options);

	CHECK(id > 0);
	return (uint32_t)id;
}

static void open_test(struct test *test)
{
	char why[256];

	strcpy(test->folder, "/tmp/mc-files-XXXXXX");
	CHECK(mkdtemp(test->folder));
	CHECK(asprintf(&test->paths[0], "%s/0", test->folder) > 0);
	CHECK(asprintf(&test->paths[1], "%s/1", test->folder) > 0);
	make_file(test->paths[0], 0, LENGTH);
	make_file(test->paths[1], LENGTH, OTHER + 50);
	test->engine = open_engine();
	test->local_id = open_region(test->engine, 0, 8 * MIB, &test->local);
	test->bytes = (uint8_t *)(uintptr_t)test->local.address;
	test->peer = open_segment(test->engine);
	CHECK_EQ(mc_files_add(test->engine, test->peer, test->paths[0], LENGTH, why, 256), 0);
	CHECK_EQ(mc_files_add(test->engine, test->peer, test->paths[1], OTHER, why, 256), 0);
}

static void close_test(struct test *test)
{
	CHECK_EQ(mc_engine_destroy(test->engine), 0);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(unlink(test->paths[i]), 0);
		free(test->paths[i]);
	}
	CHECK_EQ(rmdir(test->folder), 0);
}

static struct mc_op op_of(const struct test *test, uint32_t opcode, uint64_t remote,
			  uint64_t length)
{
	return (struct mc_op){
		.user_data = 1,
		.local_offset = 3,
		.remote = remote,
		.length = length,
		.region = test->local_id,
		.peer = test->peer,
		.opcode = opcode,
	};
}

static int run(struct test *test, uint32_t opcode, uint64_t remote, uint64_t length,
	       uint32_t timeout_ms)
{
	struct mc_op op = op_of(test, opcode, remote, length);
	struct mc_completion done;

	op.flags = MC_OP_CRC32C;
	CHECK_EQ(mc_submit(test->engine, &op, 1, timeout_ms), 1);
	CHECK_EQ(mc_poll(test->engine, &done, 1, 20000), 1);
	if (done.result == 0)
		CHECK_EQ(done.crc32c, mc_crc32c(0, test->bytes + 3, length));
	return done.result;
}

static uint64_t size_of(const char *path)
{
	struct stat status;

	CHECK_EQ(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

/* ---- tests ---- */

static void bytes_pass(void)
{
	static const uint64_t ranges[][2] = {
		{ 0, 1 },	     { 1, 4095 },	       { 0, 4096 },
		{ 4096, 8192 },	     { 5000, 100 },	       { 4095, 2 },
		{ 4090, 8200 },	     { MIB - 1, 2 },	       { 0, LENGTH + OTHER },
		{ 7, LENGTH - 7 },   { LENGTH - 1, 2 },	       { LENGTH, OTHER },
		{ MIB - 50, 2 * MIB }, { LENGTH - 5000, 9000 }, { LENGTH + OTHER - 1, 1 },
	};
	static uint8_t mirror[LENGTH + OTHER];
	struct test test;

	open_test(&test);
	for (uint64_t i = 0; i < sizeof(mirror); i++)
		mirror[i] = byte_of(i, 0);
	for (uint32_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t at = ranges[i][0], length = ranges[i][1];

		memset(test.bytes, 0xee, 8 * MIB);
		CHECK_EQ(run(&test, MC_OP_READ, at, length, 20000), 0);
		CHECK_EQ(memcmp(test.bytes + 3, mirror + at, length), 0);
		CHECK_EQ(test.bytes[2], 0xee);
		CHECK_EQ(test.bytes[3 + length], 0xee);
		for (uint64_t k = 0; k < length; k++)
			test.bytes[3 + k] = mirror[at + k] = byte_of(k, i);
		CHECK_EQ(run(&test, MC_OP_WRITE, at, length, 20000), 0);
		CHECK_EQ(run(&test, MC_OP_READ, 0, sizeof(mirror), 20000), 0);
		CHECK_EQ(memcmp(test.bytes + 3, mirror, sizeof(mirror)), 0);
	}
	CHECK_EQ(size_of(test.paths[0]), LENGTH);
	CHECK_EQ(size_of(test.paths[1]), OTHER + 50);
	close_test(&test);
}

/* Threads write into the same pages at a time, and none undoes what another one did. */
static void neighbours_are_left_alone(void)
{
	struct mc_op ops[512];
	struct test test;

	open_test(&test);
	for (uint32_t i = 0; i < 512; i++) {
		ops[i] = op_of(&test, MC_OP_WRITE, 100 + i * 37, 37);
		ops[i].local_offset = i * 37;
	}
	for (uint64_t i = 0; i < sizeof(ops) / sizeof(ops[0]) * 37; i++)
		test.bytes[i] = byte_of(i, 9);
	CHECK_EQ(mc_submit(test.engine, ops, 512, 20000), 512);
	expect_results(test.engine, 512, 0);
	CHECK_EQ(run(&test, MC_OP_READ, 0, 40000, 20000), 0);
	for (uint64_t i = 0; i < 40000; i++) {
		bool written = i >= 100 && i < 100 + 512 * 37;

		CHECK_EQ(test.bytes[3 + i], written ? byte_of(i - 100, 9) : byte_of(i, 0));
	}
	close_test(&test);
}

static void what_is_wrong_is_refused(void)
{
	struct test test;
	uint64_t length;
	char why[256];

	open_test(&test);
	CHECK_EQ(run(&test, MC_OP_READ, LENGTH + OTHER - 1, 2, 20000), -EFAULT);
	CHECK_EQ(run(&test, MC_OP_WRITE, LENGTH + OTHER, 1, 20000), -EFAULT);
	CHECK_EQ(run(&test, MC_OP_READ, UINT64_MAX, 1, 20000), -EFAULT);
	CHECK_EQ(run(&test, MC_OP_READ, 0, 1, 20000), 0);
	CHECK_EQ(mc_files_add(test.engine, test.peer, test.paths[0], 1, why, 256), -EBUSY);
	CHECK_EQ(mc_files_add(test.engine, 12345, test.paths[0], 1, why, 256), -ESTALE);
	test.peer = open_segment(test.engine);
	CHECK_EQ(mc_files_add(test.engine, test.peer, "/nonexistent", 1, why, 256), -ENOENT);
	CHECK_EQ(strcmp(why, "No such file or directory"), 0);
	CHECK_EQ(mc_files_add(test.engine, test.peer, "/dev/null", 1, why, 256), -EINVAL);
	CHECK(strstr(why, "a character device; allowed: a block device or a file"));
	CHECK_EQ(mc_files_add(test.engine, test.peer, test.folder, 1, why, 256), -EISDIR);
	CHECK_EQ(mc_files_add(test.engine, test.peer, test.paths[1], OTHER + 51, why, 256), -EINVAL);
	CHECK_EQ(strcmp(why, "it has 5050 bytes, and the segment has 5051 of it"), 0);
	CHECK_EQ(mc_files_add(test.engine, test.peer, test.paths[1], 0, why, 256), -EINVAL);
	CHECK_EQ(run(&test, MC_OP_READ, 0, 1, 20000), -EFAULT);
	CHECK_EQ(mc_files_measure(test.paths[1], &length, why, 256), 0);
	CHECK_EQ(length, OTHER + 50);
	CHECK_EQ(mc_files_measure("/nonexistent", &length, why, 256), -ENOENT);
	close_test(&test);
}

static void a_shorter_file_fails(void)
{
	struct test test;
	char text[600];

	open_test(&test);
	CHECK_EQ(mc_files_failure(test.engine, test.peer, text, sizeof(text)), 0);
	CHECK_EQ(text[0], 0);
	CHECK_EQ(truncate(test.paths[0], 100), 0);
	CHECK_EQ(run(&test, MC_OP_READ, 0, 100, 20000), 0);
	CHECK_EQ(run(&test, MC_OP_READ, 90, 20, 20000), -EIO);
	CHECK_EQ(mc_files_failure(test.engine, test.peer, text, sizeof(text)), 0);
	CHECK(strstr(text, "READ of 20 bytes at 90 of /tmp/mc-files-"));
	CHECK_EQ(mc_files_failure(test.engine, 12345, text, sizeof(text)), -ESTALE);
	close_test(&test);
}

/* Its time is over, or it is cancelled: it ends, and nothing reaches its memory afterwards. */
static void overdue_work_ends(void)
{
	struct mc_completion done;
	struct test test;
	struct mc_op op;

	open_test(&test);
	memset(test.bytes, 0xee, 8 * MIB);
	set_stalled(true);
	CHECK_EQ(run(&test, MC_OP_READ, 0, 2 * MIB, 20), -ETIMEDOUT);
	CHECK_EQ(run(&test, MC_OP_WRITE, 0, 3 * MIB, 20), -ETIMEDOUT);
	op = op_of(&test, MC_OP_READ, 0, 100);
	CHECK_EQ(mc_submit(test.engine, &op, 1, 60000), 1);
	CHECK_EQ(mc_cancel(test.engine, 1, UINT64_MAX), 1);
	CHECK_EQ(mc_poll(test.engine, &done, 1, 20000), 1);
	CHECK_EQ(done.result, -ETIMEDOUT);
	end_stall();
	CHECK_EQ(run(&test, MC_OP_READ, LENGTH, OTHER, 20000), 0);
	for (uint64_t i = 0; i < OTHER; i++)
		CHECK_EQ(test.bytes[3 + i], byte_of(LENGTH + i, 0));
	for (uint64_t i = OTHER + 3; i < 8 * MIB; i++)
		CHECK_EQ(test.bytes[i], 0xee);
	close_test(&test);
}

static void a_closed_segment_waits_for_nothing(void)
{
	struct mc_completion done;
	struct test test;
	struct mc_op op;
	int before = count_threads();

	open_test(&test);
	set_stalled(true);
	op = op_of(&test, MC_OP_READ, 0, 3 * MIB);
	CHECK_EQ(mc_submit(test.engine, &op, 1, 60000), 1);
	await_stalled(3);
	CHECK_EQ(mc_peer_close(test.engine, test.peer), 0);
	CHECK_EQ(mc_poll(test.engine, &done, 1, 20000), 1);
	CHECK_EQ(done.result, -ECANCELED);
	/* The engine goes, and the threads that are held after it. */
	close_test(&test);
	CHECK_EQ(count_threads(), before + 3);
	set_stalled(false);
	await_threads(before);
}

static void a_stopped_engine_ends_all(void)
{
	struct mc_completion done;
	struct test test;
	struct mc_op op;

	open_test(&test);
	set_stalled(true);
	op = op_of(&test, MC_OP_WRITE, 0, LENGTH + OTHER);
	CHECK_EQ(mc_submit(test.engine, &op, 1, 60000), 1);
	await_stalled(4);
	CHECK_EQ(mc_engine_shutdown(test.engine), 0);
	CHECK_EQ(mc_wait(test.engine, &done, 1, 0, 0, 0), 1);
	CHECK_EQ(done.result, -ECANCELED);
	set_stalled(false);
	close_test(&test);
}

void test_files(void)
{
	bytes_pass();
	neighbours_are_left_alone();
	what_is_wrong_is_refused();
	a_shorter_file_fails();
	overdue_work_ends();
	a_closed_segment_waits_for_nothing();
	a_stopped_engine_ends_all();
}

// SPDX-License-Identifier: Apache-2.0
/* Every function of the device interface, on the stand-ins for the drivers. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/device/device.h"
#include "../src/device/stage.h"
#include "device.h"
#include "mc/crc32c.h"

static struct mc_device *open_at(const char *location)
{
	struct mc_device_info info;
	char why[256];
	int id = mc_device_open(location, &info, why, sizeof(why));

	CHECK(id > 0);
	CHECK_EQ(mc_device_open(location, &info, why, sizeof(why)), id);
	CHECK(strcmp(info.location, location) == 0);
	CHECK(strstr(info.name, "stand-in") != NULL);
	CHECK(info.total > 0 && info.unused <= info.total);
	return mc_device_get((uint32_t)id);
}

static void wrong_locations_are_refused_in_one_line(void)
{
	static const struct {
		const char *location;
		int result;
		const char *text;
	} cases[] = {
		{ "", -EINVAL, "allowed: cuda:N" },
		{ "cuda", -EINVAL, "allowed: cuda:N" },
		{ "cuda:", -EINVAL, "allowed: cuda:N" },
		{ "cuda:x", -EINVAL, "allowed: cuda:N" },
		{ "cuda:0 ", -EINVAL, "allowed: cuda:N" },
		{ "cuda:-1", -EINVAL, "allowed: cuda:N" },
		{ "cuda:00000", -EINVAL, "allowed: cuda:N" },
		{ "cpu:0", -EINVAL, "allowed: cuda:N" },
		{ "cuda:9", -ENODEV, "there is no cuda:9" },
		{ "npu:1", -ENODEV, "there is no npu:1: the ascend driver has 1 device" },
	};
	struct mc_device_info info;
	char why[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(mc_device_open(cases[i].location, &info, why, sizeof(why)),
			 cases[i].result);
		CHECK(strstr(why, cases[i].text) != NULL);
		CHECK(strchr(why, '\n') == NULL);
	}
	CHECK_EQ(mc_device_open(NULL, &info, why, sizeof(why)), -EINVAL);
	CHECK(mc_device_get(0) == NULL);
	CHECK(mc_device_get(1000) == NULL);
}

/* Without a driver the line names its library. A process of its own: a load is for good. */
static void a_missing_library_is_named(void)
{
	struct mc_device_info info;
	char why[256];
	int status;
	pid_t child = fork();

	if (child == 0) {
		unsetenv("SNOWSKIN_ASCEND_LIBRARY");
		setenv("SNOWSKIN_CUDA_LIBRARY", "/nowhere/libcuda.so.1", 1);
		if (mc_device_open("cuda:0", &info, why, sizeof(why)) != -ENODEV ||
		    strcmp(why, "/nowhere/libcuda.so.1 cannot be loaded") != 0)
			_exit(1);
		if (mc_device_open("npu:0", &info, why, sizeof(why)) != -ENODEV ||
		    strcmp(why, "libascendcl.so cannot be loaded") != 0)
			_exit(2);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

static void copies_go_by_stream_and_event(struct mc_device *device)
{
	const struct mc_device_ops *ops = device->ops;
	const uint64_t length = 1 << 20;
	void *stream, *event, *pinned, *back;
	uint64_t address, other;
	void *h = device->handle;

	CHECK_EQ(ops->allocate(h, length, &address), 0);
	CHECK_EQ(ops->allocate(h, length, &other), 0);
	CHECK_EQ(ops->clear(h, address, length), 0);
	CHECK_EQ(ops->host_allocate(h, length, &pinned), 0);
	CHECK_EQ(ops->host_allocate(h, length, &back), 0);
	CHECK_EQ(ops->stream_open(h, &stream), 0);
	CHECK_EQ(ops->event_open(h, &event), 0);

	memset(pinned, 'a', length);
	memset(back, 0, length);
	CHECK_EQ(ops->copy(h, stream, MC_COPY_TO_DEVICE, address, (uintptr_t)pinned, length), 0);
	CHECK_EQ(ops->copy(h, stream, MC_COPY_ON_DEVICE, other, address, length), 0);
	CHECK_EQ(ops->copy(h, stream, MC_COPY_FROM_DEVICE, (uintptr_t)back, other, length), 0);
	CHECK_EQ(ops->event_record(h, event, stream), 0);
	CHECK_EQ(ops->event_ready(h, event), -EAGAIN); /* the stand-in is late on purpose */
	CHECK_EQ(ops->event_wait(h, event), 0);
	CHECK_EQ(ops->event_ready(h, event), 0);
	CHECK(memcmp(pinned, back, length) == 0);
	CHECK_EQ(ops->copy(h, stream, 3, address, other, 1), -EINVAL);
	CHECK_EQ(ops->copy(h, stream, MC_COPY_TO_DEVICE, address + 1, (uintptr_t)pinned, length),
		 -EINVAL);
	CHECK_EQ(ops->stream_wait(h, stream), 0);

	CHECK_EQ(ops->event_close(h, event), 0);
	CHECK_EQ(ops->stream_close(h, stream), 0);
	CHECK_EQ(ops->host_release(h, pinned), 0);
	CHECK_EQ(ops->host_release(h, back), 0);
	CHECK_EQ(ops->release(h, address), 0);
	CHECK_EQ(ops->release(h, other), 0);
	CHECK_EQ(ops->release(h, other), -EINVAL);
}

static void pointers_are_told_apart(struct mc_device *device)
{
	const struct mc_device_ops *ops = device->ops;
	struct mc_pointer_info info;
	uint8_t ordinary[4096] __attribute__((aligned(4096)));
	uint64_t address;
	void *pinned;

	CHECK_EQ(ops->allocate(device->handle, 8192, &address), 0);
	CHECK_EQ(ops->kind_of(device->handle, address + 100, &info), 0);
	CHECK_EQ(info.kind, MC_MEMORY_DEVICE);
	CHECK_EQ(info.ordinal, 0);
	CHECK_EQ(info.start, address);
	CHECK_EQ(info.length, 8192);
	CHECK_EQ(ops->release(device->handle, address), 0);
	CHECK_EQ(ops->kind_of(device->handle, address, &info), 0);
	CHECK_EQ(info.kind, MC_MEMORY_HOST);

	CHECK_EQ(ops->host_allocate(device->handle, 4096, &pinned), 0);
	CHECK_EQ(ops->kind_of(device->handle, (uintptr_t)pinned, &info), 0);
	CHECK_EQ(info.kind, MC_MEMORY_PINNED);
	CHECK_EQ(ops->host_release(device->handle, pinned), 0);

	CHECK_EQ(ops->kind_of(device->handle, (uintptr_t)ordinary, &info), 0);
	CHECK_EQ(info.kind, MC_MEMORY_HOST);
	CHECK_EQ(ops->host_pin(device->handle, ordinary, sizeof(ordinary)), 0);
	CHECK_EQ(ops->kind_of(device->handle, (uintptr_t)ordinary, &info), 0);
	CHECK_EQ(info.kind, MC_MEMORY_PINNED);
	CHECK_EQ(ops->host_unpin(device->handle, ordinary), 0);
	CHECK_EQ(ops->host_unpin(device->handle, ordinary), -EINVAL);
}

/* Another process opens the allocation by its handle, adds to it, and both see one memory. */
static void another_process_opens_an_allocation(struct mc_device *device)
{
	const struct mc_device_ops *ops = device->ops;
	struct mc_stages stages = { NULL };
	struct mc_ipc_handle handle;
	uint8_t bytes[100], back[100];
	uint64_t address;
	int pipe_fds[2], status;
	pid_t child;

	CHECK_EQ(pipe(pipe_fds), 0);
	/* Forked before any thread of a stream runs, which a child would not have. */
	child = fork();
	if (child == 0) {
		uint64_t mapped;
		struct mc_stage *stage;

		if (read(pipe_fds[0], &handle, sizeof(handle)) != sizeof(handle))
			_exit(1);
		if (ops->ipc_open(device->handle, &handle, &mapped))
			_exit(2);
		stage = mc_stages_get(&stages, device);
		if (!stage || mc_stage_load(stage, back, mapped + 5, sizeof(back)))
			_exit(3);
		for (size_t i = 0; i < sizeof(back); i++) {
			if (back[i] != (uint8_t)i)
				_exit(4);
		}
		memset(back, 'z', sizeof(back));
		if (mc_stage_store(stage, mapped + 5, back, sizeof(back)))
			_exit(5);
		mc_stages_free(&stages);
		_exit(ops->ipc_close(device->handle, mapped) ? 6 : 0);
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	CHECK_EQ(ops->allocate(device->handle, 4096, &address), 0);
	CHECK_EQ(mc_stage_store(mc_stages_get(&stages, device), address + 5, bytes, sizeof(bytes)),
		 0);
	CHECK_EQ(ops->ipc_export(device->handle, address, 4096, &handle), 0);
	CHECK_EQ(write(pipe_fds[1], &handle, sizeof(handle)), sizeof(handle));
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(mc_stage_load(mc_stages_get(&stages, device), back, address + 5, sizeof(back)), 0);
	CHECK(back[0] == 'z' && back[99] == 'z');
	mc_stages_free(&stages);
	CHECK_EQ(ops->release(device->handle, address), 0);
	CHECK_EQ(ops->ipc_export(device->handle, address, 4096, &handle), -EINVAL);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void a_dma_buf_names_the_memory(struct mc_device *device)
{
	const struct mc_device_ops *ops = device->ops;
	uint64_t address;
	uint8_t *seen;
	int fd = -1;

	CHECK_EQ(ops->allocate(device->handle, 8192, &address), 0);
	CHECK_EQ(ops->clear(device->handle, address, 8192), 0);
	CHECK_EQ(ops->dmabuf(device->handle, address, 100, &fd), -EINVAL);
	CHECK_EQ(ops->dmabuf(device->handle, address, 8192, &fd), 0);
	seen = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(seen != MAP_FAILED);
	CHECK(seen[0] == 0 && seen[8191] == 0);
	munmap(seen, 8192);
	close(fd);
	CHECK_EQ(ops->release(device->handle, address), 0);
}

/* Many chunks, odd places, and the same buffer used at once again: a copy not waited for shows. */
static void a_stage_carries_bytes_in_chunks(struct mc_device *device)
{
	const uint64_t sizes[] = { 1, 4095, 256 << 10, (256 << 10) + 1, (5 << 20) + 7 };
	const uint64_t room = 6 << 20;
	struct mc_stages stages = { NULL };
	uint8_t *bytes = malloc(room), *back = malloc(room);
	struct mc_stage *stage = mc_stages_get(&stages, device);
	uint64_t address;

	CHECK(bytes && back && stage);
	CHECK(mc_stages_get(&stages, device) == stage);
	CHECK_EQ(device->ops->allocate(device->handle, room, &address), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t at = address + 3 + i;
		uint32_t crc = 0;

		for (uint64_t k = 0; k < sizes[i]; k++)
			bytes[k] = (uint8_t)(k * 31 + (k >> 13) + i);
		memset(back, 0, sizes[i]);
		CHECK_EQ(mc_stage_store(stage, at, bytes, sizes[i]), 0);
		CHECK_EQ(mc_stage_load(stage, back, at, sizes[i]), 0);
		CHECK(memcmp(bytes, back, sizes[i]) == 0);
		CHECK_EQ(mc_stage_crc32c(stage, at, sizes[i], &crc), 0);
		CHECK_EQ(crc, mc_crc32c(0, bytes, sizes[i]));
	}
	mc_stages_free(&stages);
	CHECK(stages.first == NULL);
	CHECK_EQ(device->ops->release(device->handle, address), 0);
	free(bytes);
	free(back);
}

static void what_the_driver_refuses_is_an_error(struct mc_device *device)
{
	static const char *const setup[] = { "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate" };
	static const char *const use[] = { "cuMemcpyHtoDAsync_v2", "cuEventRecord",
					   "cuEventSynchronize", "cuStreamSynchronize" };
	const struct mc_device_ops *ops = device->ops;
	struct mc_stages stages = { NULL };
	uint8_t *bytes = calloc(1, 3 << 20);
	uint64_t address, huge;
	int before = cuda_left();

	CHECK_EQ(ops->allocate(device->handle, 1ull << 40, &huge), -ENOMEM);
	for (size_t i = 0; i < sizeof(setup) / sizeof(setup[0]); i++) {
		cuda_fails(setup[i], 0);
		CHECK(mc_stages_get(&stages, device) == NULL);
		CHECK_EQ(cuda_left(), before);
	}
	CHECK_EQ(ops->allocate(device->handle, 3 << 20, &address), 0);
	for (size_t i = 0; i < sizeof(use) / sizeof(use[0]); i++) {
		cuda_fails(use[i], 0);
		CHECK_EQ(mc_stage_store(mc_stages_get(&stages, device), address, bytes, 3 << 20),
			 -EREMOTEIO);
		CHECK_EQ(mc_stage_store(mc_stages_get(&stages, device), address, bytes, 3 << 20),
			 0);
	}
	cuda_fails("cuMemcpyDtoHAsync_v2", 2);
	CHECK_EQ(mc_stage_load(mc_stages_get(&stages, device), bytes, address, 3 << 20),
		 -EREMOTEIO);
	mc_stages_free(&stages);
	CHECK_EQ(ops->release(device->handle, address), 0);
	CHECK_EQ(cuda_left(), before);
	free(bytes);
}

void test_device(void)
{
	struct mc_device *cuda, *npu;
	struct mc_pointer_info info;
	int fd;

	a_missing_library_is_named();
	cuda = open_at("cuda:0");
	another_process_opens_an_allocation(cuda);
	npu = open_at("npu:0");
	another_process_opens_an_allocation(npu);
	wrong_locations_are_refused_in_one_line();
	copies_go_by_stream_and_event(cuda);
	pointers_are_told_apart(cuda);
	a_dma_buf_names_the_memory(cuda);
	a_stage_carries_bytes_in_chunks(cuda);
	what_the_driver_refuses_is_an_error(cuda);

	CHECK(strstr(npu->ops->standing, "not yet run on hardware") != NULL);
	copies_go_by_stream_and_event(npu);
	a_stage_carries_bytes_in_chunks(npu);
	CHECK_EQ(npu->ops->kind_of(npu->handle, 1, &info), -EOPNOTSUPP);
	CHECK_EQ(npu->ops->dmabuf(npu->handle, 4096, 4096, &fd), -EOPNOTSUPP);
}

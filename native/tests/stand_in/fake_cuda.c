// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for libcuda.so.1, for tests: the functions of the driver that the shim uses, over
 * gpu.c. Two devices. Calls without a current context are refused, as the driver refuses them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu.h"

#define EXPORT __attribute__((visibility("default")))
#define DEVICES 2
#define DEPTH 8
#define PINS 1024

enum {
	INVALID_VALUE = 1,
	OUT_OF_MEMORY = 2,
	NOT_INITIALIZED = 3,
	INVALID_DEVICE = 101,
	INVALID_CONTEXT = 201,
	NOT_READY = 600,
	ILLEGAL_ADDRESS = 700,
	ALREADY_PINNED = 712,
};

static int started;
static char contexts[DEVICES];
static _Thread_local void *stack[DEPTH];
static _Thread_local int depth;

static pthread_mutex_t pin_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uint8_t *start;
	size_t length;
} pins[PINS];

static int code(enum gpu_result result)
{
	static const int codes[] = {
		[GPU_OK] = 0,
		[GPU_INVALID] = INVALID_VALUE,
		[GPU_NO_MEMORY] = OUT_OF_MEMORY,
		[GPU_NOT_READY] = NOT_READY,
	};

	return codes[result];
}

/* What every call but those on devices and contexts begins with. */
#define BEGIN()                                 \
	do {                                    \
		if (!started)                   \
			return NOT_INITIALIZED; \
		if (!depth)                     \
			return INVALID_CONTEXT; \
		if (gpu_fails(__func__))        \
			return ILLEGAL_ADDRESS; \
	} while (0)

EXPORT int cuInit(unsigned int flags)
{
	if (flags)
		return INVALID_VALUE;
	fprintf(stderr, "stand-in for libcuda.so.1: there is no GPU behind it\n");
	started = 1;
	return 0;
}

EXPORT int cuDeviceGetCount(int *count)
{
	*count = DEVICES;
	return started ? 0 : NOT_INITIALIZED;
}

EXPORT int cuDeviceGet(int *device, int ordinal)
{
	*device = ordinal;
	return ordinal < 0 || ordinal >= DEVICES ? INVALID_DEVICE : 0;
}

EXPORT int cuDeviceGetName(char *name, int length, int device)
{
	(void)device;
	snprintf(name, (size_t)length, GPU_NAME);
	return 0;
}

EXPORT int cuDevicePrimaryCtxRetain(void **context, int device)
{
	if (gpu_fails(__func__))
		return OUT_OF_MEMORY;
	*context = &contexts[device];
	return 0;
}

EXPORT int cuCtxPushCurrent_v2(void *context)
{
	if (depth == DEPTH)
		return INVALID_VALUE;
	stack[depth++] = context;
	return 0;
}

EXPORT int cuCtxPopCurrent_v2(void **context)
{
	if (!depth)
		return INVALID_CONTEXT;
	*context = stack[--depth];
	return 0;
}

EXPORT int cuCtxSynchronize(void)
{
	BEGIN();
	return code(gpu_wait_all());
}

EXPORT int cuMemGetInfo_v2(size_t *unused, size_t *total)
{
	BEGIN();
	gpu_room(unused, total);
	return 0;
}

EXPORT int cuMemAlloc_v2(uint64_t *address, size_t length)
{
	BEGIN();
	return code(gpu_allocate(length, address));
}

EXPORT int cuMemFree_v2(uint64_t address)
{
	BEGIN();
	return code(gpu_release(address));
}

EXPORT int cuMemsetD8_v2(uint64_t address, unsigned char value, size_t length)
{
	BEGIN();
	return code(gpu_clear(address, value, length));
}

EXPORT int cuMemGetAddressRange_v2(uint64_t *start, size_t *length, uint64_t address)
{
	BEGIN();
	return code(gpu_range(address, start, length));
}

static int pin_at(const void *memory)
{
	const uint8_t *at = memory;

	for (int i = 0; i < PINS; i++) {
		if (pins[i].start && at >= pins[i].start && at < pins[i].start + pins[i].length)
			return i;
	}
	return -1;
}

static int pin(void *memory, size_t length)
{
	int result = ALREADY_PINNED;

	pthread_mutex_lock(&pin_lock);
	for (int i = 0; i < PINS && result && pin_at(memory) < 0; i++) {
		if (pins[i].start)
			continue;
		pins[i].start = memory;
		pins[i].length = length;
		result = 0;
	}
	pthread_mutex_unlock(&pin_lock);
	return result;
}

static int unpin(void *memory, size_t *length)
{
	int at;

	pthread_mutex_lock(&pin_lock);
	at = pin_at(memory);
	if (at >= 0 && pins[at].start != memory)
		at = -1;
	if (at >= 0) {
		*length = pins[at].length;
		pins[at].start = NULL;
	}
	pthread_mutex_unlock(&pin_lock);
	return at < 0 ? INVALID_VALUE : 0;
}

EXPORT int cuPointerGetAttribute(void *value, int attribute, uint64_t address)
{
	size_t length;
	uint64_t start;
	int pinned;

	BEGIN();
	pthread_mutex_lock(&pin_lock);
	pinned = pin_at((void *)(uintptr_t)address) >= 0;
	pthread_mutex_unlock(&pin_lock);
	if (gpu_range(address, &start, &length) && !pinned)
		return INVALID_VALUE;
	switch (attribute) {
	case 2:
		*(unsigned int *)value = pinned ? 1 : 2;
		return 0;
	case 8:
		*(unsigned int *)value = 0;
		return 0;
	case 9:
		*(int *)value = 0;
		return 0;
	default:
		return INVALID_VALUE;
	}
}

EXPORT int cuMemHostAlloc(void **memory, size_t length, unsigned int flags)
{
	BEGIN();
	(void)flags;
	*memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return *memory == MAP_FAILED ? OUT_OF_MEMORY : pin(*memory, length);
}

EXPORT int cuMemFreeHost(void *memory)
{
	size_t length = 0;
	int result;

	BEGIN();
	result = unpin(memory, &length);
	if (!result)
		munmap(memory, length);
	return result;
}

EXPORT int cuMemHostRegister_v2(void *memory, size_t length, unsigned int flags)
{
	BEGIN();
	(void)flags;
	return pin(memory, length);
}

EXPORT int cuMemHostUnregister(void *memory)
{
	size_t length;

	BEGIN();
	return unpin(memory, &length);
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t length, void *stream)
{
	BEGIN();
	return code(gpu_copy(stream, to, 1, (uintptr_t)from, 0, length));
}

EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t length, void *stream)
{
	BEGIN();
	return code(gpu_copy(stream, (uintptr_t)to, 0, from, 1, length));
}

EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t length, void *stream)
{
	BEGIN();
	return code(gpu_copy(stream, to, 1, from, 1, length));
}

EXPORT int cuStreamCreate(void **stream, unsigned int flags)
{
	BEGIN();
	(void)flags;
	return code(gpu_stream_open((struct gpu_stream **)stream));
}

EXPORT int cuStreamDestroy_v2(void *stream)
{
	BEGIN();
	return code(gpu_stream_close(stream));
}

EXPORT int cuStreamSynchronize(void *stream)
{
	BEGIN();
	return code(gpu_stream_wait(stream));
}

EXPORT int cuEventCreate(void **event, unsigned int flags)
{
	BEGIN();
	(void)flags;
	return code(gpu_event_open((struct gpu_event **)event));
}

EXPORT int cuEventDestroy_v2(void *event)
{
	BEGIN();
	return code(gpu_event_close(event));
}

EXPORT int cuEventRecord(void *event, void *stream)
{
	BEGIN();
	return code(gpu_event_record(event, stream));
}

EXPORT int cuEventQuery(void *event)
{
	BEGIN();
	return code(gpu_event_query(event));
}

EXPORT int cuEventSynchronize(void *event)
{
	BEGIN();
	return code(gpu_event_wait(event));
}

/* Whose memory it is and by which descriptor it is reached there. */
struct ipc_handle {
	int pid, fd;
	uint64_t length;
	char rest[48];
};

EXPORT int cuIpcGetMemHandle(struct ipc_handle *handle, uint64_t address)
{
	size_t length = 0;

	BEGIN();
	memset(handle, 0, sizeof(*handle));
	handle->pid = getpid();
	if (gpu_file(address, &handle->fd, &length))
		return INVALID_VALUE;
	handle->length = length;
	return 0;
}

EXPORT int cuIpcOpenMemHandle_v2(uint64_t *address, struct ipc_handle handle, unsigned int flags)
{
	char path[64];
	int fd;

	BEGIN();
	if (flags != 1)
		return INVALID_VALUE;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", handle.pid, handle.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return INVALID_VALUE;
	return code(gpu_import(fd, handle.length, address));
}

EXPORT int cuIpcCloseMemHandle(uint64_t address)
{
	BEGIN();
	return code(gpu_release(address));
}

EXPORT int cuMemGetHandleForAddressRange(int *fd, uint64_t address, size_t length, int type,
					 unsigned long long flags)
{
	size_t all = 0;
	int file = -1;

	BEGIN();
	if (type != 1 || flags || address % 4096 || length % 4096 ||
	    gpu_file(address, &file, &all) || length > all)
		return INVALID_VALUE;
	*fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? OUT_OF_MEMORY : 0;
}

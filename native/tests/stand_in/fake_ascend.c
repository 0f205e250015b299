// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for libascendcl.so, for tests: the functions that the shim uses, over gpu.c. It shows
 * that the shim calls what it declares in a sensible order, and nothing about an NPU.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu.h"

#define EXPORT __attribute__((visibility("default")))

enum {
	INVALID_PARAM = 100000,
	UNINITIALIZE = 100001,
	REPEAT_INITIALIZE = 100002,
	MEMORY_ALLOCATION = 207001,
	CONTEXT_NULL = 107002,
	INTERNAL_ERROR = 500000,
	DEVICES = 1,
	KEYS = 64,
};

static int started;
static _Thread_local int current = -1;

static int code(enum gpu_result result)
{
	static const int codes[] = {
		[GPU_OK] = 0,
		[GPU_INVALID] = INVALID_PARAM,
		[GPU_NO_MEMORY] = MEMORY_ALLOCATION,
		[GPU_NOT_READY] = INTERNAL_ERROR,
	};

	return codes[result];
}

#define BEGIN()                                \
	do {                                   \
		if (!started)                  \
			return UNINITIALIZE;   \
		if (current < 0)               \
			return CONTEXT_NULL;   \
		if (gpu_fails(__func__))       \
			return INTERNAL_ERROR; \
	} while (0)

EXPORT int aclInit(const char *config)
{
	(void)config;
	if (started)
		return REPEAT_INITIALIZE;
	fprintf(stderr, "stand-in for libascendcl.so: there is no NPU behind it\n");
	started = 1;
	return 0;
}

EXPORT int aclrtGetDeviceCount(uint32_t *count)
{
	*count = DEVICES;
	return started ? 0 : UNINITIALIZE;
}

EXPORT int aclrtSetDevice(int32_t device)
{
	if (device < 0 || device >= DEVICES)
		return INVALID_PARAM;
	current = device;
	return 0;
}

EXPORT int aclrtSynchronizeDevice(void)
{
	BEGIN();
	return code(gpu_wait_all());
}

EXPORT const char *aclrtGetSocName(void)
{
	return GPU_NAME;
}

EXPORT int aclrtGetMemInfo(int kind, size_t *unused, size_t *total)
{
	BEGIN();
	gpu_room(unused, total);
	return kind == 1 ? 0 : INVALID_PARAM;
}

EXPORT int aclrtMalloc(void **address, size_t length, int policy)
{
	uint64_t found = 0;
	int result;

	BEGIN();
	(void)policy;
	result = code(gpu_allocate(length, &found));
	*address = (void *)(uintptr_t)found;
	return result;
}

EXPORT int aclrtFree(void *address)
{
	BEGIN();
	return code(gpu_release((uintptr_t)address));
}

EXPORT int aclrtMemset(void *address, size_t room, int32_t value, size_t length)
{
	BEGIN();
	return length > room ? INVALID_PARAM : code(gpu_clear((uintptr_t)address, value, length));
}

EXPORT int aclrtMallocHost(void **memory, size_t length)
{
	BEGIN();
	return posix_memalign(memory, 4096, length) ? MEMORY_ALLOCATION : 0;
}

EXPORT int aclrtFreeHost(void *memory)
{
	BEGIN();
	free(memory);
	return 0;
}

EXPORT int aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t length, int kind,
			    void *stream)
{
	BEGIN();
	if (length > room || kind < 1 || kind > 3)
		return INVALID_PARAM;
	return code(gpu_copy(stream, (uintptr_t)to, kind != 2, (uintptr_t)from, kind != 1, length));
}

EXPORT int aclrtCreateStream(void **stream)
{
	BEGIN();
	return code(gpu_stream_open((struct gpu_stream **)stream));
}

EXPORT int aclrtDestroyStream(void *stream)
{
	BEGIN();
	return code(gpu_stream_close(stream));
}

EXPORT int aclrtSynchronizeStream(void *stream)
{
	BEGIN();
	return code(gpu_stream_wait(stream));
}

EXPORT int aclrtCreateEvent(void **event)
{
	BEGIN();
	return code(gpu_event_open((struct gpu_event **)event));
}

EXPORT int aclrtDestroyEvent(void *event)
{
	BEGIN();
	return code(gpu_event_close(event));
}

EXPORT int aclrtRecordEvent(void *event, void *stream)
{
	BEGIN();
	return code(gpu_event_record(event, stream));
}

EXPORT int aclrtQueryEventStatus(void *event, int *status)
{
	BEGIN();
	*status = gpu_event_query(event) == GPU_OK;
	return 0;
}

EXPORT int aclrtSynchronizeEvent(void *event)
{
	BEGIN();
	return code(gpu_event_wait(event));
}

static pthread_mutex_t key_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uint64_t address; /* 0: none */
	char key[65];
} opened[KEYS];

/* Its key says whose memory it is and by which descriptor it is reached there. */
EXPORT int aclrtIpcMemGetExportKey(void *address, size_t length, char *key, size_t size,
				   uint64_t flags)
{
	size_t all = 0;
	int fd = -1;

	BEGIN();
	if (flags != 1 || size < 65 || gpu_file((uintptr_t)address, &fd, &all) || length > all)
		return INVALID_PARAM;
	snprintf(key, size, "%d %d %zu", getpid(), fd, length);
	return 0;
}

EXPORT int aclrtIpcMemImportByKey(void **address, const char *key, uint64_t flags)
{
	uint64_t found = 0;
	size_t length;
	char path[64];
	int pid, fd, result;

	BEGIN();
	if (flags != 1 || sscanf(key, "%d %d %zu", &pid, &fd, &length) != 3 || pid == getpid())
		return INVALID_PARAM;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return INVALID_PARAM;
	result = code(gpu_import(fd, length, &found));
	*address = (void *)(uintptr_t)found;
	pthread_mutex_lock(&key_lock);
	for (int i = 0; i < KEYS && !result && found; i++) {
		if (opened[i].address)
			continue;
		snprintf(opened[i].key, sizeof(opened[i].key), "%s", key);
		opened[i].address = found;
		found = 0;
	}
	pthread_mutex_unlock(&key_lock);
	return result;
}

/* Of one's own memory, or of what one has opened. */
EXPORT int aclrtIpcMemClose(const char *key)
{
	uint64_t address = 0;

	BEGIN();
	pthread_mutex_lock(&key_lock);
	for (int i = 0; i < KEYS && !address; i++) {
		if (!opened[i].address || strcmp(opened[i].key, key) != 0)
			continue;
		address = opened[i].address;
		opened[i].address = 0;
	}
	pthread_mutex_unlock(&key_lock);
	return address ? code(gpu_release(address)) : atoi(key) == getpid() ? 0 : INVALID_PARAM;
}

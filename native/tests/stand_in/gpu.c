// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "gpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ALLOCATIONS_MAX 4096
#define STREAMS_MAX 4096
#define EXPORT __attribute__((visibility("default")))

struct allocation {
	uint64_t address; /* cannot be touched; 0: none */
	uint8_t *memory;  /* what lies behind it */
	size_t length, mapped;
	int fd;
};

struct copy {
	struct copy *next;
	uint64_t to, from;
	int to_device, from_device;
	size_t length;
};

struct gpu_stream {
	pthread_t thread;
	struct copy *first, *last;
	uint64_t started, done; /* numbers of copies */
	bool ending;
	int place; /* in streams */
};

struct gpu_event {
	struct gpu_stream *stream;
	uint64_t number;
};

/* One lock for everything: this is for finding mistakes, not for speed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct allocation allocations[ALLOCATIONS_MAX];
static struct gpu_stream *streams[STREAMS_MAX];
static size_t used;

static char failing[64];
static int failing_after = -1;

/* Makes one call of that name fail, after so many that succeed. For tests, by dlsym(). */
EXPORT void stand_in_fail(const char *call, int after)
{
	pthread_mutex_lock(&lock);
	snprintf(failing, sizeof(failing), "%s", call);
	failing_after = after;
	pthread_mutex_unlock(&lock);
}

/* How many allocations and streams there are: what a program forgot. For tests. */
EXPORT int stand_in_left(void)
{
	int count = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < ALLOCATIONS_MAX; i++)
		count += allocations[i].address != 0;
	for (int i = 0; i < STREAMS_MAX; i++)
		count += streams[i] != NULL;
	pthread_mutex_unlock(&lock);
	return count;
}

int gpu_fails(const char *call)
{
	int fails;

	pthread_mutex_lock(&lock);
	fails = failing_after >= 0 && strcmp(call, failing) == 0 && failing_after-- == 0;
	pthread_mutex_unlock(&lock);
	return fails;
}

static size_t memory_size(void)
{
	const char *given = getenv("STAND_IN_MEMORY");

	return given ? strtoull(given, NULL, 10) : GPU_MEMORY;
}

/* lock is held. */
static struct allocation *find(uint64_t address)
{
	for (int i = 0; i < ALLOCATIONS_MAX; i++) {
		struct allocation *at = &allocations[i];

		if (at->address && address >= at->address && address - at->address < at->length)
			return at;
	}
	return NULL;
}

/* The memory behind a range of the device, or NULL. lock is held. */
static uint8_t *behind(uint64_t address, size_t length)
{
	struct allocation *at = find(address);

	if (!at || length > at->length - (address - at->address))
		return NULL;
	return at->memory + (address - at->address);
}

enum gpu_result gpu_import(int fd, size_t length, uint64_t *address)
{
	size_t mapped = (length + 4095) & ~(size_t)4095;
	enum gpu_result result = GPU_NO_MEMORY;
	void *shadow, *memory;

	shadow = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < ALLOCATIONS_MAX && result && shadow != MAP_FAILED &&
			memory != MAP_FAILED; i++) {
		if (allocations[i].address)
			continue;
		allocations[i] = (struct allocation){
			.address = (uintptr_t)shadow,
			.memory = memory,
			.length = length,
			.mapped = mapped,
			.fd = fd,
		};
		*address = (uintptr_t)shadow;
		used += length;
		result = GPU_OK;
	}
	pthread_mutex_unlock(&lock);
	if (result) {
		if (shadow != MAP_FAILED)
			munmap(shadow, mapped);
		if (memory != MAP_FAILED)
			munmap(memory, mapped);
		close(fd);
	}
	return result;
}

enum gpu_result gpu_allocate(size_t length, uint64_t *address)
{
	size_t unused, total;
	uint64_t start;
	size_t mapped;
	int fd;

	gpu_room(&unused, &total);
	if (length == 0)
		return GPU_INVALID;
	if (length > unused)
		return GPU_NO_MEMORY;
	fd = memfd_create("stand-in-device", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)((length + 4095) & ~(size_t)4095)) < 0) {
		if (fd >= 0)
			close(fd);
		return GPU_NO_MEMORY;
	}
	if (gpu_import(fd, length, address))
		return GPU_NO_MEMORY;
	start = *address;
	/* Memory of a device is not zeroed for its user. */
	pthread_mutex_lock(&lock);
	mapped = find(start)->length;
	memset(behind(start, mapped), 0xdb, mapped);
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_release(uint64_t address)
{
	struct allocation *at;

	pthread_mutex_lock(&lock);
	at = find(address);
	if (!at || at->address != address) {
		pthread_mutex_unlock(&lock);
		return GPU_INVALID;
	}
	munmap(at->memory, at->mapped);
	munmap((void *)(uintptr_t)at->address, at->mapped);
	close(at->fd);
	used -= at->length;
	at->address = 0;
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_clear(uint64_t address, int value, size_t length)
{
	uint8_t *memory;

	pthread_mutex_lock(&lock);
	memory = behind(address, length);
	if (memory)
		memset(memory, value, length);
	pthread_mutex_unlock(&lock);
	return memory ? GPU_OK : GPU_INVALID;
}

enum gpu_result gpu_range(uint64_t address, uint64_t *start, size_t *length)
{
	struct allocation *at;

	pthread_mutex_lock(&lock);
	at = find(address);
	if (at) {
		*start = at->address;
		*length = at->length;
	}
	pthread_mutex_unlock(&lock);
	return at ? GPU_OK : GPU_INVALID;
}

enum gpu_result gpu_file(uint64_t address, int *fd, size_t *length)
{
	struct allocation *at;

	pthread_mutex_lock(&lock);
	at = find(address);
	if (at) {
		*fd = at->fd;
		*length = at->length;
	}
	pthread_mutex_unlock(&lock);
	return at ? GPU_OK : GPU_INVALID;
}

void gpu_room(size_t *unused, size_t *total)
{
	*total = memory_size();
	pthread_mutex_lock(&lock);
	*unused = used < *total ? *total - used : 0;
	pthread_mutex_unlock(&lock);
}

/* lock is held. Memory that is gone is an error of the program, and the end of it. */
static void carry_out(const struct copy *copy)
{
	uint8_t *to = copy->to_device ? behind(copy->to, copy->length) :
					(uint8_t *)(uintptr_t)copy->to;
	uint8_t *from = copy->from_device ? behind(copy->from, copy->length) :
					    (uint8_t *)(uintptr_t)copy->from;

	if (!to || !from) {
		fprintf(stderr, "stand-in: a copy of %zu bytes touches freed device memory\n",
			copy->length);
		abort();
	}
	memcpy(to, from, copy->length);
}

static void *run(void *argument)
{
	const struct timespec late = { .tv_nsec = 30000 };
	struct gpu_stream *stream = argument;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct copy *copy = stream->first;

		if (!copy && stream->ending)
			break;
		if (!copy) {
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		nanosleep(&late, NULL);
		pthread_mutex_lock(&lock);
		carry_out(copy);
		stream->first = copy->next;
		stream->done++;
		free(copy);
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

enum gpu_result gpu_stream_open(struct gpu_stream **opened)
{
	struct gpu_stream *stream = calloc(1, sizeof(*stream));
	int place = 0;

	if (!stream)
		return GPU_NO_MEMORY;
	pthread_mutex_lock(&lock);
	while (place < STREAMS_MAX && streams[place])
		place++;
	if (place < STREAMS_MAX)
		streams[place] = stream;
	pthread_mutex_unlock(&lock);
	stream->place = place;
	if (place == STREAMS_MAX || pthread_create(&stream->thread, NULL, run, stream)) {
		pthread_mutex_lock(&lock);
		if (place < STREAMS_MAX)
			streams[place] = NULL;
		pthread_mutex_unlock(&lock);
		free(stream);
		return GPU_NO_MEMORY;
	}
	*opened = stream;
	return GPU_OK;
}

enum gpu_result gpu_stream_close(struct gpu_stream *stream)
{
	pthread_mutex_lock(&lock);
	stream->ending = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(stream->thread, NULL);
	pthread_mutex_lock(&lock);
	streams[stream->place] = NULL;
	pthread_mutex_unlock(&lock);
	free(stream);
	return GPU_OK;
}

enum gpu_result gpu_stream_wait(struct gpu_stream *stream)
{
	pthread_mutex_lock(&lock);
	for (uint64_t until = stream->started; stream->done < until;)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_wait_all(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < STREAMS_MAX; i++) {
		while (streams[i] && streams[i]->done < streams[i]->started)
			pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_copy(struct gpu_stream *stream, uint64_t to, int to_device, uint64_t from,
			 int from_device, size_t length)
{
	struct copy *copy = malloc(sizeof(*copy));

	if (!copy)
		return GPU_NO_MEMORY;
	*copy = (struct copy){
		.to = to,
		.from = from,
		.to_device = to_device,
		.from_device = from_device,
		.length = length,
	};
	pthread_mutex_lock(&lock);
	if ((to_device && !behind(to, length)) || (from_device && !behind(from, length))) {
		pthread_mutex_unlock(&lock);
		free(copy);
		return GPU_INVALID;
	}
	if (stream->first)
		stream->last->next = copy;
	else
		stream->first = copy;
	stream->last = copy;
	stream->started++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_event_open(struct gpu_event **event)
{
	*event = calloc(1, sizeof(**event));
	return *event ? GPU_OK : GPU_NO_MEMORY;
}

enum gpu_result gpu_event_close(struct gpu_event *event)
{
	free(event);
	return GPU_OK;
}

enum gpu_result gpu_event_record(struct gpu_event *event, struct gpu_stream *stream)
{
	pthread_mutex_lock(&lock);
	event->stream = stream;
	event->number = stream->started;
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

enum gpu_result gpu_event_query(struct gpu_event *event)
{
	bool ready;

	pthread_mutex_lock(&lock);
	ready = !event->stream || event->stream->done >= event->number;
	pthread_mutex_unlock(&lock);
	return ready ? GPU_OK : GPU_NOT_READY;
}

enum gpu_result gpu_event_wait(struct gpu_event *event)
{
	pthread_mutex_lock(&lock);
	while (event->stream && event->stream->done < event->number)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return GPU_OK;
}

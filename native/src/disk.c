/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "mc/disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mc/api.h"

struct mc_disk_syncer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int32_t files[MC_DISK_MAX_FILES];
	uint32_t count; /* files of the round that goes on; 0 = none does */
	int32_t result;
	bool closing;
};

static int32_t sync_all(const int32_t *files, uint32_t count)
{
	int32_t result = 0;

	for (uint32_t i = 0; i < count; i++) {
		int failed;

		do
			failed = fdatasync(files[i]);
		while (failed != 0 && errno == EINTR);
		if (failed != 0 && result == 0)
			result = -errno;
	}
	return result;
}

static void *run(void *argument)
{
	struct mc_disk_syncer *syncer = argument;

	pthread_mutex_lock(&syncer->lock);
	for (;;) {
		while (syncer->count == 0 && !syncer->closing)
			pthread_cond_wait(&syncer->changed, &syncer->lock);
		if (syncer->count == 0)
			break;
		pthread_mutex_unlock(&syncer->lock);
		/* Nobody else touches files and count while a round goes on. */
		int32_t result = sync_all(syncer->files, syncer->count);

		pthread_mutex_lock(&syncer->lock);
		syncer->result = result;
		syncer->count = 0;
		pthread_cond_broadcast(&syncer->changed);
	}
	pthread_mutex_unlock(&syncer->lock);
	return NULL;
}

MC_API int32_t mc_disk_syncer_open(struct mc_disk_syncer **out)
{
	struct mc_disk_syncer *syncer = calloc(1, sizeof(*syncer));

	if (syncer == NULL)
		return -ENOMEM;
	pthread_mutex_init(&syncer->lock, NULL);
	pthread_cond_init(&syncer->changed, NULL);
	int failed = pthread_create(&syncer->thread, NULL, run, syncer);

	if (failed != 0) {
		free(syncer);
		return -failed;
	}
	*out = syncer;
	return 0;
}

MC_API int32_t mc_disk_sync_begin(struct mc_disk_syncer *syncer, const int32_t *files, uint32_t count)
{
	if (count == 0 || count > MC_DISK_MAX_FILES)
		return -EINVAL;
	pthread_mutex_lock(&syncer->lock);
	bool busy = syncer->count > 0;

	if (!busy) {
		memcpy(syncer->files, files, count * sizeof(*files));
		syncer->count = count;
		pthread_cond_broadcast(&syncer->changed);
	}
	pthread_mutex_unlock(&syncer->lock);
	return busy ? -EBUSY : 0;
}

MC_API int32_t mc_disk_sync_result(struct mc_disk_syncer *syncer)
{
	pthread_mutex_lock(&syncer->lock);
	int32_t result = syncer->count > 0 ? 1 : syncer->result;

	pthread_mutex_unlock(&syncer->lock);
	return result;
}

MC_API int32_t mc_disk_sync_wait(struct mc_disk_syncer *syncer)
{
	pthread_mutex_lock(&syncer->lock);
	while (syncer->count > 0)
		pthread_cond_wait(&syncer->changed, &syncer->lock);
	int32_t result = syncer->result;

	pthread_mutex_unlock(&syncer->lock);
	return result;
}

MC_API void mc_disk_syncer_close(struct mc_disk_syncer *syncer)
{
	pthread_mutex_lock(&syncer->lock);
	syncer->closing = true;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
	pthread_join(syncer->thread, NULL);
	pthread_cond_destroy(&syncer->changed);
	pthread_mutex_destroy(&syncer->lock);
	free(syncer);
}

// SPDX-License-Identifier: Apache-2.0
/* The threads that read and write files: at most FILES_THREADS of a segment, which end when idle. */
#define _GNU_SOURCE
#include "files.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../common.h"

#define FILES_THREADS 8
#define IDLE_S 5
/* How long an engine that is closed waits for threads whose device may not answer any more. */
#define LEAVE_S 1

static struct timespec after(time_t seconds)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += seconds;
	return time;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

int files_crew_open(struct files_crew **opened)
{
	struct files_crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return -ENOMEM;
	crew->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (crew->wake_fd < 0) {
		int err = -errno;

		free(crew);
		return err;
	}
	pthread_mutex_init(&crew->lock, NULL);
	init_condition(&crew->changed);
	mc_list_init(&crew->done);
	mc_list_init(&crew->running);
	mc_list_init(&crew->ended);
	*opened = crew;
	return 0;
}

/* A thread, until it has been joined or left to itself. */
struct files_thread {
	struct mc_list entry; /* of those that run, or that have ended */
	pthread_t id;
	struct files_segment *segment;
};

/* crew->lock is held, which those who have ended do not need any more. */
static void join_ended(struct files_crew *crew)
{
	while (!mc_list_empty(&crew->ended)) {
		struct files_thread *thread =
			mc_list_entry(crew->ended.next, struct files_thread, entry);

		pthread_join(thread->id, NULL);
		mc_list_remove(&thread->entry);
		free(thread);
	}
}

/* crew->lock is held. Their code must not go away under them. */
static void leave_running(struct files_crew *crew)
{
	struct mc_list *node, *following;
	Dl_info info;

	mc_list_each (node, following, &crew->running)
		pthread_detach(mc_list_entry(node, struct files_thread, entry)->id);
	if (dladdr((void *)(uintptr_t)files_crew_open, &info))
		dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

static void free_crew(struct files_crew *crew)
{
	pthread_mutex_destroy(&crew->lock);
	pthread_cond_destroy(&crew->changed);
	free(crew);
}

void files_crew_leave(struct files_crew *crew)
{
	struct timespec until = after(LEAVE_S);
	bool last;

	pthread_mutex_lock(&crew->lock);
	while (!mc_list_empty(&crew->running) &&
	       pthread_cond_timedwait(&crew->changed, &crew->lock, &until) == 0)
		;
	join_ended(crew);
	last = mc_list_empty(&crew->running);
	crew->orphaned = true;
	if (!last)
		leave_running(crew);
	close(crew->wake_fd);
	pthread_mutex_unlock(&crew->lock);
	if (last)
		free_crew(crew);
}

int files_segment_open(struct files_crew *crew, struct files_segment **opened)
{
	struct files_segment *segment = calloc(1, sizeof(*segment));

	if (!segment)
		return -ENOMEM;
	segment->crew = crew;
	init_condition(&segment->work);
	mc_list_init(&segment->queue);
	*opened = segment;
	return 0;
}

static void free_segment(struct files_segment *segment)
{
	for (uint32_t i = 0; i < segment->count; i++)
		files_file_close(segment->files[i]);
	free(segment->files);
	pthread_cond_destroy(&segment->work);
	free(segment);
}

void files_segment_close(struct files_segment *segment)
{
	struct files_crew *crew = segment->crew;
	bool last;

	pthread_mutex_lock(&crew->lock);
	segment->closed = true;
	last = segment->threads == 0;
	pthread_cond_broadcast(&segment->work);
	pthread_mutex_unlock(&crew->lock);
	if (last)
		free_segment(segment);
}

/* ---- the threads; crew->lock is held where nothing else is said ---- */

/* The next slice; NULL: the thread is to end. */
static struct files_slice *next_slice(struct files_segment *segment)
{
	struct timespec until = after(IDLE_S);
	struct files_slice *slice;
	int err = 0;

	while (mc_list_empty(&segment->queue)) {
		if (segment->closed || err)
			return NULL;
		segment->idle++;
		err = pthread_cond_timedwait(&segment->work, &segment->crew->lock, &until);
		segment->idle--;
	}
	slice = mc_list_entry(segment->queue.next, struct files_slice, entry);
	mc_list_remove(&slice->entry);
	segment->queued--;
	return slice;
}

static void tell(struct files_crew *crew, struct files_slice *slice, int result)
{
	slice->result = result;
	slice->stage = FILES_DONE;
	mc_list_append(&crew->done, &slice->entry);
	atomic_store(&crew->has_done, true);
	eventfd_write(crew->wake_fd, 1);
}

/* Copies without the lock, which is held before and after. */
static void copy(struct files_crew *crew, struct files_slice *slice, uint8_t *to,
		 const uint8_t *from)
{
	slice->stage = FILES_COPY;
	pthread_mutex_unlock(&crew->lock);
	memcpy(to, from, slice->length);
	pthread_mutex_lock(&crew->lock);
	slice->stage = FILES_IO;
	pthread_cond_broadcast(&crew->changed);
}

static void note_failure(struct files_segment *segment, const struct files_slice *slice, int err)
{
	snprintf(segment->failure, sizeof(segment->failure), "%s of %llu bytes at %llu of %.300s: %s",
		 slice->opcode == MC_OP_READ ? "READ" : "WRITE",
		 (unsigned long long)slice->length, (unsigned long long)slice->offset,
		 slice->file->path, strerror(-err));
}

/* Of what a system says, callers are told that the file failed, or that there is no memory. */
static int result_of(int err)
{
	return err == 0 || err == -ENOMEM ? err : -EIO;
}

static void carry(struct files_segment *segment, struct files_slice *slice, uint8_t *bounce)
{
	struct files_crew *crew = segment->crew;
	uint8_t *begin = bounce + slice->offset % FILES_PAGE;
	bool is_read = slice->opcode == MC_OP_READ;
	int err;

	if (!is_read)
		copy(crew, slice, begin, slice->local);
	if (slice->unwanted) {
		tell(crew, slice, -ECANCELED);
		return;
	}
	slice->stage = FILES_IO;
	pthread_mutex_unlock(&crew->lock);
	err = is_read ? files_read(slice->file, slice->offset, slice->length, bounce, &begin) :
			files_write(slice->file, slice->offset, slice->length, bounce);
	pthread_mutex_lock(&crew->lock);
	if (err)
		note_failure(segment, slice, err);
	if (slice->given_up) {
		free(slice);
		return;
	}
	if (!err && is_read)
		copy(crew, slice, slice->local, begin);
	tell(crew, slice, result_of(err));
}

/* Ends a thread that is in no list of its segment any more; the lock is let go. */
static void end(struct files_thread *thread, bool last_of_segment)
{
	struct files_segment *segment = thread->segment;
	struct files_crew *crew = segment->crew;
	bool last;

	if (last_of_segment) {
		pthread_mutex_unlock(&crew->lock);
		free_segment(segment);
		pthread_mutex_lock(&crew->lock);
	}
	mc_list_remove(&thread->entry);
	last = crew->orphaned && mc_list_empty(&crew->running);
	if (crew->orphaned)
		free(thread);
	else
		mc_list_append(&crew->ended, &thread->entry);
	pthread_cond_broadcast(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
	if (last)
		free_crew(crew);
}

static void *run(void *argument)
{
	struct files_thread *thread = argument;
	struct files_segment *segment = thread->segment;
	uint8_t *bounce = aligned_alloc(FILES_PAGE, FILES_BOUNCE);
	struct files_slice *slice;

	pthread_mutex_lock(&segment->crew->lock);
	while ((slice = next_slice(segment))) {
		if (bounce)
			carry(segment, slice, bounce);
		else
			tell(segment->crew, slice, -ENOMEM);
	}
	free(bounce);
	segment->threads--;
	end(thread, segment->threads == 0 && segment->closed);
	return NULL;
}

/* ---- for the engine ---- */

static bool start_thread(struct files_segment *segment)
{
	struct files_crew *crew = segment->crew;
	struct files_thread *thread = calloc(1, sizeof(*thread));

	join_ended(crew);
	if (!thread)
		return false;
	thread->segment = segment;
	if (pthread_create(&thread->id, NULL, run, thread)) {
		free(thread);
		return false;
	}
	mc_list_append(&crew->running, &thread->entry);
	segment->threads++;
	return true;
}

int files_segment_begin(struct files_segment *segment, struct files_slice *slice)
{
	struct files_crew *crew = segment->crew;
	int err = 0;

	pthread_mutex_lock(&crew->lock);
	slice->stage = FILES_QUEUED;
	if (segment->queued < segment->idle)
		pthread_cond_signal(&segment->work);
	else if (segment->threads < FILES_THREADS && !start_thread(segment) && !segment->threads)
		err = -ENOMEM;
	if (!err) {
		mc_list_append(&segment->queue, &slice->entry);
		segment->queued++;
	}
	pthread_mutex_unlock(&crew->lock);
	return err;
}

bool files_give_up(struct files_crew *crew, struct files_slice *slice)
{
	bool gone = false;

	pthread_mutex_lock(&crew->lock);
	switch (slice->stage) {
	case FILES_QUEUED:
		mc_list_remove(&slice->entry);
		mc_list_remove(&slice->of_link);
		slice->link->segment->queued--;
		free(slice);
		gone = true;
		break;
	case FILES_IO:
		mc_list_remove(&slice->of_link);
		slice->given_up = true;
		gone = true;
		break;
	case FILES_COPY:
		slice->unwanted = true;
		break;
	case FILES_DONE:
		break;
	}
	pthread_mutex_unlock(&crew->lock);
	return gone;
}

void files_await_copies(struct files_crew *crew, const struct mc_list *slices)
{
	const struct mc_list *node = slices->next;

	pthread_mutex_lock(&crew->lock);
	while (node != slices) {
		const struct files_slice *slice =
			mc_list_entry(node, const struct files_slice, of_link);

		if (slice->stage == FILES_COPY)
			pthread_cond_wait(&crew->changed, &crew->lock);
		else
			node = node->next;
	}
	pthread_mutex_unlock(&crew->lock);
}

// SPDX-License-Identifier: Apache-2.0
/* Segments of files as a transport of the engine. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common.h"
#include "../sliced.h"

/* Slices of a segment that are begun; its threads take them in turn. */
#define UNDER_WAY 64
#define MOST_FILES 4096u

struct files {
	struct mc_transport base;
	struct files_crew *crew;
	struct mc_watch watch;
	bool watched;
	struct mc_list links;
	bool stopped;
	bool wants_pump;
};

static struct files *to_files(struct mc_transport *transport)
{
	return mc_container_of(transport, struct files, base);
}

static int open_files(struct mc_engine *engine, const struct mc_engine_options *options,
		      struct mc_transport **transport)
{
	struct files *files = calloc(1, sizeof(*files));

	(void)options;
	if (!files)
		return -ENOMEM;
	files->base.ops = &mc_files_ops;
	files->base.engine = engine;
	mc_list_init(&files->links);
	*transport = &files->base;
	return 0;
}

/* What is done is taken by progress, which comes after. */
static void ready(struct mc_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

/* Most engines never have such a segment. progress_lock is held. */
static int make_crew(struct files *files)
{
	int err = 0;

	if (!files->crew)
		err = files_crew_open(&files->crew);
	if (!err && !files->watched) {
		files->watch.ready = ready;
		err = mc_watch_add(files->base.engine, &files->watch, files->crew->wake_fd);
		files->watched = !err;
	}
	return err;
}

static int connect_files(struct mc_transport *transport, const struct mc_peer_options *options,
			 void **opened)
{
	struct files *files = to_files(transport);
	struct files_link *link = calloc(1, sizeof(*link));
	int err;

	(void)options;
	if (!link)
		return -ENOMEM;
	mc_list_init(&link->slices);
	pthread_mutex_lock(&transport->engine->progress_lock);
	err = make_crew(files);
	if (!err)
		err = files_segment_open(files->crew, &link->segment);
	if (!err)
		mc_list_append(&files->links, &link->node);
	mc_engine_unlock(transport->engine);
	if (err)
		free(link);
	else
		*opened = link;
	return err;
}

/* ---- with progress_lock held ---- */

/* The slice is gone, or about to be freed. */
static void settle(struct files *files, struct files_link *link, struct mc_work *work, int result)
{
	if (result)
		mc_sliced_fail(work, result);
	link->under_way--;
	work->transport[MC_SLICED_SLICES]--;
	mc_sliced_settle(files->base.engine, work);
}

/* A slice whose memory is in use for the time of a copy settles after that. */
static void give_up(struct files *files, struct files_slice *slice, int result)
{
	struct files_link *link = slice->link;
	struct mc_work *work = slice->work;

	mc_sliced_fail(work, result);
	if (files_give_up(files->crew, slice))
		settle(files, link, work, result);
}

static void take_done(struct files *files)
{
	struct files_crew *crew = files->crew;
	struct mc_list done;

	mc_list_init(&done);
	atomic_store(&crew->has_done, false);
	pthread_mutex_lock(&crew->lock);
	mc_list_take(&done, &crew->done);
	pthread_mutex_unlock(&crew->lock);
	while (!mc_list_empty(&done)) {
		struct files_slice *slice =
			mc_list_entry(done.next, struct files_slice, entry);

		mc_list_remove(&slice->entry);
		mc_list_remove(&slice->of_link);
		settle(files, slice->link, slice->work, slice->result);
		free(slice);
		files->wants_pump = true;
	}
}

/* Gives everything up; what a thread copies at this moment is waited for. */
static void cancel_link(struct files *files, struct files_link *link)
{
	struct mc_list *node, *following;

	while (link->waiting.first) {
		mc_sliced_fail(link->waiting.first, -ECANCELED);
		mc_sliced_unqueue(files->base.engine, &link->waiting);
	}
	mc_list_each (node, following, &link->slices)
		give_up(files, mc_list_entry(node, struct files_slice, of_link), -ECANCELED);
	files_await_copies(files->crew, &link->slices);
	take_done(files);
}

static const struct files_file *file_at(const struct files_segment *segment, uint64_t address)
{
	uint32_t low = 0, high = segment->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (segment->files[middle]->start <= address)
			low = middle;
		else
			high = middle;
	}
	return segment->files[low];
}

/* Begins the next slice of the first work that waits. */
static int post_slice(struct files_link *link)
{
	struct mc_work *work = link->waiting.first;
	uint64_t at = work->transport[MC_SLICED_POSTED];
	const struct files_file *file = file_at(link->segment, work->remote + at);
	uint64_t offset = work->remote + at - file->start;
	uint64_t length = mc_min(work->length - at, file->length - offset);
	struct files_slice *slice;
	int err;

	if (work->opcode == MC_OP_WRITE && !file->writable)
		return -EROFS;
	slice = calloc(1, sizeof(*slice));
	if (!slice)
		return -ENOMEM;
	length = mc_min(length, FILES_SLICE - offset % FILES_SLICE);
	slice->link = link;
	slice->work = work;
	slice->file = file;
	slice->offset = offset;
	slice->length = length;
	slice->local = work->local + at;
	slice->opcode = work->opcode;
	mc_list_append(&link->slices, &slice->of_link);
	err = files_segment_begin(link->segment, slice);
	if (err) {
		mc_list_remove(&slice->of_link);
		free(slice);
		return err;
	}
	link->under_way++;
	work->transport[MC_SLICED_SLICES]++;
	work->transport[MC_SLICED_POSTED] += length;
	return 0;
}

static void pump(struct files *files, struct files_link *link)
{
	while (link->waiting.first && link->under_way < UNDER_WAY) {
		struct mc_work *work = link->waiting.first;
		int err = work->transport[MC_SLICED_RESULT] ? -ECANCELED : post_slice(link);

		if (err)
			mc_sliced_fail(work, err);
		if (err || work->transport[MC_SLICED_POSTED] == work->length)
			mc_sliced_unqueue(files->base.engine, &link->waiting);
	}
}

static bool progress(struct mc_transport *transport, uint64_t *budget)
{
	struct files *files = to_files(transport);
	struct mc_list *node, *following;

	(void)budget;
	if (files->crew && atomic_load_explicit(&files->crew->has_done, memory_order_relaxed))
		take_done(files);
	if (!files->wants_pump)
		return false;
	files->wants_pump = false;
	mc_list_each (node, following, &files->links)
		pump(files, mc_list_entry(node, struct files_link, node));
	return false;
}

/* Why a work cannot be begun, or 0. */
static int refusal(const struct files *files, const struct files_link *link,
		   const struct mc_work *work)
{
	if (files->stopped)
		return -ECANCELED;
	if (mc_work_device(work))
		return -EINVAL;
	return mc_range_ok(work->remote, work->length, link->segment->length) ? 0 : -EFAULT;
}

static void submit(struct mc_transport *transport, struct mc_work *work)
{
	struct files *files = to_files(transport);
	struct files_link *link = work->peer->link;
	int err = refusal(files, link, work);

	if (err) {
		mc_work_finish(transport->engine, work, err, 0);
		return;
	}
	link->used = true;
	mc_sliced_queue(&link->waiting, work);
	files->wants_pump = true;
}

static int64_t expire_slices(struct files *files, struct files_link *link, int64_t now)
{
	struct mc_list *node, *following;
	int64_t earliest = MC_NEVER;

	mc_list_each (node, following, &link->slices) {
		struct files_slice *slice = mc_list_entry(node, struct files_slice, of_link);
		struct mc_work *work = slice->work;

		if (work->deadline > now) {
			earliest = mc_earlier(earliest, work->deadline);
			continue;
		}
		give_up(files, slice, -ETIMEDOUT);
		files->wants_pump = true;
	}
	return earliest;
}

static int64_t expire(struct mc_transport *transport, int64_t now)
{
	struct files *files = to_files(transport);
	struct mc_list *node, *following;
	int64_t earliest = MC_NEVER;

	mc_list_each (node, following, &files->links) {
		struct files_link *link = mc_list_entry(node, struct files_link, node);

		earliest = mc_earlier(earliest,
				      mc_sliced_expire(transport->engine, &link->waiting, now));
		earliest = mc_earlier(earliest, expire_slices(files, link, now));
	}
	return earliest;
}

static void disconnect(struct mc_transport *transport, void *opened)
{
	struct files *files = to_files(transport);
	struct files_link *link = opened;

	cancel_link(files, link);
	mc_list_remove(&link->node);
	files_segment_close(link->segment);
	free(link);
}

static void stop(struct mc_transport *transport)
{
	struct files *files = to_files(transport);
	struct mc_list *node, *following;

	files->stopped = true;
	mc_list_each (node, following, &files->links)
		cancel_link(files, mc_list_entry(node, struct files_link, node));
}

static void close_files(struct mc_transport *transport)
{
	struct files *files = to_files(transport);

	if (files->watched)
		mc_watch_remove(transport->engine, &files->watch);
	if (files->crew)
		files_crew_leave(files->crew);
	free(files);
}

static void no_stats(struct mc_transport *transport, struct mc_engine_stats *stats)
{
	(void)transport;
	(void)stats;
}

const struct mc_transport_ops mc_files_ops = {
	.kind = MC_TRANSPORT_FILES,
	.capabilities = MC_CAN_BORROW | MC_CAN_CANCEL,
	.open = open_files,
	.stop = stop,
	.close = close_files,
	.connect = connect_files,
	.disconnect = disconnect,
	.submit = submit,
	.progress = progress,
	.expire = expire,
	.stats = no_stats,
};

/* ---- for the caller ---- */

/* progress_lock is held; the link is used by nobody else before it is let go. */
static int link_of(struct mc_engine *engine, uint32_t peer, struct files_link **found)
{
	void *link = NULL;
	int err = mc_peer_link(engine, peer, MC_TRANSPORT_FILES, &link);

	*found = link;
	return err == -EINVAL ? -ESTALE : err;
}

static int add(struct files_segment *segment, struct files_file *file)
{
	struct files_file **files;

	if (segment->count == MOST_FILES)
		return -ENOSPC;
	if (file->length > INT64_MAX - segment->length)
		return -EINVAL;
	files = realloc(segment->files, (segment->count + 1) * sizeof(*files));
	if (!files)
		return -ENOMEM;
	segment->files = files;
	files[segment->count++] = file;
	file->start = segment->length;
	segment->length += file->length;
	return 0;
}

int mc_files_add(struct mc_engine *engine, uint32_t peer, const char *path, uint64_t length,
		 char *why, uint32_t why_size)
{
	struct files_file *file;
	struct files_link *link;
	int err;

	if (!path || length == 0 || length > INT64_MAX || !why || why_size == 0)
		return -EINVAL;
	why[0] = 0;
	err = files_file_open(path, length, &file, why, why_size);
	if (err)
		return err;
	pthread_mutex_lock(&engine->progress_lock);
	err = link_of(engine, peer, &link);
	if (!err)
		err = link->used ? -EBUSY : add(link->segment, file);
	mc_engine_unlock(engine);
	if (err) {
		snprintf(why, why_size, "%s", strerror(-err));
		files_file_close(file);
	}
	return err;
}

int mc_files_failure(struct mc_engine *engine, uint32_t peer, char *text, uint32_t size)
{
	struct files_link *link;
	int err;

	if (!text || size == 0)
		return -EINVAL;
	pthread_mutex_lock(&engine->progress_lock);
	err = link_of(engine, peer, &link);
	if (!err) {
		struct files_crew *crew = link->segment->crew;

		pthread_mutex_lock(&crew->lock);
		snprintf(text, size, "%s", link->segment->failure);
		pthread_mutex_unlock(&crew->lock);
	}
	mc_engine_unlock(engine);
	return err;
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "shm_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common.h"

/* How long an owner that did not answer is not asked again. */
#define SILENT_NS 10000000000

int shm_client_open(struct mc_engine *engine, struct shm_client **opened)
{
	struct shm_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->engine = engine;
	mc_list_init(&client->links);
	mc_list_init(&client->closed);
	mc_list_init(&client->asking);
	mc_list_init(&client->ready);
	client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (client->wake_fd < 0) {
		int err = -errno;

		free(client);
		return err;
	}
	*opened = client;
	return 0;
}

static void link_free(struct shm_link *link)
{
	shm_maps_free(link->maps, NULL);
	shm_process_close(&link->owner);
	if (link->fd >= 0)
		close(link->fd);
	free(link);
}

void shm_links_free_closed(struct shm_client *client)
{
	while (!mc_list_empty(&client->closed)) {
		struct shm_link *link =
			mc_list_entry(client->closed.next, struct shm_link, entry);

		mc_list_remove(&link->entry);
		link_free(link);
	}
}

static struct shm_map *find_map(const struct shm_link *link, uint64_t address, uint64_t length)
{
	return shm_maps_find(link->maps, address, length);
}

static void move_all(struct mc_work_queue *to, struct mc_work_queue *from)
{
	struct mc_work *work;

	while ((work = mc_queue_pop(from))) {
		mc_work_sum_anew(work);
		mc_queue_push(to, work);
	}
}

/* Maps first: an owner takes the end of the connection for the end of all that it lent. */
void shm_link_drop(struct shm_client *client, struct shm_link *link, int err)
{
	shm_maps_free(link->maps, NULL);
	link->maps = NULL;
	shm_process_close(&link->owner);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->absent_until = !err	  ? 0 :
			     err == -EAGAIN ? client->engine->now + SILENT_NS :
					      MC_NEVER;
	move_all(&link->waiting, &link->active);
	move_all(&link->waiting, &link->writes);
	link->copied_bytes = 0;
	mc_list_remove(&link->ready);
	if (!link->waiting.first)
		return;
	if (err)
		shm_link_route(client, link);
	else
		shm_link_ask(client, link);
}

void shm_reroute(struct mc_work *work)
{
	mc_work_sum_anew(work);
	work->peer->transport->ops->submit(work->peer->transport, work);
}

void shm_link_refused(struct shm_client *client, struct shm_link *link)
{
	if (!link->refused)
		atomic_fetch_add(&client->refusals, 1);
	link->refused = true;
}

static void activate(struct shm_client *client, struct shm_link *link, struct mc_work *work)
{
	mc_queue_push(&link->active, work);
	if (mc_list_empty(&link->ready))
		mc_list_append(&client->ready, &link->ready);
}

/* Takes work whose range is known: to copy, to have it copied, or to TCP. */
static void take(struct shm_client *client, struct shm_link *link, struct mc_work *work,
		 const struct shm_map *map)
{
	if (shm_can_copy(link, work, map)) {
		activate(client, link, work);
	} else if (shm_can_order(link, work, map)) {
		work->transport[0] = 0;
		mc_queue_push(&link->writes, work);
		shm_link_ask(client, link);
	} else {
		shm_reroute(work);
	}
}

void shm_link_route(struct shm_client *client, struct shm_link *link)
{
	struct mc_work *work;

	while ((work = mc_queue_pop(&link->waiting))) {
		const struct shm_map *map = find_map(link, work->remote, work->length);

		if (shm_is_absent(client, link))
			shm_reroute(work);
		else if (map)
			take(client, link, work, map);
		else
			mc_work_finish(client->engine, work, -EFAULT, 0);
	}
}

/* ---- with progress_lock held, by whichever thread drives the engine ---- */

static void wake(struct shm_client *client)
{
	eventfd_write(client->wake_fd, 1);
}

static void fail_queue(struct mc_engine *engine, struct mc_work_queue *queue, int result)
{
	struct mc_work *work;

	while ((work = mc_queue_pop(queue)))
		mc_work_finish(engine, work, result, 0);
}

static void fail_all(struct mc_engine *engine, struct shm_link *link, int result)
{
	fail_queue(engine, &link->waiting, result);
	fail_queue(engine, &link->active, result);
	fail_queue(engine, &link->writes, result);
	fail_queue(engine, &link->ordered, result);
	if (link->busy && link->fd >= 0)
		shutdown(link->fd, SHUT_RDWR);
	link->copied_bytes = 0;
	mc_list_remove(&link->ready);
}

int shm_client_connect(struct shm_client *client, const char *name, void **opened)
{
	struct shm_link *link = calloc(1, sizeof(*link));

	(void)client;
	if (!link)
		return -ENOMEM;
	mc_list_init(&link->entry);
	mc_list_init(&link->asking);
	mc_list_init(&link->ready);
	link->fd = -1;
	link->owner.fd = -1;
	strncpy(link->name, name, sizeof(link->name) - 1);
	*opened = link;
	return 0;
}

void shm_client_disconnect(struct shm_client *client, void *opened)
{
	struct shm_link *link = opened;

	fail_all(client->engine, link, -ECANCELED);
	if (!link->known) {
		link_free(link);
		return;
	}
	mc_list_remove(&link->entry);
	mc_list_remove(&link->asking);
	client->link_count--;
	/* The thread may be using it. */
	mc_list_append(&client->closed, &link->entry);
	wake(client);
}

static bool start_thread(struct shm_client *client)
{
	if (!client->running)
		client->running =
			pthread_create(&client->thread, NULL, shm_client_run, client) == 0;
	return client->running;
}

void shm_link_ask(struct shm_client *client, struct shm_link *link)
{
	if (!link->known) {
		link->known = true;
		mc_list_append(&client->links, &link->entry);
		client->link_count++;
	}
	if (mc_list_empty(&link->asking))
		mc_list_append(&client->asking, &link->asking);
	wake(client);
}

static void ask_for(struct shm_client *client, struct shm_link *link, struct mc_work *work)
{
	if (!start_thread(client)) {
		link->absent_until = MC_NEVER;
		shm_reroute(work);
		return;
	}
	mc_queue_push(&link->waiting, work);
	shm_link_ask(client, link);
}

void shm_client_submit(struct shm_client *client, struct mc_work *work)
{
	struct shm_link *link = work->peer->direct_link;
	const struct shm_map *map = find_map(link, work->remote, work->length);

	if (client->stopped)
		mc_work_finish(client->engine, work, -ECANCELED, 0);
	else if (shm_is_absent(client, link) || work->remote > MC_WINDOW_MASK)
		shm_reroute(work);
	else if (map)
		take(client, link, work, map);
	else
		ask_for(client, link, work);
}

/* Whether the owner still lives: what is written to a dead one is lost. */
static bool is_alive(const struct shm_link *link)
{
	return link->fd >= 0 && shm_is_quiet(link->fd, POLLRDHUP);
}

static void note_served(struct shm_map *map, const struct mc_work *work)
{
	struct mc_shared_counts *served = &map->header->served;
	bool read = work->opcode == MC_OP_READ;

	atomic_fetch_add_explicit(read ? &served->reads : &served->writes, 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(read ? &served->read_bytes : &served->write_bytes, work->length,
				  memory_order_relaxed);
}

static void finish_copied(struct shm_client *client, struct shm_link *link)
{
	struct mc_work *work;
	bool alive;

	if (!link->copied.first)
		return;
	alive = is_alive(link);
	while ((work = mc_queue_pop(&link->copied))) {
		struct shm_map *map = find_map(link, work->remote, work->length);

		if (map && alive)
			note_served(map, work);
		mc_work_finish(client->engine, work, !alive ? -ECONNRESET : map ? 0 : -EFAULT, 0);
	}
}

/* Copies up to *budget bytes of the first active work; false when the budget is used up. */
static bool copy_some(struct shm_client *client, struct shm_link *link, uint64_t *budget)
{
	struct mc_work *work = link->active.first;
	struct shm_map *map = find_map(link, work->remote, work->length);
	uint64_t at = link->copied_bytes;
	uint64_t count = mc_min(work->length - at, *budget);

	int err = 0;

	if (map)
		err = shm_copy(client->engine, link, map, work, at, count);
	if (map && !err) {
		*budget -= count;
		link->copied_bytes += count;
		if (link->copied_bytes < work->length)
			return false;
	}
	link->copied_bytes = 0;
	mc_queue_pop(&link->active);
	if (map && !err) {
		mc_queue_push(&link->copied, work);
	} else if (err == -EPERM) {
		shm_link_refused(client, link);
		client->rerouted = true;
		shm_reroute(work);
	} else if (err)
		mc_work_finish(client->engine, work, err, 0);
	else
		mc_work_finish(client->engine, work, link->fd < 0 ? -ECONNRESET : -EFAULT, 0);
	return *budget > 0;
}

bool shm_client_progress(struct shm_client *client, uint64_t *budget)
{
	bool more;

	while (*budget > 0 && !mc_list_empty(&client->ready)) {
		struct shm_link *link = mc_list_entry(client->ready.next, struct shm_link, ready);

		while (link->active.first && copy_some(client, link, budget))
			;
		finish_copied(client, link);
		mc_list_remove(&link->ready);
		/* Others have their turn before this one goes on. */
		if (link->active.first)
			mc_list_append(&client->ready, &link->ready);
	}
	more = !mc_list_empty(&client->ready) || client->rerouted;
	client->rerouted = false;
	return more;
}

/* Ends what is overdue in a queue; returns the earliest deadline that remains. */
static int64_t expire_queue(struct shm_client *client, struct mc_work_queue *queue, int64_t now)
{
	struct mc_work *before = NULL, *work = queue->first;
	int64_t next = MC_NEVER;

	while (work) {
		struct mc_work *following = work->next;

		if (work->deadline <= now) {
			mc_queue_remove_after(queue, before);
			mc_work_finish(client->engine, work, -ETIMEDOUT, 0);
		} else {
			next = mc_earlier(next, work->deadline);
			before = work;
		}
		work = following;
	}
	return next;
}

int64_t shm_client_expire(struct shm_client *client, int64_t now)
{
	struct mc_list *node, *following;
	int64_t next = MC_NEVER;

	mc_list_each(node, following, &client->links) {
		struct shm_link *link = mc_list_entry(node, struct shm_link, entry);
		struct mc_work *first = link->active.first;

		next = mc_earlier(next, expire_queue(client, &link->waiting, now));
		next = mc_earlier(next, expire_queue(client, &link->active, now));
		next = mc_earlier(next, expire_queue(client, &link->writes, now));
		if (link->active.first != first)
			link->copied_bytes = 0;
		if (!link->active.first)
			mc_list_remove(&link->ready);
	}
	return next;
}

void shm_client_stop(struct shm_client *client)
{
	struct mc_list *node, *following;

	client->stopped = true;
	mc_list_each(node, following, &client->links) {
		struct shm_link *link = mc_list_entry(node, struct shm_link, entry);

		fail_all(client->engine, link, -ECANCELED);
		if (!link->busy)
			shm_link_drop(client, link, -ECANCELED);
	}
	wake(client);
}

void shm_client_join(struct shm_client *client)
{
	if (client->running)
		pthread_join(client->thread, NULL);
	client->running = false;
}

uint32_t shm_client_refusals(struct shm_client *client)
{
	return atomic_load(&client->refusals);
}

void shm_client_free(struct shm_client *client)
{
	shm_links_free_closed(client);
	close(client->wake_fd);
	free(client);
}

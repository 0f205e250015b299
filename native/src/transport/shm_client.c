// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common.h"
#include "../engine.h"
#include "../list.h"

/* How long an owner that did not answer is not asked again. */
#define SILENT_NS 10000000000
#define STEP_BYTES (1u << 20)

/* What is known of a peer. The thread alone changes fd and maps, with progress_lock held. */
struct shm_link {
	struct mc_list entry;  /* in the client's links or closed ones */
	struct mc_list asking; /* in the client's list of questions */
	struct mc_list ready;  /* in the client's list of links with something to copy */
	bool known;            /* the thread knows of the link */
	int64_t absent_until;  /* no such owner on this host; MC_NEVER: for good */
	int fd; /* -1: not connected */
	struct shm_maps *maps;
	uint64_t copied_bytes;         /* of the first active work */
	struct mc_work_queue waiting; /* for an answer */
	struct mc_work_queue active;
	struct mc_work_queue copied; /* to be finished when the owner is seen to live */
	char name[MC_LOCAL_NAME_SIZE];
};

/* Everything here but the thread's own belongs to progress_lock. */
struct shm_client {
	struct mc_engine *engine;
	struct mc_list links;
	struct mc_list closed;
	struct mc_list asking;
	struct mc_list ready;
	uint32_t link_count;
	pthread_t thread;
	bool running;
	bool stopped;
	int wake_fd;
};

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
	if (link->fd >= 0)
		close(link->fd);
	free(link);
}

static void replace_maps(struct shm_link *link, struct shm_maps *maps)
{
	shm_maps_free(link->maps, maps);
	link->maps = maps;
}

static struct shm_map *find_map(const struct shm_link *link, uint64_t address, uint64_t length)
{
	return shm_maps_find(link->maps, address, length);
}

/* The owner has gone, or is not one: what waits goes over TCP. */
static void drop_owner(struct shm_client *client, struct shm_link *link, int err)
{
	replace_maps(link, NULL);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->absent_until = err == -EAGAIN ? client->engine->now + SILENT_NS : MC_NEVER;
}

static bool is_absent(const struct shm_client *client, const struct shm_link *link)
{
	return link->absent_until > client->engine->now;
}

static void send_by_tcp(struct mc_work *work)
{
	work->peer->transport->ops->submit(work->peer->transport, work);
}

static void activate(struct shm_client *client, struct shm_link *link, struct mc_work *work)
{
	mc_queue_push(&link->active, work);
	if (mc_list_empty(&link->ready))
		mc_list_append(&client->ready, &link->ready);
}

/* Takes work whose range is known: to copy, or to TCP where it lies on a device. */
static void take(struct shm_client *client, struct shm_link *link, struct mc_work *work,
		 const struct shm_map *map)
{
	if (map->memory)
		activate(client, link, work);
	else
		send_by_tcp(work);
}

static void route_waiting(struct shm_client *client, struct shm_link *link)
{
	struct mc_work *work;

	while ((work = mc_queue_pop(&link->waiting))) {
		const struct shm_map *map = find_map(link, work->remote, work->length);

		if (is_absent(client, link))
			send_by_tcp(work);
		else if (map)
			take(client, link, work, map);
		else
			mc_work_finish(client->engine, work, -EFAULT, 0);
	}
}

/* progress_lock is held, and is not while the owner is asked. */
static void ask_next(struct shm_client *client)
{
	struct shm_link *link =
		mc_list_entry(client->asking.next, struct shm_link, asking);
	struct mc_engine *engine = client->engine;
	uint8_t identity[MC_IDENTITY_SIZE];
	struct shm_maps *maps = NULL;
	int fd = link->fd, err = 0;

	mc_list_remove(&link->asking);
	pthread_mutex_lock(&engine->state_lock);
	memcpy(identity, engine->identity, sizeof(identity));
	pthread_mutex_unlock(&engine->state_lock);
	mc_engine_unlock(engine);
	if (fd < 0) {
		fd = shm_owner_connect(link->name);
		err = fd < 0 ? fd : 0;
	}
	if (!err)
		err = shm_maps_ask(fd, identity, link->maps, &maps);
	pthread_mutex_lock(&engine->progress_lock);
	engine->now = mc_now();
	if (fd >= 0)
		link->fd = fd;
	if (err)
		drop_owner(client, link, err);
	else
		replace_maps(link, maps);
	route_waiting(client, link);
	mc_engine_step(engine, STEP_BYTES);
}

/* progress_lock is held. Links whose owner has closed the connection lose it. */
static void drop_gone(struct shm_client *client, const struct pollfd *polled, uint32_t count)
{
	struct mc_list *node, *following;

	mc_list_each(node, following, &client->links) {
		struct shm_link *link = mc_list_entry(node, struct shm_link, entry);

		for (uint32_t i = 1; i < count; i++) {
			if (polled[i].fd == link->fd && polled[i].revents)
				drop_owner(client, link, 0);
		}
	}
}

static void free_closed(struct shm_client *client)
{
	while (!mc_list_empty(&client->closed)) {
		struct shm_link *link =
			mc_list_entry(client->closed.next, struct shm_link, entry);

		mc_list_remove(&link->entry);
		link_free(link);
	}
}

/* Lists the wake event and every connection; returns NULL without memory. */
static struct pollfd *list_connections(struct shm_client *client, uint32_t *count)
{
	struct pollfd *polled = calloc(client->link_count + 1, sizeof(*polled));
	struct mc_list *node, *following;

	if (!polled)
		return NULL;
	polled[0] = (struct pollfd){ .fd = client->wake_fd, .events = POLLIN };
	*count = 1;
	mc_list_each(node, following, &client->links) {
		struct shm_link *link = mc_list_entry(node, struct shm_link, entry);

		if (link->fd >= 0)
			polled[(*count)++] = (struct pollfd){ .fd = link->fd, .events = POLLIN };
	}
	return polled;
}

static void *run(void *argument)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct shm_client *client = argument;
	struct mc_engine *engine = client->engine;

	pthread_mutex_lock(&engine->progress_lock);
	while (!client->stopped) {
		struct pollfd *polled;
		eventfd_t value;
		uint32_t count;

		free_closed(client);
		if (!mc_list_empty(&client->asking)) {
			ask_next(client);
			continue;
		}
		polled = list_connections(client, &count);
		mc_engine_unlock(engine);
		if (polled)
			poll(polled, count, -1);
		else
			nanosleep(&nap, NULL);
		pthread_mutex_lock(&engine->progress_lock);
		eventfd_read(client->wake_fd, &value);
		if (polled)
			drop_gone(client, polled, count);
		free(polled);
	}
	mc_engine_unlock(engine);
	return NULL;
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
		client->running = pthread_create(&client->thread, NULL, run, client) == 0;
	return client->running;
}

static void ask_for(struct shm_client *client, struct shm_link *link, struct mc_work *work)
{
	if (!start_thread(client)) {
		link->absent_until = MC_NEVER;
		send_by_tcp(work);
		return;
	}
	if (!link->known) {
		link->known = true;
		mc_list_append(&client->links, &link->entry);
		client->link_count++;
	}
	mc_queue_push(&link->waiting, work);
	if (mc_list_empty(&link->asking))
		mc_list_append(&client->asking, &link->asking);
	wake(client);
}

void shm_client_submit(struct shm_client *client, struct mc_work *work)
{
	struct shm_link *link = work->peer->direct_link;
	const struct shm_map *map = find_map(link, work->remote, work->length);

	if (client->stopped)
		mc_work_finish(client->engine, work, -ECANCELED, 0);
	else if (is_absent(client, link) || work->remote > MC_WINDOW_MASK)
		send_by_tcp(work);
	else if (map)
		take(client, link, work, map);
	else
		ask_for(client, link, work);
}

/* Whether the owner still lives: what is written to a dead one is lost. */
static bool is_alive(const struct shm_link *link)
{
	struct pollfd owner = { .fd = link->fd, .events = POLLRDHUP };

	return link->fd >= 0 && poll(&owner, 1, 0) == 0;
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
		err = mc_work_copy(client->engine, work, at,
				   map->memory + (work->remote - map->base) + at, count);
	if (map && !err) {
		*budget -= count;
		link->copied_bytes += count;
		if (link->copied_bytes < work->length)
			return false;
	}
	link->copied_bytes = 0;
	mc_queue_pop(&link->active);
	if (map && !err)
		mc_queue_push(&link->copied, work);
	else if (err)
		mc_work_finish(client->engine, work, err, 0);
	else
		mc_work_finish(client->engine, work, link->fd < 0 ? -ECONNRESET : -EFAULT, 0);
	return *budget > 0;
}

bool shm_client_progress(struct shm_client *client, uint64_t *budget)
{
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
	return !mc_list_empty(&client->ready);
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
	}
	wake(client);
}

void shm_client_join(struct shm_client *client)
{
	if (client->running)
		pthread_join(client->thread, NULL);
	client->running = false;
}

void shm_client_free(struct shm_client *client)
{
	free_closed(client);
	close(client->wake_fd);
	free(client);
}

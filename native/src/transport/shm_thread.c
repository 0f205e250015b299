// SPDX-License-Identifier: Apache-2.0
/* The thread of a client that talks with owners, so that nobody else waits for them. */
#define _GNU_SOURCE
#include "shm_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../common.h"

#define STEP_BYTES (1u << 20)

/* What follows uses the link without the lock; who changes its queues meanwhile sees that. */
static void begin_talk(struct shm_client *client, struct shm_link *link, uint8_t *identity)
{
	struct mc_engine *engine = client->engine;

	link->busy = true;
	pthread_mutex_lock(&engine->state_lock);
	memcpy(identity, engine->identity, MC_IDENTITY_SIZE);
	pthread_mutex_unlock(&engine->state_lock);
	mc_engine_unlock(engine);
}

static void end_talk(struct shm_client *client, struct shm_link *link)
{
	pthread_mutex_lock(&client->engine->progress_lock);
	client->engine->now = mc_now();
	link->busy = false;
}

/* Asks an owner what it publishes. */
static void ask(struct shm_client *client, struct shm_link *link)
{
	struct shm_process owner = link->owner;
	uint8_t identity[MC_IDENTITY_SIZE];
	struct shm_maps *maps = NULL;
	int fd = link->fd, err = 0;

	begin_talk(client, link, identity);
	if (fd < 0) {
		fd = shm_owner_connect(link->name);
		err = fd < 0 ? fd : 0;
		if (!err)
			owner = shm_process_of(fd);
	}
	if (!err)
		err = shm_maps_ask(fd, identity, owner.pid, link->maps, &maps);
	end_talk(client, link);
	if (fd >= 0) {
		link->fd = fd;
		link->owner = owner;
	}
	if (!err) {
		shm_maps_free(link->maps, maps);
		link->maps = maps;
		shm_link_route(client, link);
	}
	if (err || client->stopped)
		shm_link_drop(client, link, err ? err : -ECANCELED);
}

/* Ends a write, or has its next part taken. */
static void settle(struct shm_client *client, struct shm_link *link, struct mc_work *work,
		   uint64_t length, int result)
{
	work->transport[0] += length;
	if (result == -EPERM) {
		shm_link_refused(client, link);
		shm_reroute(work);
	} else if (result || work->transport[0] == work->length) {
		mc_work_finish(client->engine, work, result == -ESRCH ? -ECONNRESET : result, 0);
	} else {
		mc_queue_push_front(&link->writes, work);
	}
}

/* Has an owner take writes. Those that are cancelled meanwhile are in no queue any more. */
static void order(struct shm_client *client, struct shm_link *link)
{
	struct shm_write writes[SHM_BATCH];
	uint8_t identity[MC_IDENTITY_SIZE];
	int32_t results[SHM_BATCH];
	uint64_t bytes = 0;
	struct mc_work *work;
	uint32_t count = 0;
	int err;

	while (count < SHM_BATCH && bytes < SHM_TAKE_BYTES &&
	       (work = mc_queue_pop(&link->writes))) {
		uint64_t at = work->transport[0];
		uint64_t length = mc_min(work->length - at, SHM_TAKE_BYTES - bytes);

		writes[count++] = (struct shm_write){
			.remote = work->remote + at,
			.address = (uintptr_t)work->local + at,
			.length = length,
			.last = at + length == work->length,
		};
		bytes += length;
		mc_queue_push(&link->ordered, work);
	}
	begin_talk(client, link, identity);
	err = shm_order(link->fd, identity, writes, count, results);
	end_talk(client, link);
	for (uint32_t i = 0; (work = mc_queue_pop(&link->ordered)); i++) {
		if (err)
			shm_reroute(work);
		else
			settle(client, link, work, writes[i].length, results[i]);
	}
	if (err || client->stopped)
		shm_link_drop(client, link, err ? err : -ECANCELED);
	else if (link->writes.first)
		shm_link_ask(client, link);
}

static void serve_next(struct shm_client *client)
{
	struct shm_link *link = mc_list_entry(client->asking.next, struct shm_link, asking);

	mc_list_remove(&link->asking);
	if (link->waiting.first)
		ask(client, link);
	else if (link->writes.first)
		order(client, link);
	mc_engine_step(client->engine, STEP_BYTES);
}

/* progress_lock is held. Links whose owner has closed the connection lose it. */
static void drop_gone(struct shm_client *client, const struct pollfd *polled, uint32_t count)
{
	struct mc_list *node, *following;

	mc_list_each(node, following, &client->links) {
		struct shm_link *link = mc_list_entry(node, struct shm_link, entry);

		for (uint32_t i = 1; i < count; i++) {
			if (polled[i].fd == link->fd && polled[i].revents)
				shm_link_drop(client, link, 0);
		}
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

void *shm_client_run(void *argument)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	struct shm_client *client = argument;
	struct mc_engine *engine = client->engine;

	pthread_mutex_lock(&engine->progress_lock);
	while (!client->stopped) {
		struct pollfd *polled;
		eventfd_t value;
		uint32_t count;

		shm_links_free_closed(client);
		if (!mc_list_empty(&client->asking)) {
			serve_next(client);
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


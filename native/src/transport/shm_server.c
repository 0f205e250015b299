// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common.h"
#include "../engine.h"

#define CONNECTIONS_MAX 1024u
#define KEPT_OUT_MAX 1024u
#define NAME_PREFIX "snowskin-"
/* How long is waited for those who have handles of devices. */
#define RECALL_LIMIT_S 2

/* Who is answered nothing until a time of mc_now(). */
struct kept_out {
	uint8_t identity[MC_IDENTITY_SIZE];
	int64_t until;
};

/* Who is at the other end of a connection. */
struct guest {
	bool has_asked; /* and so may have mapped something */
	bool has_handles; /* of memory of devices */
	bool recalled;
	uint8_t asker[MC_IDENTITY_SIZE];
	struct shm_process process; /* of the thread */
};

struct shm_server {
	struct mc_engine *engine;
	struct mc_reader reader;
	pthread_t thread;
	bool started;
	int listen_fd;
	int stop_fd;
	uint32_t count; /* of polled */
	char name[MC_LOCAL_NAME_SIZE];
	/* The stop event, the listening socket, then connections. */
	struct pollfd polled[2 + CONNECTIONS_MAX];

	pthread_mutex_t lock; /* changes of count, and what follows */
	pthread_cond_t ended; /* a connection */
	bool closing;         /* nobody is let in any more */
	struct guest guests[2 + CONNECTIONS_MAX];
	uint32_t kept_out_count;
	struct kept_out kept_out[KEPT_OUT_MAX];
};

socklen_t shm_address(const char *name, struct sockaddr_un *address)
{
	size_t length = strnlen(name, sizeof(address->sun_path) - 1);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path + 1, name, length);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int shm_server_open(struct mc_engine *engine, struct shm_server **opened)
{
	struct shm_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->engine = engine;
	server->listen_fd = -1;
	server->stop_fd = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->ended, NULL);
	*opened = server;
	return 0;
}

static void choose_name(struct shm_server *server)
{
	uint8_t random[16];
	char *at = server->name;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return;
	at += sprintf(at, NAME_PREFIX);
	for (size_t i = 0; i < sizeof(random); i++)
		at += sprintf(at, "%02x", random[i]);
}

/* Whoever could read this process's memory anyway. */
static bool is_trusted(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static int send_answer(int fd, struct shm_answer *answer, const int *descriptors)
{
	union {
		char bytes[CMSG_SPACE(SHM_BATCH * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {
		.iov_base = answer,
		.iov_len = offsetof(struct shm_answer, offers) +
			   answer->count * sizeof(answer->offers[0]),
	};
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (answer->count > 0) {
		size_t bytes = answer->count * sizeof(int);
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(bytes);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(header), descriptors, bytes);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* How a region is reached. */
static struct shm_offer offer_of(struct mc_region *region)
{
	struct shm_offer offer = {
		.base = region->remote_base,
		.length = region->length,
		.shift = region->shift,
		.kind = SHM_FILE,
	};

	if (!region->device && !region->adopted)
		return offer;
	offer.shift = 0;
	offer.kind = region->device ? SHM_REMOTE : SHM_PROCESS;
	offer.address = (uintptr_t)region->memory;
	if (region->has_handle) {
		offer.kind = SHM_DEVICE;
		offer.handle = region->handle;
		memcpy(offer.location, region->device->location, sizeof(offer.location));
		region->handed_out = true;
	}
	return offer;
}

/* Takes what is published from *cursor on; the descriptors are duplicates. */
static void collect(struct mc_engine *engine, uint32_t *cursor, struct shm_answer *answer,
		    int *descriptors)
{
	struct mc_region *region;

	answer->magic = SHM_MAGIC;
	answer->count = 0;
	answer->more = 0;
	answer->reserved = 0;
	pthread_mutex_lock(&engine->state_lock);
	while (answer->count < SHM_BATCH && (region = mc_slots_next(&engine->regions, cursor))) {
		int fd = region->host.fd < 0 || !region->remote_base ? -1 : dup(region->host.fd);

		if (fd < 0)
			continue;
		descriptors[answer->count] = fd;
		answer->offers[answer->count++] = offer_of(region);
	}
	pthread_mutex_unlock(&engine->state_lock);
	if (answer->count == SHM_BATCH)
		answer->more = 1;
}

/* lock is held. Before the handles leave, so that whoever recalls them knows of the guest. */
static void note_handles(struct shm_server *server, uint32_t index, const struct shm_answer *answer)
{
	for (uint32_t i = 0; i < answer->count; i++) {
		if (answer->offers[i].kind == SHM_DEVICE)
			server->guests[index].has_handles = true;
	}
}

static int answer_all(struct shm_server *server, uint32_t index)
{
	int fd = server->polled[index].fd;
	int descriptors[SHM_BATCH];
	struct shm_answer answer;
	uint32_t cursor = 0;
	int err;

	do {
		pthread_mutex_lock(&server->lock);
		collect(server->engine, &cursor, &answer, descriptors);
		note_handles(server, index, &answer);
		pthread_mutex_unlock(&server->lock);
		err = send_answer(fd, &answer, descriptors);
		for (uint32_t i = 0; i < answer.count; i++)
			close(descriptors[i]);
	} while (!err && answer.more);
	return err;
}

static void take_connections(struct shm_server *server)
{
	const struct timeval limit = { .tv_sec = 1 };
	int fd;

	while ((fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (server->count == MC_ARRAY_SIZE(server->polled) || !is_trusted(fd)) {
			close(fd);
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		pthread_mutex_lock(&server->lock);
		server->guests[server->count] = (struct guest){ .process = shm_process_of(fd) };
		server->polled[server->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		pthread_mutex_unlock(&server->lock);
	}
}

static void end_connection(struct shm_server *server, uint32_t index)
{
	pthread_mutex_lock(&server->lock);
	close(server->polled[index].fd);
	shm_process_close(&server->guests[index].process);
	server->count--;
	server->polled[index] = server->polled[server->count];
	server->guests[index] = server->guests[server->count];
	pthread_cond_broadcast(&server->ended);
	pthread_mutex_unlock(&server->lock);
}

/* lock is held. */
static void drop_due(struct shm_server *server)
{
	int64_t now = mc_now();

	for (uint32_t i = server->kept_out_count; i-- > 0;) {
		if (server->kept_out[i].until <= now)
			server->kept_out[i] = server->kept_out[--server->kept_out_count];
	}
}

static bool is_nobody(const uint8_t *identity)
{
	static const uint8_t nobody[MC_IDENTITY_SIZE];

	return memcmp(identity, nobody, sizeof(nobody)) == 0;
}

/* Could a be b? Whoever does not say who he is could be anybody. */
static bool may_be(const uint8_t *a, const uint8_t *b)
{
	return is_nobody(a) || is_nobody(b) || memcmp(a, b, MC_IDENTITY_SIZE) == 0;
}

/* Notes who asks; false when he is kept out. */
static bool let_in(struct shm_server *server, uint32_t index, const uint8_t *asker)
{
	bool allowed;

	pthread_mutex_lock(&server->lock);
	allowed = !server->closing && !server->guests[index].recalled;
	drop_due(server);
	for (uint32_t i = 0; i < server->kept_out_count; i++)
		allowed = allowed && !may_be(server->kept_out[i].identity, asker);
	if (allowed) {
		server->guests[index].has_asked = true;
		memcpy(server->guests[index].asker, asker, MC_IDENTITY_SIZE);
	}
	pthread_mutex_unlock(&server->lock);
	return allowed;
}

int shm_server_fence(struct shm_server *server, const uint8_t *writer, int64_t until)
{
	int err = 0;

	pthread_mutex_lock(&server->lock);
	drop_due(server);
	for (uint32_t i = 2; i < server->count; i++) {
		if (server->guests[i].has_asked && may_be(server->guests[i].asker, writer))
			err = -EBUSY;
	}
	if (!err && server->kept_out_count == KEPT_OUT_MAX)
		err = -ENOSPC;
	if (!err) {
		struct kept_out *kept = &server->kept_out[server->kept_out_count++];

		memcpy(kept->identity, writer, MC_IDENTITY_SIZE);
		kept->until = until;
	}
	pthread_mutex_unlock(&server->lock);
	return err;
}

struct order {
	struct shm_question question;
	struct shm_write writes[SHM_BATCH];
};

/* Takes the writes of an order. A writer who has hung up waits for nothing any more. */
static int take_all(struct shm_server *server, uint32_t index, const struct order *order)
{
	int writer = server->polled[index].fd;
	struct shm_taken taken = { .magic = SHM_MAGIC, .count = order->question.count };

	for (uint32_t i = 0; i < taken.count; i++) {
		if (!shm_is_quiet(writer, POLLRDHUP))
			return -ECONNRESET;
		taken.results[i] = shm_take(server->engine, &server->reader,
					    &server->guests[index].process, &order->writes[i]);
	}
	return send(writer, &taken,
		    offsetof(struct shm_taken, results) + taken.count * sizeof(taken.results[0]),
		    MSG_NOSIGNAL) < 0 ?
		       -errno :
		       0;
}

/* Returns false when the connection is over. */
static bool take_question(struct shm_server *server, uint32_t index)
{
	struct order order;
	ssize_t got = recv(server->polled[index].fd, &order, sizeof(order), MSG_DONTWAIT);
	uint32_t count;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got < (ssize_t)sizeof(order.question) || order.question.magic != SHM_MAGIC)
		return false;
	count = order.question.count;
	if (count > SHM_BATCH ||
	    (size_t)got != sizeof(order.question) + count * sizeof(order.writes[0]) ||
	    !let_in(server, index, order.question.asker))
		return false;
	return (count ? take_all(server, index, &order) : answer_all(server, index)) == 0;
}

bool shm_server_recall(struct shm_server *server)
{
	struct timespec until;
	bool waiting = true;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RECALL_LIMIT_S;
	pthread_mutex_lock(&server->lock);
	for (uint32_t i = 2; i < server->count; i++) {
		server->guests[i].recalled = server->guests[i].has_handles;
		if (server->guests[i].recalled)
			shutdown(server->polled[i].fd, SHUT_WR);
	}
	while (waiting && !err) {
		waiting = false;
		for (uint32_t i = 2; i < server->count; i++)
			waiting |= server->guests[i].recalled;
		if (waiting)
			err = pthread_cond_timedwait(&server->ended, &server->lock, &until);
	}
	pthread_mutex_unlock(&server->lock);
	return !waiting;
}

static void *serve(void *argument)
{
	struct shm_server *server = argument;

	for (;;) {
		if (poll(server->polled, server->count, -1) < 0 && errno != EINTR)
			return NULL;
		if (server->polled[0].revents)
			return NULL;
		for (uint32_t i = server->count; i-- > 2;) {
			if (server->polled[i].revents && !take_question(server, i))
				end_connection(server, i);
		}
		if (server->polled[1].revents)
			take_connections(server);
	}
}

int shm_server_start(struct shm_server *server)
{
	struct sockaddr_un address;
	int err;

	if (server->started)
		return -EALREADY;
	choose_name(server);
	if (!server->name[0])
		return -EIO;
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->stop_fd < 0 || server->listen_fd < 0)
		goto failed;
	if (bind(server->listen_fd, (struct sockaddr *)&address,
		 shm_address(server->name, &address)) < 0 ||
	    listen(server->listen_fd, 128) < 0)
		goto failed;
	server->polled[0] = (struct pollfd){ .fd = server->stop_fd, .events = POLLIN };
	server->polled[1] = (struct pollfd){ .fd = server->listen_fd, .events = POLLIN };
	server->count = 2;
	mc_reader_add(&server->engine->publisher, &server->reader);
	err = pthread_create(&server->thread, NULL, serve, server);
	if (err) {
		mc_reader_remove(&server->engine->publisher, &server->reader);
		errno = err;
		goto failed;
	}
	server->started = true;
	return 0;

failed:
	err = -errno;
	server->name[0] = 0;
	return err;
}

const char *shm_server_name(const struct shm_server *server)
{
	return server->name;
}

/* Nobody has a handle any more. */
static void take_handles_back(struct mc_engine *engine)
{
	struct mc_region *region;
	uint32_t cursor = 0;

	pthread_mutex_lock(&engine->state_lock);
	while ((region = mc_slots_next(&engine->regions, &cursor)))
		region->handed_out = false;
	pthread_mutex_unlock(&engine->state_lock);
}

void shm_server_stop(struct shm_server *server)
{
	if (!server->started)
		return;
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	pthread_mutex_unlock(&server->lock);
	if (shm_server_recall(server))
		take_handles_back(server->engine);
	eventfd_write(server->stop_fd, 1);
	pthread_join(server->thread, NULL);
	mc_reader_remove(&server->engine->publisher, &server->reader);
	server->started = false;
	server->name[0] = 0;
	for (uint32_t i = 2; i < server->count; i++) {
		close(server->polled[i].fd);
		shm_process_close(&server->guests[i].process);
	}
	pthread_mutex_lock(&server->lock);
	server->count = 0;
	pthread_mutex_unlock(&server->lock);
}

void shm_server_free(struct shm_server *server)
{
	shm_server_stop(server);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	pthread_cond_destroy(&server->ended);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

// SPDX-License-Identifier: Apache-2.0
/* Answers handshakes, which the core passes on. A silent or slow peer costs its own connection. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../src/common.h"
#include "json.h"
#include "te.h"

#define GUESTS_MAX 64
#define LENGTH_SIZE 8u
#define FIRST_ROOM 1024u

static const char probe_reply[] = "{\"status\":\"success\"}";
static const char note_reply[] = "{\"name\":\"\",\"notify_msg\":\"success\"}";
static const char note_refusal[] = "{\"name\":\"\",\"notify_msg\":\"\"}";
/* There are no queue pairs here. */
static const char connection_reply[] =
	"{\"local_gid\":\"\",\"local_lid\":0,\"local_nic_path\":\"\",\"payload\":\"\","
	"\"peer_nic_path\":\"\",\"qp_num\":[],\"reply_msg\":\"\"}";

struct guest {
	int fd; /* -1: free */
	uint8_t *bytes;
	uint64_t have, room;
	int64_t deadline;
};

struct te_answerer {
	struct te *te;
	pthread_t thread;
	int listener, stopper;
	struct guest guests[GUESTS_MAX];
};

static void dismiss(struct guest *guest)
{
	close(guest->fd);
	free(guest->bytes);
	*guest = (struct guest){ .fd = -1 };
}

static char *answer_note(struct te *te, struct json_text body)
{
	struct json_text name, msg;
	char *who = NULL, *what = NULL;

	if (json_member(body, "name", &name))
		who = json_string(name);
	if (json_member(body, "notify_msg", &msg))
		what = json_string(msg);
	if (!who || !what) {
		free(who);
		free(what);
		return NULL;
	}
	return strdup(te_keep_note(te, who, what) ? note_reply : note_refusal);
}

static char *answer(struct te *te, uint8_t type, struct json_text body)
{
	switch (type) {
	case TE_CONNECTION:
		return strdup(connection_reply);
	case TE_METADATA:
		return te_document(te);
	case TE_NOTIFY:
		return answer_note(te, body);
	default:
		return strdup(probe_reply);
	}
}

/* A guest that does not take its answer goes without the rest of it. */
static void reply(struct te *te, struct guest *guest, uint64_t length)
{
	const uint8_t *frame = guest->bytes + LENGTH_SIZE;
	bool untyped = frame[0] > TE_PROBE;
	struct json_text body = {
		.at = (const char *)frame + !untyped,
		.end = (const char *)frame + length,
	};
	char *text = answer(te, untyped ? TE_CONNECTION : frame[0], body);
	uint64_t size;
	uint8_t *out;

	if (!text)
		return;
	size = strlen(text) + !untyped;
	out = malloc(LENGTH_SIZE + size);
	if (out) {
		memcpy(out, &size, LENGTH_SIZE);
		if (!untyped)
			out[LENGTH_SIZE] = frame[0];
		memcpy(out + LENGTH_SIZE + !untyped, text, size - !untyped);
		(void)!send(guest->fd, out, LENGTH_SIZE + size, MSG_NOSIGNAL);
	}
	free(out);
	free(text);
}

/* False once the guest has been answered, or will not be. */
static bool hear(struct te *te, struct guest *guest)
{
	uint64_t length;
	ssize_t got;

	if (guest->have == guest->room) {
		uint64_t room = guest->room ? 2 * guest->room : FIRST_ROOM;
		uint8_t *bytes = room > 2 * TE_FRAME_MAX ? NULL : realloc(guest->bytes, room);

		if (!bytes)
			return false;
		guest->bytes = bytes;
		guest->room = room;
	}
	got = recv(guest->fd, guest->bytes + guest->have, guest->room - guest->have, MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	guest->have += (uint64_t)got;
	if (got == 0)
		return false;
	if (guest->have < LENGTH_SIZE)
		return true;
	memcpy(&length, guest->bytes, LENGTH_SIZE);
	if (length == 0 || length > TE_FRAME_MAX)
		return false;
	if (guest->have < LENGTH_SIZE + length)
		return true;
	reply(te, guest, length);
	return false;
}

static void welcome(struct te_answerer *answerer)
{
	int fd = accept4(answerer->listener, NULL, NULL, SOCK_CLOEXEC);
	const struct timeval patience = { .tv_sec = 1 };

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < GUESTS_MAX; i++) {
		struct guest *guest = &answerer->guests[i];

		if (guest->fd >= 0)
			continue;
		guest->fd = fd;
		guest->deadline = mc_now() + TE_HANDSHAKE_MS * 1000000ll;
		return;
	}
	close(fd);
}

static void *serve(void *argument)
{
	struct te_answerer *answerer = argument;
	struct pollfd waits[2 + GUESTS_MAX];
	struct guest *guests = answerer->guests;

	for (;;) {
		bool crowd = false;

		waits[0] = (struct pollfd){ .fd = answerer->stopper, .events = POLLIN };
		waits[1] = (struct pollfd){ .fd = answerer->listener, .events = POLLIN };
		for (int i = 0; i < GUESTS_MAX; i++) {
			waits[2 + i] = (struct pollfd){ .fd = guests[i].fd, .events = POLLIN };
			crowd |= guests[i].fd >= 0;
		}
		if (poll(waits, 2 + GUESTS_MAX, crowd ? 1000 : -1) < 0)
			continue;
		if (waits[0].revents)
			return NULL;
		for (int i = 0; i < GUESTS_MAX; i++) {
			if (guests[i].fd < 0)
				continue;
			if ((waits[2 + i].revents && !hear(answerer->te, &guests[i])) ||
			    mc_now() > guests[i].deadline)
				dismiss(&guests[i]);
		}
		if (waits[1].revents)
			welcome(answerer);
	}
}

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	memcpy(address.sun_path + 1, name, length);
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) < 0 ||
	    listen(fd, GUESTS_MAX) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int te_answerer_start(struct te *te, const char *name)
{
	struct te_answerer *answerer = calloc(1, sizeof(*answerer));

	if (!answerer)
		return ERR_MEMORY;
	answerer->te = te;
	answerer->listener = listen_at(name);
	answerer->stopper = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < GUESTS_MAX; i++)
		answerer->guests[i].fd = -1;
	if (answerer->listener < 0 || answerer->stopper < 0 ||
	    pthread_create(&answerer->thread, NULL, serve, answerer)) {
		close(answerer->listener);
		close(answerer->stopper);
		free(answerer);
		return ERR_SOCKET;
	}
	te->answerer = answerer;
	return 0;
}

void te_answerer_stop(struct te *te)
{
	struct te_answerer *answerer = te->answerer;
	const uint64_t one = 1;

	(void)!write(answerer->stopper, &one, sizeof(one));
	pthread_join(answerer->thread, NULL);
	for (int i = 0; i < GUESTS_MAX; i++) {
		if (answerer->guests[i].fd >= 0)
			dismiss(&answerer->guests[i]);
	}
	close(answerer->listener);
	close(answerer->stopper);
	free(answerer);
}

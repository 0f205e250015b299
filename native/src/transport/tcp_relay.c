// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tcp_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common.h"

/* How long a peer that was answered may take to close. */
#define LINGER_NS 2000000000

#define HANDSHAKE_LENGTH_SIZE 8u
/* The widest limit that a handshake can be given. */
#define HANDSHAKE_MAX (64ull << 20)
#define HANDSHAKE_LAST_TYPE 3
/* Bytes of a request's size and address. */
#define TELLING_SIZE 16u

/* JSON text holds no control characters but these. */
static bool is_text(uint8_t byte)
{
	return byte >= ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool all_text(const uint8_t *bytes, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		if (!is_text(bytes[i]))
			return false;
	}
	return true;
}

/*
 * Is a frame an object, after its type byte or alone? Nothing follows a handshake, while the
 * rest of a request's header comes with its start: the network would have to cut the header
 * in front of its 12th byte or so, and the address to end in these bytes, for the two to
 * look the same.
 */
static bool is_small_object(const uint8_t *frame, uint64_t length)
{
	uint64_t from = frame[0] == '{' ? 0 : 1;

	while (length > from && frame[length - 1] <= ' ')
		length--;
	return length >= from + 2 && frame[from] == '{' && frame[length - 1] == '}';
}

/*
 * A handshake is a length u64, a type byte (or none, then '{'), and JSON; a request is a size
 * u64, an address u64 and more. Where the address has its last byte, which is 0 in every one
 * that we publish, a handshake has text, or has ended.
 */
enum tcp_first tcp_first_bytes(const uint8_t *bytes, uint32_t size)
{
	uint64_t length, end;
	uint32_t seen = (uint32_t)mc_min(size, TELLING_SIZE);

	if (size < HANDSHAKE_LENGTH_SIZE)
		return FIRST_UNKNOWN;
	memcpy(&length, bytes, sizeof(length));
	if (length == 0 || length > HANDSHAKE_MAX)
		return FIRST_REQUEST;
	if (size == HANDSHAKE_LENGTH_SIZE)
		return FIRST_UNKNOWN;
	if (bytes[HANDSHAKE_LENGTH_SIZE] > HANDSHAKE_LAST_TYPE &&
	    bytes[HANDSHAKE_LENGTH_SIZE] != '{')
		return FIRST_REQUEST;
	if (!all_text(bytes, HANDSHAKE_LENGTH_SIZE + 1, seen))
		return FIRST_REQUEST;
	end = HANDSHAKE_LENGTH_SIZE + length;
	if (end < TELLING_SIZE) {
		if (size < end)
			return FIRST_UNKNOWN;
		return size == end && is_small_object(bytes + HANDSHAKE_LENGTH_SIZE, length) ?
			       FIRST_HANDSHAKE :
			       FIRST_REQUEST;
	}
	return size < TELLING_SIZE ? FIRST_UNKNOWN : FIRST_HANDSHAKE;
}

static void relay_free(struct tcp_thread *thread, struct tcp_relay *relay)
{
	mc_list_remove(&relay->entry);
	mc_list_remove(&relay->ready);
	mc_stream_close(&relay->peer.stream);
	mc_stream_close(&relay->answerer.stream);
	thread->relay_count--;
	free(relay);
}

static int connect_answerer(const struct tcp_server *server)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&server->answerer, server->answerer_size) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static bool watch_end(struct tcp_thread *thread, struct tcp_relay_end *end, int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = (void *)((uintptr_t)end | TCP_RELAY_TAG),
	};

	return epoll_ctl(thread->epoll_fd, operation, end->stream.fd, &event) == 0;
}

static void set_ready(struct tcp_thread *thread, struct tcp_relay *relay)
{
	if (mc_list_empty(&relay->ready))
		mc_list_append(&thread->ready_relays, &relay->ready);
}

void tcp_relay_begin(struct tcp_thread *thread, struct tcp_session *session)
{
	struct tcp_relay *relay;

	if (thread->relay_count == TCP_RELAYS_MAX || session->held_size > TCP_RELAY_BUFFER)
		return;
	relay = calloc(1, sizeof(*relay));
	if (!relay)
		return;
	thread->relay_count++;
	mc_list_init(&relay->entry);
	mc_list_init(&relay->ready);
	relay->active = thread->now;
	relay->peer.relay = relay->answerer.relay = relay;
	relay->peer.stream = session->stream;
	session->stream = (struct mc_stream){ .fd = -1 };
	relay->peer.readable = relay->peer.writable = true;
	relay->peer.to = session->held_size;
	memcpy(relay->peer.bytes, session->held + session->held_at, session->held_size);
	relay->answerer.stream.fd = connect_answerer(thread->server);
	relay->answerer.readable = relay->answerer.writable = true;
	if (relay->answerer.stream.fd < 0 || !watch_end(thread, &relay->peer, EPOLL_CTL_MOD) ||
	    !watch_end(thread, &relay->answerer, EPOLL_CTL_ADD)) {
		relay_free(thread, relay);
		return;
	}
	mc_list_append(&thread->relays, &relay->entry);
	set_ready(thread, relay);
}

void tcp_relay_event(struct tcp_thread *thread, struct tcp_relay_end *end, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		end->writable = true;
	set_ready(thread, end->relay);
}

/* Returns bytes moved, or -1 when the connection is broken. */
static int64_t receive_some(struct tcp_relay_end *end)
{
	int64_t count = mc_stream_receive_into(&end->stream, end->bytes, sizeof(end->bytes), false);

	if (count < 0) {
		end->readable = false;
		return count == -EAGAIN ? 0 : -1;
	}
	end->ended = count == 0;
	end->from = 0;
	end->to = (uint32_t)count;
	return count;
}

static int64_t send_some(struct tcp_relay_end *from, struct tcp_relay_end *to)
{
	struct iovec iov = { from->bytes + from->from, from->to - from->from };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int64_t count = mc_stream_send(&to->stream, &message);

	if (count < 0) {
		to->writable = false;
		return count == -EAGAIN ? 0 : -1;
	}
	from->from += (uint32_t)count;
	return count;
}

/* Passes on what can be; false when one of the connections is broken. */
static bool pass(struct tcp_relay_end *from, struct tcp_relay_end *to, bool *moved)
{
	for (;;) {
		int64_t count = 0;

		if (to->writable && mc_stream_owes(&to->stream)) {
			int err = mc_stream_flush(&to->stream);

			if (err && err != -EAGAIN)
				return false;
			to->writable = err == 0;
		}
		if (from->from < from->to) {
			if (to->writable)
				count = send_some(from, to);
		} else if (from->ended) {
			if (mc_stream_owes(&to->stream))
				return true;
			if (!to->shut)
				mc_stream_finish(&to->stream);
			to->shut = true;
		} else if (from->readable) {
			count = receive_some(from);
			if (from->ended)
				continue;
		}
		if (count <= 0)
			return count == 0;
		*moved = true;
	}
}

/* False when the relay is over. */
static bool run(struct tcp_thread *thread, struct tcp_relay *relay)
{
	bool moved = false;

	if (!pass(&relay->peer, &relay->answerer, &moved) ||
	    !pass(&relay->answerer, &relay->peer, &moved))
		return false;
	if (moved)
		relay->active = thread->now;
	return !(relay->peer.shut && relay->answerer.shut);
}

void tcp_relay_run_ready(struct tcp_thread *thread)
{
	struct mc_list *node, *following;

	mc_list_each(node, following, &thread->ready_relays) {
		struct tcp_relay *relay = mc_list_entry(node, struct tcp_relay, ready);

		mc_list_remove(node);
		if (!run(thread, relay))
			relay_free(thread, relay);
	}
}

bool tcp_relay_sweep(struct tcp_thread *thread)
{
	struct mc_list *node, *following;

	mc_list_each(node, following, &thread->relays) {
		struct tcp_relay *relay = mc_list_entry(node, struct tcp_relay, entry);
		int64_t limit = relay->peer.shut ? LINGER_NS : thread->server->stall_timeout;

		if (thread->now - relay->active > limit)
			relay_free(thread, relay);
	}
	return !mc_list_empty(&thread->relays);
}

void tcp_relay_end_all(struct tcp_thread *thread)
{
	struct mc_list *node, *following;

	mc_list_each(node, following, &thread->relays)
		relay_free(thread, mc_list_entry(node, struct tcp_relay, entry));
}

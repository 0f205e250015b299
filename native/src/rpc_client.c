/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "mc/rpc_client.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "spin.h"
#include "timers.h"

#define API __attribute__((visibility("default")))

/* A buffer for kept bytes that has grown beyond this is let go when it is empty. */
#define KEPT_BYTES (64u << 10)

struct mc_rpc_client {
	int fd, wake_fd;
	int epoll_fd; /* of both; what it looks for changes without waking the poll */
	/* EPOLLIN, EPOLLOUT: what the poll looks for beside the end. */
	_Atomic uint32_t interest;
	atomic_bool stopping;
	bool connecting; /* of the owner's thread, as is what follows */
	uint8_t *out;
	size_t out_start, out_length, out_capacity;
	struct mc_spin spin; /* for what is received */
};

static int open_socket(const struct mc_rpc_client_options *options, bool *connecting)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char port[8];
	int on = 1, result = 0;

	snprintf(port, sizeof(port), "%u", options->port);
	if (getaddrinfo(options->host, port, &hints, &found) != 0)
		return -EINVAL;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		result = -errno;
	} else {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		*connecting = connect(fd, found->ai_addr, found->ai_addrlen) < 0;
		if (*connecting && errno != EINPROGRESS && errno != EINTR) {
			result = -errno;
			close(fd);
		}
	}
	freeaddrinfo(found);
	return result < 0 ? result : fd;
}

static int watch(struct mc_rpc_client *client, int how, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(client->epoll_fd, how, fd, &event) < 0 ? -errno : 0;
}

static void close_descriptors(struct mc_rpc_client *client)
{
	int descriptors[] = { client->fd, client->wake_fd, client->epoll_fd };

	for (size_t i = 0; i < MC_ARRAY_SIZE(descriptors); i++) {
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	}
}

/* Opens what a client consists of, as far as it gets: 0 or -errno. */
static int open_descriptors(struct mc_rpc_client *client,
			    const struct mc_rpc_client_options *options)
{
	bool connecting;
	int err;

	client->wake_fd = client->epoll_fd = -1;
	client->fd = open_socket(options, &connecting);
	if (client->fd < 0)
		return client->fd;
	client->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (client->wake_fd < 0)
		return -errno;
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (client->epoll_fd < 0)
		return -errno;
	err = watch(client, EPOLL_CTL_ADD, client->wake_fd, EPOLLIN);
	/* A connection that is there already is reported by the poll as any other. */
	return err ? err : watch(client, EPOLL_CTL_ADD, client->fd, EPOLLOUT | EPOLLRDHUP);
}

API int mc_rpc_client_open(const struct mc_rpc_client_options *options, struct mc_rpc_client **out)
{

	if (options->size != sizeof(*options) || options->port == 0 || options->port > 65535 ||
	    !memchr(options->host, 0, sizeof(options->host)))
		return -EINVAL;
	struct mc_rpc_client *client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	int err = open_descriptors(client, options);
	if (err) {
		close_descriptors(client);
		free(client);
		return err;
	}
	client->connecting = true;
	atomic_init(&client->interest, EPOLLOUT);
	*out = client;
	return 0;
}

/* Sets what the poll looks for. */
static void set_interest(struct mc_rpc_client *client, uint32_t interest)
{
	if (atomic_exchange(&client->interest, interest) != interest)
		(void)watch(client, EPOLL_CTL_MOD, client->fd, interest | EPOLLRDHUP);
}

static size_t kept(const struct mc_rpc_client *client)
{
	return client->out_length - client->out_start;
}

static int keep(struct mc_rpc_client *client, const uint8_t *bytes, size_t length)
{
	if (client->out_start > client->out_length / 2) {
		client->out_length -= client->out_start;
		memmove(client->out, client->out + client->out_start, client->out_length);
		client->out_start = 0;
	}
	size_t wanted = client->out_length + length;
	if (wanted > client->out_capacity) {
		size_t next = client->out_capacity ? client->out_capacity : 4096;
		while (next < wanted)
			next *= 2;
		uint8_t *grown = realloc(client->out, next);
		if (!grown)
			return -ENOMEM;
		client->out = grown;
		client->out_capacity = next;
	}
	memcpy(client->out + client->out_length, bytes, length);
	client->out_length += length;
	return 0;
}

/* How many bytes the socket took, or -errno. */
static ssize_t send_some(struct mc_rpc_client *client, const uint8_t *bytes, size_t length)
{
	ssize_t n;

	do
		n = send(client->fd, bytes, length, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? 0 : -errno;
}

static int32_t told(struct mc_rpc_client *client)
{
	size_t bytes = kept(client);
	uint32_t input = atomic_load(&client->interest) & EPOLLIN;

	set_interest(client, input | (bytes || client->connecting ? (uint32_t)EPOLLOUT : 0));
	return bytes > INT32_MAX ? INT32_MAX : (int32_t)bytes;
}

API int32_t mc_rpc_client_send(struct mc_rpc_client *client, const uint8_t *bytes, uint32_t length)
{
	ssize_t sent = 0;

	if (!client->connecting && kept(client) == 0)
		sent = send_some(client, bytes, length);
	if (sent < 0)
		return (int32_t)sent;
	if ((size_t)sent < length) {
		int result = keep(client, bytes + sent, length - (size_t)sent);

		if (result < 0)
			return result;
	}
	return told(client);
}

API int32_t mc_rpc_client_flush(struct mc_rpc_client *client)
{
	if (client->connecting) {
		struct pollfd ready = { .fd = client->fd, .events = POLLOUT };
		int error = 0;
		socklen_t size = sizeof(error);

		if (poll(&ready, 1, 0) == 1) {
			if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
				return -errno;
			if (error)
				return -error;
			client->connecting = false;
		}
	}
	if (!client->connecting && kept(client) > 0) {
		ssize_t sent = send_some(client, client->out + client->out_start, kept(client));

		if (sent < 0)
			return (int32_t)sent;
		client->out_start += (size_t)sent;
		if (kept(client) == 0) {
			client->out_start = client->out_length = 0;
			if (client->out_capacity > KEPT_BYTES) {
				free(client->out);
				client->out = NULL;
				client->out_capacity = 0;
			}
		}
	}
	return told(client);
}

/* Bytes, 0 when there are none, or -errno. */
static int32_t receive_now(struct mc_rpc_client *client, uint8_t *in, uint32_t capacity)
{
	ssize_t n = recv(client->fd, in, capacity, 0);

	if (n > 0)
		return (int32_t)n;
	if (n == 0)
		return -ESHUTDOWN;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

struct room {
	struct mc_rpc_client *client;
	uint8_t *in;
	uint32_t capacity;
};

static int look_for_bytes(void *context)
{
	const struct room *room = context;

	return receive_now(room->client, room->in, room->capacity);
}

API int32_t mc_rpc_client_receive(struct mc_rpc_client *client, uint8_t *in, uint32_t capacity,
				  uint32_t sleep_us)
{
	struct pollfd awaited = { .fd = client->fd, .events = POLLIN };
	struct room room = { client, in, capacity };
	struct timespec limit;

	if (capacity == 0 || capacity > INT32_MAX)
		return -EINVAL;
	if (sleep_us == 0)
		return receive_now(client, in, capacity);
	if (sleep_us > MC_SPIN_NS / 1000 && mc_spin_begin(&client->spin)) {
		int64_t longest;
		int32_t result = mc_spin_until(look_for_bytes, &room, &longest);

		mc_spin_end(&client->spin, result != 0, longest);
		if (result != 0)
			return result;
		sleep_us -= MC_SPIN_NS / 1000;
	}
	limit = (struct timespec){ .tv_sec = sleep_us / 1000000,
				   .tv_nsec = sleep_us % 1000000 * 1000 };
	mc_sharpen_timers();
	if (ppoll(&awaited, 1, &limit, NULL) <= 0)
		return 0;
	return receive_now(client, in, capacity);
}

API void mc_rpc_client_watch(struct mc_rpc_client *client, uint32_t input)
{
	uint32_t output = atomic_load(&client->interest) & EPOLLOUT;

	set_interest(client, output | (input ? (uint32_t)EPOLLIN : 0));
}

API int32_t mc_rpc_client_poll(struct mc_rpc_client *client)
{
	for (;;) {
		if (atomic_load(&client->stopping))
			return -ESHUTDOWN;
		struct epoll_event events[2];
		uint32_t seen = 0;
		eventfd_t value;
		int count = epoll_wait(client->epoll_fd, events, MC_ARRAY_SIZE(events), -1);

		if (count < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == client->fd)
				seen = events[i].events;
			else
				eventfd_read(client->wake_fd, &value);
		}
		int32_t result = 0;
		if (seen & (EPOLLOUT | EPOLLERR) && atomic_load(&client->interest) & EPOLLOUT)
			result |= MC_RPC_CLIENT_OUTPUT;
		if (seen & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			result |= MC_RPC_CLIENT_INPUT;
		if (result && !atomic_load(&client->stopping))
			return result;
	}
}

API void mc_rpc_client_shutdown(struct mc_rpc_client *client)
{
	atomic_store(&client->stopping, true);
	shutdown(client->fd, SHUT_RDWR);
	eventfd_write(client->wake_fd, 1);
}

API void mc_rpc_client_close(struct mc_rpc_client *client)
{
	close_descriptors(client);
	free(client->out);
	free(client);
}

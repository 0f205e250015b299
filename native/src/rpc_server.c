/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "mc/rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rpc_conn.h"

#define API __attribute__((visibility("default")))

enum {
	MAX_EVENTS = 256,
	MAX_IOV = 64,
	ACCEPT_BURST = 64,
	DEFAULT_KEPT_MIB = 512,
};

/* epoll_event.data.u64 of the two descriptors that are not connections. */
#define TOKEN_LISTEN UINT64_MAX
#define TOKEN_WAKE (UINT64_MAX - 1)

static int64_t now_sec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec;
}

static int conns_grow(struct mc_rpc_server *server)
{
	uint32_t capacity = server->capacity ? server->capacity * 2 : 64;

	if (capacity > SLOT_MASK + 1)
		return -EMFILE;
	struct conn *conns = realloc(server->conns, capacity * sizeof(*conns));
	if (!conns)
		return -ENOMEM;
	server->conns = conns;
	for (uint32_t i = capacity; i-- > server->capacity;) {
		conns[i] = (struct conn){ .fd = -1, .next = server->free_head };
		server->free_head = i;
	}
	server->capacity = capacity;
	return 0;
}

/* Takes a connection that would exceed a limit and closes it, so that its peer sees an end. */
static void refuse_one(struct mc_rpc_server *server)
{
	close(server->spare_fd);
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct mc_rpc_server *server)
{
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				refuse_one(server);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (server->open >= server->options.max_connections ||
		    (server->free_head == NONE && conns_grow(server) < 0)) {
			close(fd);
			continue;
		}
		int on = 1;
		if (server->options.tcp_nodelay)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		uint32_t slot = server->free_head;
		struct conn *conn = &server->conns[slot];
		server->free_head = conn->next;
		conn->fd = fd;
		conn->next = NONE;
		conn->events = EPOLLIN;
		conn->last_active_sec = now_sec();
		server->open++;
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = slot };
		if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			conn_close(server, conn);
	}
}

static int send_replies(struct mc_rpc_server *server, const uint8_t *replies, uint32_t length)
{
	uint32_t at = 0;

	while (at < length) {
		struct iovec iov[MAX_IOV];
		int count = 0;
		uint32_t connection = 0;
		while (at < length && count < MAX_IOV) {
			struct mc_rpc_reply reply;
			if (length - at < sizeof(reply))
				return -EINVAL;
			memcpy(&reply, replies + at, sizeof(reply));
			if (reply.length > length - at - sizeof(reply))
				return -EINVAL;
			if (count && reply.connection != connection)
				break;
			connection = reply.connection;
			iov[count++] = (struct iovec){ (void *)(uintptr_t)(replies + at + sizeof(reply)),
						       reply.length };
			at += (uint32_t)sizeof(reply) + reply.length;
		}
		struct conn *conn = conn_find(server, connection);
		if (!conn)
			continue;
		if (conn_send(server, conn, iov, count) < 0)
			conn_close(server, conn);
		else if (conn->out_length || conn->events != EPOLLIN)
			conn_watch(server, conn);
	}
	return 0;
}

static void sweep_idle(struct mc_rpc_server *server)
{
	int64_t now = now_sec();

	if (!server->options.idle_timeout_sec || now == server->last_sweep_sec)
		return;
	server->last_sweep_sec = now;
	for (uint32_t i = 0; i < server->capacity; i++) {
		struct conn *conn = &server->conns[i];
		if (conn->fd >= 0 && now - conn->last_active_sec > server->options.idle_timeout_sec)
			conn_close(server, conn);
	}
}

static void conn_event(struct mc_rpc_server *server, struct conn *conn, uint32_t events,
		       struct batch *batch)
{
	int result = 0;

	if (conn->fd < 0)
		return;
	conn->last_active_sec = server->options.idle_timeout_sec ? now_sec() : 0;
	if (events & EPOLLOUT && conn->out_length)
		result = conn_flush(server, conn);
	if (result == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !conn->ready)
		result = conn_read(server, conn, batch);
	if (result < 0)
		conn_close(server, conn);
	else
		conn_watch(server, conn);
}

static void take_ready(struct mc_rpc_server *server, struct batch *batch)
{
	uint32_t last = server->ready_tail;

	while (server->ready_head != NONE) {
		uint32_t slot = server->ready_head;
		struct conn *conn = &server->conns[slot];
		server->ready_head = conn->next;
		if (server->ready_head == NONE)
			server->ready_tail = NONE;
		conn->ready = 0;
		conn->next = NONE;
		if (conn_take_kept(server, conn, batch) < 0)
			conn_close(server, conn);
		else
			conn_watch(server, conn);
		if (slot == last || batch->need)
			return;
	}
}

API int32_t mc_rpc_send(struct mc_rpc_server *server, const uint8_t *replies,
			uint32_t replies_length)
{
	return send_replies(server, replies, replies_length);
}

API int32_t mc_rpc_is_open(struct mc_rpc_server *server, uint32_t connection)
{
	return conn_find(server, connection) != NULL;
}

API int32_t mc_rpc_poll(struct mc_rpc_server *server, const uint8_t *replies,
			uint32_t replies_length, uint8_t *in, uint32_t in_capacity,
			uint32_t timeout_ms)
{
	struct epoll_event events[MAX_EVENTS];
	struct batch batch = { .bytes = in, .length = sizeof(struct mc_rpc_batch),
			       .capacity = in_capacity };
	uint32_t flags = 0;

	if (in_capacity < 4096 || in_capacity > INT32_MAX)
		return -EINVAL;
	int result = send_replies(server, replies, replies_length);
	if (result < 0)
		return result;
	sweep_idle(server);
	take_ready(server, &batch);
	if (batch.count || batch.need)
		timeout_ms = 0;
	int n = epoll_wait(server->epoll_fd, events, MAX_EVENTS, (int)timeout_ms);
	for (int i = 0; i < n; i++) {
		uint64_t token = events[i].data.u64;
		if (token == TOKEN_LISTEN) {
			accept_some(server);
		} else if (token == TOKEN_WAKE) {
			uint64_t value;
			if (read(server->wake_fd, &value, sizeof(value)) == sizeof(value))
				flags |= MC_RPC_WOKEN;
		} else {
			conn_event(server, &server->conns[token], events[i].events, &batch);
		}
	}
	struct mc_rpc_batch head = { batch.count, flags, batch.need, server->open };
	memcpy(in, &head, sizeof(head));
	return (int32_t)batch.length;
}

static int parse_host(const char *host, uint32_t port, struct sockaddr_storage *address,
		      socklen_t *length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*length = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*length = sizeof(*v6);
		return 0;
	}
	return -EINVAL;
}

static int open_listener(const struct mc_rpc_options *options)
{
	struct sockaddr_storage address;
	socklen_t length;
	int on = 1, off = 0;

	if (parse_host(options->host, options->port, &address, &length) < 0)
		return -EINVAL;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
	    listen(fd, (int)options->backlog) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int watch_fd(int epoll_fd, int fd, uint64_t token)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = token };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static size_t kept_limit(const struct mc_rpc_options *options)
{
	size_t least = (size_t)DEFAULT_KEPT_MIB << 20;
	size_t frames = (size_t)options->max_frame_bytes * 4;

	if (options->max_kept_mib)
		return (size_t)options->max_kept_mib << 20;
	return frames > least ? frames : least;
}

API int mc_rpc_open(const struct mc_rpc_options *options, struct mc_rpc_server **out)
{
	if (options->size != sizeof(*options) || options->port > 65535 ||
	    !memchr(options->host, 0, sizeof(options->host)) || options->max_frame_bytes > 1u << 30)
		return -EINVAL;
	struct mc_rpc_server *server = calloc(1, sizeof(*server));
	if (!server)
		return -ENOMEM;
	server->options = *options;
	server->kept_limit = kept_limit(options);
	server->free_head = server->ready_head = server->ready_tail = NONE;
	server->epoll_fd = server->wake_fd = server->spare_fd = -1;
	int result = server->listen_fd = open_listener(options);
	if (result < 0)
		goto fail;
	result = -ENOMEM;
	server->scratch = malloc(SCRATCH_BYTES);
	if (!server->scratch)
		goto fail;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (server->epoll_fd < 0 || server->wake_fd < 0 || server->spare_fd < 0) {
		result = -errno;
		goto fail;
	}
	result = watch_fd(server->epoll_fd, server->listen_fd, TOKEN_LISTEN);
	if (result == 0)
		result = watch_fd(server->epoll_fd, server->wake_fd, TOKEN_WAKE);
	if (result < 0)
		goto fail;
	*out = server;
	return 0;
fail:
	mc_rpc_close(server);
	return result;
}

API int mc_rpc_port(const struct mc_rpc_server *server)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(server->listen_fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port :
						     ((struct sockaddr_in *)&address)->sin_port);
}

API int mc_rpc_wake_fd(const struct mc_rpc_server *server)
{
	return server->wake_fd;
}

API void mc_rpc_close(struct mc_rpc_server *server)
{
	for (uint32_t i = 0; i < server->capacity; i++)
		if (server->conns[i].fd >= 0)
			conn_close(server, &server->conns[i]);
	int fds[] = { server->listen_fd, server->epoll_fd, server->wake_fd, server->spare_fd };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(server->conns);
	free(server->scratch);
	free(server);
}

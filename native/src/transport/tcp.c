// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"

/* A body of less than the first is reported as it comes, a longer one in parts of the second. */
#define MARK_MIN (384u << 10)
#define MARK_MAX (256u << 10)

struct tcp_transport {
	struct mc_transport base;
	struct tcp_client *client;
	struct tcp_server *server;
};

static struct tcp_transport *to_tcp(struct mc_transport *transport)
{
	return (struct tcp_transport *)transport;
}

int tcp_parse_address(const char *host, uint16_t port, struct sockaddr_storage *address,
		      socklen_t *length)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found) != 0)
		return -EINVAL;
	memcpy(address, found->ai_addr, found->ai_addrlen);
	*length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

int tcp_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	tcp_tune(fd);
	return fd;
}

/* Best effort: a connection without these options works, only worse. */
void tcp_tune(int fd)
{
	const int on = 1, idle_s = 60, interval_s = 10, probes = 6;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
			      &((const struct sockaddr_in6 *)b)->sin6_addr,
			      sizeof(struct in6_addr)) == 0;
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/*
 * Within a host there is no congestion to control, and an algorithm that paces, such as BBR,
 * makes long bodies take a fifth longer.
 */
void tcp_tune_connected(int fd)
{
	static const char algorithm[] = "reno";
	struct sockaddr_storage here, there;
	socklen_t length = sizeof(here);

	if (getsockname(fd, (struct sockaddr *)&here, &length) < 0)
		return;
	length = sizeof(there);
	if (getpeername(fd, (struct sockaddr *)&there, &length) < 0)
		return;
	if (here.ss_family == there.ss_family && same_address(&here, &there))
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, sizeof(algorithm) - 1);
}

void tcp_set_mark(int fd, uint64_t left, uint32_t *mark)
{
	int wanted = 1;

	if (left >= MARK_MIN || (left > 0 && *mark > 1))
		wanted = (int)mc_min(left, MARK_MAX);
	if ((uint32_t)wanted == *mark)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted));
	*mark = (uint32_t)wanted;
}

static void tcp_close(struct mc_transport *transport)
{
	struct tcp_transport *tcp = to_tcp(transport);

	if (tcp->server)
		tcp_server_free(tcp->server);
	if (tcp->client)
		tcp_client_free(tcp->client);
	free(tcp);
}

static int tcp_open(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct mc_transport **transport)
{
	struct tcp_transport *tcp = calloc(1, sizeof(*tcp));
	int err;

	if (!tcp)
		return -ENOMEM;
	tcp->base.ops = &mc_tcp_ops;
	tcp->base.engine = engine;
	err = tcp_client_open(engine, options, &tcp->client);
	if (!err)
		err = tcp_server_open(engine, options, &tcp->server);
	if (err) {
		tcp_close(&tcp->base);
		return err;
	}
	*transport = &tcp->base;
	return 0;
}

static void tcp_stop(struct mc_transport *transport)
{
	tcp_client_stop(to_tcp(transport)->client);
	tcp_server_stop(to_tcp(transport)->server);
}

static int tcp_listen(struct mc_transport *transport, const char *host, uint16_t port)
{
	return tcp_server_listen(to_tcp(transport)->server, host, port);
}

static int tcp_answer_at(struct mc_transport *transport, const char *name)
{
	return tcp_server_answer_at(to_tcp(transport)->server, name);
}

static int tcp_connect(struct mc_transport *transport, const struct mc_peer_options *options,
		       void **link)
{
	return tcp_client_connect(to_tcp(transport)->client, options, link);
}

static void tcp_disconnect(struct mc_transport *transport, void *link)
{
	tcp_client_disconnect(to_tcp(transport)->client, link);
}

static void tcp_submit(struct mc_transport *transport, struct mc_work *work)
{
	tcp_client_submit(to_tcp(transport)->client, work);
}

static bool tcp_progress(struct mc_transport *transport, uint64_t *budget)
{
	return tcp_client_progress(to_tcp(transport)->client, budget);
}

static int64_t tcp_expire(struct mc_transport *transport, int64_t now)
{
	return tcp_client_expire(to_tcp(transport)->client, now);
}

static void tcp_stats(struct mc_transport *transport, struct mc_engine_stats *stats)
{
	stats->connects += tcp_client_connects(to_tcp(transport)->client);
	tcp_server_stats(to_tcp(transport)->server, stats);
}

const struct mc_transport_ops mc_tcp_ops = {
	.kind = MC_TRANSPORT_TCP,
	.capabilities = MC_CAN_SERVE | MC_CAN_BORROW | MC_CAN_CANCEL,
	.open = tcp_open,
	.stop = tcp_stop,
	.close = tcp_close,
	.answer_at = tcp_answer_at,
	.listen = tcp_listen,
	.connect = tcp_connect,
	.disconnect = tcp_disconnect,
	.submit = tcp_submit,
	.progress = tcp_progress,
	.expire = tcp_expire,
	.stats = tcp_stats,
};

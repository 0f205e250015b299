// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../common.h"
#include "tcp_server.h"

#define ACCEPTS_MAX 64
#define BACKLOG 4096
/* After running out of descriptors or memory. */
#define ACCEPT_PAUSE_NS 100000000

int tcp_server_open(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct tcp_server **opened)
{
	struct tcp_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->engine = engine;
	server->max_threads = options->server_threads;
	server->max_connections = options->max_connections;
	server->stall_timeout = (int64_t)options->stall_timeout_ms * 1000000;
	server->listener = -1;
	server->accept_at = MC_NEVER;
	pthread_mutex_init(&server->lock, NULL);
	*opened = server;
	return 0;
}

/* Returns NULL when the system has no room for another. */
static struct tcp_thread *start_thread(struct tcp_server *server)
{
	struct tcp_thread *thread = calloc(1, sizeof(*thread));
	uint32_t index;
	int err;

	if (!thread)
		return NULL;
	thread->server = server;
	thread->sweep_at = MC_NEVER;
	thread->now = mc_now();
	mc_list_init(&thread->incoming);
	mc_list_init(&thread->sessions);
	mc_list_init(&thread->ready);
	mc_list_init(&thread->relays);
	mc_list_init(&thread->ready_relays);
	pthread_mutex_init(&thread->lock, NULL);
	err = tcp_thread_open(thread);
	if (err) {
		tcp_thread_free(thread);
		return NULL;
	}
	mc_reader_add(&server->engine->publisher, &thread->reader);
	pthread_mutex_lock(&server->lock);
	index = atomic_load(&server->thread_count);
	server->threads[index] = thread;
	atomic_store(&server->thread_count, index + 1);
	if (index == 0)
		tcp_server_watch(thread, true);
	err = tcp_thread_spawn(thread);
	if (err)
		atomic_store(&server->thread_count, index);
	pthread_mutex_unlock(&server->lock);
	if (err) {
		mc_reader_remove(&server->engine->publisher, &thread->reader);
		tcp_thread_free(thread);
		return NULL;
	}
	return thread;
}

/* An idle thread if there is one, else a new one while there may be, else the least used. */
static struct tcp_thread *choose_thread(struct tcp_server *server)
{
	struct tcp_thread *least = server->threads[0], *started;
	uint32_t count = atomic_load(&server->thread_count);
	uint32_t fewest = atomic_load(&least->session_count);

	for (uint32_t i = 1; i < count; i++) {
		uint32_t sessions = atomic_load(&server->threads[i]->session_count);

		if (sessions < fewest) {
			fewest = sessions;
			least = server->threads[i];
		}
	}
	if (fewest > 0 && count < server->max_threads) {
		started = start_thread(server);
		if (started)
			return started;
	}
	return least;
}

static uint64_t count_sessions(struct tcp_server *server)
{
	uint32_t count = atomic_load(&server->thread_count);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += atomic_load(&server->threads[i]->session_count);
	return sum;
}

/* There is no room for another connection: who was silent for long has to go. */
static void make_room(struct tcp_server *server)
{
	uint32_t count = atomic_load(&server->thread_count);

	for (uint32_t i = 0; i < count; i++) {
		atomic_store(&server->threads[i]->crowded, true);
		tcp_thread_wake(server->threads[i]);
	}
}

static void reject(struct tcp_server *server, int fd)
{
	close(fd);
	atomic_fetch_add(&server->rejected, 1);
	make_room(server);
}

static void admit(struct tcp_thread *acceptor, int fd)
{
	struct tcp_server *server = acceptor->server;
	struct tcp_session *session;
	struct tcp_thread *thread;

	if (count_sessions(server) >= server->max_connections) {
		reject(server, fd);
		return;
	}
	session = tcp_session_new(fd, server->engine->tls, acceptor->now);
	if (!session) {
		close(fd);
		return;
	}
	tcp_tune(fd);
	tcp_tune_connected(fd);
	atomic_fetch_add(&server->accepted, 1);
	thread = choose_thread(server);
	atomic_fetch_add(&thread->session_count, 1);
	if (thread == acceptor) {
		tcp_thread_adopt(thread, session);
		return;
	}
	pthread_mutex_lock(&thread->lock);
	mc_list_append(&thread->incoming, &session->entry);
	pthread_mutex_unlock(&thread->lock);
	tcp_thread_wake(thread);
}

void tcp_server_watch(struct tcp_thread *thread, bool on)
{
	struct tcp_server *server = thread->server;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = server };

	epoll_ctl(thread->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, server->listener, &event);
	server->accept_at = on ? MC_NEVER : thread->now + ACCEPT_PAUSE_NS;
}

void tcp_server_accept(struct tcp_thread *thread)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(thread->server->listener, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(thread, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			tcp_server_watch(thread, false);
			make_room(thread->server);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static int bind_listener(const char *host, uint16_t port)
{
	struct sockaddr_storage address;
	const int on = 1, off = 0;
	socklen_t length;
	int fd, err;

	err = tcp_parse_address(host, port, &address, &length);
	if (err)
		return err;
	fd = tcp_socket(address.ss_family);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int local_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port :
						     ((struct sockaddr_in *)&address)->sin_port);
}

int tcp_server_answer_at(struct tcp_server *server, const char *name)
{
	size_t length = strlen(name);

	if (server->listener >= 0)
		return -EALREADY;
	if (length == 0 || length >= sizeof(server->answerer.sun_path))
		return -EINVAL;
	server->answerer = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(server->answerer.sun_path + 1, name, length);
	server->answerer_size =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	return 0;
}

int tcp_server_listen(struct tcp_server *server, const char *host, uint16_t port)
{
	int fd;

	if (server->listener >= 0)
		return -EALREADY;
	fd = bind_listener(host, port);
	if (fd < 0)
		return fd;
	server->listener = fd;
	if (!start_thread(server)) {
		close(fd);
		server->listener = -1;
		return -EAGAIN;
	}
	return local_port(fd);
}

void tcp_server_stop(struct tcp_server *server)
{
	atomic_store(&server->stopping, true);
	/* The first thread starts the others: once it has ended, there are no more. */
	for (uint32_t i = 0; i < atomic_load(&server->thread_count); i++) {
		tcp_thread_wake(server->threads[i]);
		pthread_join(server->threads[i]->id, NULL);
		mc_reader_remove(&server->engine->publisher, &server->threads[i]->reader);
	}
	if (server->listener >= 0)
		close(server->listener);
	server->listener = -1;
	pthread_mutex_lock(&server->lock);
	for (uint32_t i = 0; i < atomic_load(&server->thread_count); i++)
		tcp_thread_free(server->threads[i]);
	atomic_store(&server->thread_count, 0);
	pthread_mutex_unlock(&server->lock);
}

void tcp_server_free(struct tcp_server *server)
{
	pthread_mutex_destroy(&server->lock);
	free(server);
}

void tcp_server_stats(struct tcp_server *server, struct mc_engine_stats *stats)
{
	uint32_t count;

	pthread_mutex_lock(&server->lock);
	count = atomic_load(&server->thread_count);
	stats->accepted += atomic_load(&server->accepted);
	stats->rejected += atomic_load(&server->rejected);
	stats->server_threads += count;
	for (uint32_t i = 0; i < count; i++) {
		struct tcp_thread *thread = server->threads[i];

		stats->connections += atomic_load(&thread->session_count);
		stats->served_reads += atomic_load(&thread->counters[TCP_READS]);
		stats->served_writes += atomic_load(&thread->counters[TCP_WRITES]);
		stats->served_read_bytes += atomic_load(&thread->counters[TCP_READ_BYTES]);
		stats->served_write_bytes += atomic_load(&thread->counters[TCP_WRITE_BYTES]);
		stats->refused += atomic_load(&thread->counters[TCP_REFUSED]);
		stats->reads_fenced += atomic_load(&thread->counters[TCP_READS_FENCED]);
	}
	pthread_mutex_unlock(&server->lock);
}

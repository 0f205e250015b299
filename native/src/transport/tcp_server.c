// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tcp_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common.h"

#define EVENTS_MAX 128
#define ACCEPTS_MAX 64
#define BACKLOG 4096
#define STACK_SIZE (256u << 10)
#define SWEEP_NS 500000000
#define LINGER_NS 2000000000
/* After running out of descriptors or memory. */
#define ACCEPT_PAUSE_NS 100000000

struct tcp_server {
	struct mc_engine *engine;
	uint32_t max_threads;
	uint32_t max_connections;
	int64_t stall_timeout; /* ns */
	int listener;
	int64_t accept_at; /* MC_NEVER: accepting; else when to try again. Of thread 0 */
	atomic_bool stopping;
	pthread_mutex_t lock; /* changes of the two below; only thread 0 makes them later */
	_Atomic uint32_t thread_count;
	struct tcp_thread *threads[64];
	_Atomic uint64_t accepted;
	_Atomic uint64_t rejected;
};

struct mc_publisher *tcp_server_publisher(const struct tcp_server *server)
{
	return &server->engine->publisher;
}

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

static void wake(struct tcp_thread *thread)
{
	eventfd_write(thread->wake_fd, 1);
}

static void set_ready(struct tcp_thread *thread, struct tcp_session *session)
{
	if (mc_list_empty(&session->ready))
		mc_list_append(&thread->ready, &session->ready);
}

static void end_session(struct tcp_thread *thread, struct tcp_session *session)
{
	atomic_fetch_sub(&thread->session_count, 1);
	tcp_session_free(session);
}

/* The thread takes the session into its own set. */
static void adopt(struct tcp_thread *thread, struct tcp_session *session)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = session,
	};

	mc_list_append(&thread->sessions, &session->entry);
	if (epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, session->fd, &event) < 0)
		end_session(thread, session);
}

static void adopt_incoming(struct tcp_thread *thread)
{
	struct mc_list incoming, *node, *following;

	mc_list_init(&incoming);
	pthread_mutex_lock(&thread->lock);
	mc_list_take(&incoming, &thread->incoming);
	pthread_mutex_unlock(&thread->lock);
	mc_list_each(node, following, &incoming) {
		mc_list_remove(node);
		adopt(thread, mc_list_entry(node, struct tcp_session, entry));
	}
}

static void sweep(struct tcp_thread *thread)
{
	struct tcp_server *server = thread->server;
	bool crowded = atomic_exchange(&thread->crowded, false);
	struct mc_list *node, *following;

	thread->sweep_at = MC_NEVER;
	mc_list_each(node, following, &thread->sessions) {
		struct tcp_session *session = mc_list_entry(node, struct tcp_session, entry);
		bool owes = tcp_session_owes(session);
		int64_t limit = session->draining ? LINGER_NS : server->stall_timeout;

		if ((owes || (crowded && !session->heard)) &&
		    thread->now - session->active > limit) {
			end_session(thread, session);
		} else if (owes) {
			thread->sweep_at = thread->now + SWEEP_NS;
			/* What trickles in counts too. */
			if (thread->now - session->active > SWEEP_NS)
				tcp_set_mark(session->fd, 0, &session->mark);
		}
	}
}

static void run_session(struct tcp_thread *thread, struct tcp_session *session)
{
	switch (tcp_session_run(session, thread)) {
	case SESSION_OVER:
		end_session(thread, session);
		break;
	case SESSION_HAS_MORE:
		set_ready(thread, session);
		break;
	case SESSION_WAITS:
		if (thread->sweep_at == MC_NEVER && tcp_session_owes(session))
			thread->sweep_at = thread->now + SWEEP_NS;
		break;
	}
}

static void run_ready(struct tcp_thread *thread)
{
	struct mc_list round, *node, *following;

	mc_list_init(&round);
	mc_list_take(&round, &thread->ready);
	mc_list_each(node, following, &round) {
		mc_list_remove(node);
		run_session(thread, mc_list_entry(node, struct tcp_session, ready));
	}
}

static void on_session(struct tcp_thread *thread, struct tcp_session *session, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		session->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		session->ended = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		session->writable = true;
	set_ready(thread, session);
}

static struct tcp_thread *start_thread(struct tcp_server *server);

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

static void reject(struct tcp_server *server, int fd)
{
	uint32_t count = atomic_load(&server->thread_count);

	close(fd);
	atomic_fetch_add(&server->rejected, 1);
	for (uint32_t i = 0; i < count; i++) {
		atomic_store(&server->threads[i]->crowded, true);
		wake(server->threads[i]);
	}
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
	session = tcp_session_new(fd, acceptor->now);
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
		adopt(thread, session);
		return;
	}
	pthread_mutex_lock(&thread->lock);
	mc_list_append(&thread->incoming, &session->entry);
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
}

static void watch_listener(struct tcp_thread *thread, bool on)
{
	struct tcp_server *server = thread->server;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = server };

	epoll_ctl(thread->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, server->listener, &event);
	server->accept_at = on ? MC_NEVER : thread->now + ACCEPT_PAUSE_NS;
}

static void accept_some(struct tcp_thread *thread)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd = accept4(thread->server->listener, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(thread, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			watch_listener(thread, false);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static int wait_ms(const struct tcp_thread *thread)
{
	int64_t until = thread->sweep_at;

	if (!mc_list_empty(&thread->ready))
		return 0;
	if (thread == thread->server->threads[0])
		until = mc_earlier(until, thread->server->accept_at);
	if (until == MC_NEVER)
		return -1;
	return until <= thread->now ? 0 : (int)((until - thread->now + 999999) / 1000000);
}

static void *thread_main(void *argument)
{
	struct tcp_thread *thread = argument;
	struct tcp_server *server = thread->server;
	struct epoll_event events[EVENTS_MAX];

	while (!atomic_load(&server->stopping)) {
		int count = epoll_wait(thread->epoll_fd, events, EVENTS_MAX, wait_ms(thread));

		thread->now = mc_now();
		for (int i = 0; i < count; i++) {
			eventfd_t value;

			if (events[i].data.ptr == server) {
				accept_some(thread);
			} else if (events[i].data.ptr == thread) {
				eventfd_read(thread->wake_fd, &value);
				adopt_incoming(thread);
			} else {
				on_session(thread, events[i].data.ptr, events[i].events);
			}
		}
		run_ready(thread);
		if (thread->now >= thread->sweep_at || atomic_load(&thread->crowded))
			sweep(thread);
		if (thread == server->threads[0] && thread->now >= server->accept_at)
			watch_listener(thread, true);
	}
	return NULL;
}

static void free_thread(struct tcp_thread *thread)
{
	struct mc_list *node, *following;

	adopt_incoming(thread);
	mc_list_each(node, following, &thread->sessions)
		end_session(thread, mc_list_entry(node, struct tcp_session, entry));
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
	if (thread->epoll_fd >= 0)
		close(thread->epoll_fd);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

static int open_thread(struct tcp_thread *thread)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = thread };

	thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->epoll_fd < 0 || thread->wake_fd < 0 ||
	    epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, thread->wake_fd, &event) < 0)
		return -errno;
	return 0;
}

/* Signals are for the threads of the host program. */
static int spawn(struct tcp_thread *thread)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread->id, &attributes, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -err;
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
	pthread_mutex_init(&thread->lock, NULL);
	err = open_thread(thread);
	if (err) {
		free_thread(thread);
		return NULL;
	}
	mc_reader_add(&server->engine->publisher, &thread->reader);
	pthread_mutex_lock(&server->lock);
	index = atomic_load(&server->thread_count);
	server->threads[index] = thread;
	atomic_store(&server->thread_count, index + 1);
	if (index == 0)
		watch_listener(thread, true);
	err = spawn(thread);
	if (err)
		atomic_store(&server->thread_count, index);
	pthread_mutex_unlock(&server->lock);
	if (err) {
		mc_reader_remove(&server->engine->publisher, &thread->reader);
		free_thread(thread);
		return NULL;
	}
	return thread;
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
		wake(server->threads[i]);
		pthread_join(server->threads[i]->id, NULL);
		mc_reader_remove(&server->engine->publisher, &server->threads[i]->reader);
	}
	if (server->listener >= 0)
		close(server->listener);
	server->listener = -1;
	pthread_mutex_lock(&server->lock);
	for (uint32_t i = 0; i < atomic_load(&server->thread_count); i++)
		free_thread(server->threads[i]);
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
	}
	pthread_mutex_unlock(&server->lock);
}

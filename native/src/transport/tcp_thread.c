// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common.h"
#include "tcp_relay.h"
#include "tcp_server.h"

#define EVENTS_MAX 128
/* Drivers of devices run on it. */
#define STACK_SIZE (1u << 20)
#define SWEEP_NS 500000000
#define LINGER_NS 2000000000

void tcp_thread_wake(struct tcp_thread *thread)
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

void tcp_thread_adopt(struct tcp_thread *thread, struct tcp_session *session)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = session,
	};

	mc_list_append(&thread->sessions, &session->entry);
	if (epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, session->stream.fd, &event) < 0)
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
		tcp_thread_adopt(thread, mc_list_entry(node, struct tcp_session, entry));
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
		int64_t limit = session->draining ? LINGER_NS :
				session->securing ? server->engine->tls->handshake_timeout :
						    server->stall_timeout;

		if ((owes || (crowded && !session->heard)) &&
		    thread->now - session->active > limit) {
			end_session(thread, session);
		} else if (owes) {
			thread->sweep_at = thread->now + SWEEP_NS;
			/* What trickles in counts too. */
			if (thread->now - session->active > SWEEP_NS)
				tcp_set_mark(session->stream.fd, 0, &session->mark);
		}
	}
	if (tcp_relay_sweep(thread))
		thread->sweep_at = thread->now + SWEEP_NS;
}

static void run_session(struct tcp_thread *thread, struct tcp_session *session)
{
	switch (tcp_session_run(session, thread)) {
	case SESSION_OVER:
		end_session(thread, session);
		break;
	case SESSION_FOREIGN:
		tcp_relay_begin(thread, session);
		end_session(thread, session);
		if (thread->sweep_at == MC_NEVER)
			thread->sweep_at = thread->now + SWEEP_NS;
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

static int wait_ms(const struct tcp_thread *thread)
{
	int64_t until = thread->sweep_at;

	if (!mc_list_empty(&thread->ready) || !mc_list_empty(&thread->ready_relays))
		return 0;
	if (thread == thread->server->threads[0])
		until = mc_earlier(until, thread->server->accept_at);
	if (until == MC_NEVER)
		return -1;
	return until <= thread->now ? 0 : (int)((until - thread->now + 999999) / 1000000);
}

/* The next request often follows an answer at once. */
static int wait(struct tcp_thread *thread, struct epoll_event *events)
{
	const int ms = wait_ms(thread);
	const bool looks = ms && thread->answered && mc_spin_begin(&thread->spin);

	thread->answered = false;
	if (looks) {
		int64_t longest;
		int count = mc_spin_look(thread->epoll_fd, events, EVENTS_MAX, &longest);

		mc_spin_end(&thread->spin, count > 0, longest);
		if (count)
			return count;
	}
	return epoll_wait(thread->epoll_fd, events, EVENTS_MAX, ms);
}

static void *thread_main(void *argument)
{
	struct tcp_thread *thread = argument;
	struct tcp_server *server = thread->server;
	struct epoll_event events[EVENTS_MAX];

	while (!atomic_load(&server->stopping)) {
		int count = wait(thread, events);

		thread->now = mc_now();
		for (int i = 0; i < count; i++) {
			eventfd_t value;

			if (events[i].data.ptr == server) {
				tcp_server_accept(thread);
			} else if (events[i].data.ptr == thread) {
				eventfd_read(thread->wake_fd, &value);
				adopt_incoming(thread);
			} else if ((uintptr_t)events[i].data.ptr & TCP_RELAY_TAG) {
				tcp_relay_event(thread,
						(void *)((uintptr_t)events[i].data.ptr - TCP_RELAY_TAG),
						events[i].events);
			} else {
				on_session(thread, events[i].data.ptr, events[i].events);
			}
		}
		run_ready(thread);
		tcp_relay_run_ready(thread);
		if (thread->now >= thread->sweep_at || atomic_load(&thread->crowded))
			sweep(thread);
		if (thread == server->threads[0] && thread->now >= server->accept_at)
			tcp_server_watch(thread, true);
	}
	return NULL;
}

void tcp_thread_free(struct tcp_thread *thread)
{
	struct mc_list *node, *following;

	adopt_incoming(thread);
	mc_list_each(node, following, &thread->sessions)
		end_session(thread, mc_list_entry(node, struct tcp_session, entry));
	tcp_relay_end_all(thread);
	mc_stages_free(&thread->stages);
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
	if (thread->epoll_fd >= 0)
		close(thread->epoll_fd);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

int tcp_thread_open(struct tcp_thread *thread)
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
int tcp_thread_spawn(struct tcp_thread *thread)
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

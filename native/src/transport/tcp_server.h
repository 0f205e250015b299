/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TCP_SERVER_H
#define MC_TCP_SERVER_H

#include <sys/un.h>

#include "../device/stage.h"
#include "../list.h"
#include "stream.h"
#include "tcp.h"

#define TCP_ANSWERS_MAX 32
#define TCP_INPUT_SIZE (64u << 10)
#define TCP_THREADS_MAX 64

/* An answer, or what is left of it: a status frame, then bytes of a region. */
struct tcp_answer {
	uint64_t address;
	uint64_t left;
	uint8_t status_left;
	uint8_t code; /* enum tcp_status_code */
};

/*
 * An accepted connection. It belongs to one I/O thread. Addresses are kept, never
 * pointers: each call into the kernel looks its range up again, so that a region that
 * was withdrawn meanwhile is not touched.
 */
struct tcp_session {
	struct mc_list entry; /* in the thread's sessions */
	struct mc_list ready; /* in the thread's ready list, or alone */
	struct mc_stream stream;
	uint32_t mark; /* of tcp_set_mark() */
	bool readable, writable, ended; /* ended: the peer sends nothing any more */
	bool closing;  /* nothing more is read; closed after the last answer */
	bool lingers;  /* ... and after the peer has closed too, its input thrown away */
	bool draining; /* that is under way */
	bool heard;    /* has sent a request */
	bool foreign;  /* what came first is a handshake */
	bool securing; /* in the TLS handshake; active is when it began */
	int64_t active; /* when bytes last moved */

	uint8_t *held; /* input that waits, held_size bytes from held_at: own or partial */
	uint32_t held_at, held_size;
	uint8_t partial[TCP_HEADER_SIZE];
	uint32_t input_size; /* to ask for at a time */

	uint64_t body_address; /* of the WRITE being received */
	uint64_t body_left;
	bool body_acknowledged;

	uint32_t answer_first, answer_count; /* ring */
	uint64_t answer_bytes;
	struct tcp_answer answers[TCP_ANSWERS_MAX];
};

enum tcp_counter {
	TCP_READS,
	TCP_WRITES,
	TCP_READ_BYTES,
	TCP_WRITE_BYTES,
	TCP_REFUSED,
	TCP_READS_FENCED,
	TCP_COUNTERS,
};

struct tcp_thread {
	struct tcp_server *server;
	pthread_t id;
	int epoll_fd;
	int wake_fd;
	pthread_mutex_t lock;    /* incoming */
	struct mc_list incoming; /* sessions handed over by the accepting thread */
	struct mc_list sessions;
	struct mc_list ready;
	struct mc_list relays;
	struct mc_list ready_relays;
	uint32_t relay_count;
	struct mc_reader reader;
	struct mc_stages stages; /* for memory of devices */
	int64_t now;
	int64_t sweep_at; /* look for stalled sessions; MC_NEVER when none can be */
	struct mc_spin spin; /* for what follows an answer */
	bool answered;       /* since the last wait */
	atomic_bool crowded; /* no room for more: who never asked for anything has to go */
	_Atomic uint32_t session_count;
	_Atomic uint64_t counters[TCP_COUNTERS];
	uint8_t input[TCP_INPUT_SIZE];
};

/* Takes fd over; with TLS unless tls is NULL. NULL: no memory, and fd is open. */
struct tcp_session *tcp_session_new(int fd, struct mc_tls *tls, int64_t now);
void tcp_session_free(struct tcp_session *session);

enum tcp_session_turn {
	SESSION_WAITS,
	SESSION_HAS_MORE,
	SESSION_OVER,
	SESSION_FOREIGN,
};

/* What the first bytes of a connection begin. */
enum tcp_first {
	FIRST_UNKNOWN, /* as yet */
	FIRST_REQUEST,
	FIRST_HANDSHAKE,
};

enum tcp_first tcp_first_bytes(const uint8_t *bytes, uint32_t size);

/* Serves what has arrived, up to a limit of bytes. */
enum tcp_session_turn tcp_session_run(struct tcp_session *session, struct tcp_thread *thread);

/* Is the peer in the middle of something, so that its silence is a stall? */
bool tcp_session_owes(const struct tcp_session *session);

/* Only the thread itself writes its counters. */
static inline void tcp_count(struct tcp_thread *thread, enum tcp_counter counter, uint64_t add)
{
	uint64_t value = atomic_load_explicit(&thread->counters[counter], memory_order_relaxed);

	atomic_store_explicit(&thread->counters[counter], value + add, memory_order_relaxed);
}

struct tcp_server {
	struct mc_engine *engine;
	uint32_t max_threads;
	uint32_t max_connections;
	int64_t stall_timeout; /* ns */
	int listener;
	struct sockaddr_un answerer; /* of handshakes */
	socklen_t answerer_size;     /* 0: nobody answers them */
	int64_t accept_at; /* MC_NEVER: accepting; else when to try again. Of thread 0 */
	atomic_bool stopping;
	pthread_mutex_t lock; /* changes of the two below; only thread 0 makes them later */
	_Atomic uint32_t thread_count;
	struct tcp_thread *threads[TCP_THREADS_MAX];
	_Atomic uint64_t accepted;
	_Atomic uint64_t rejected;
};

static inline struct mc_publisher *tcp_server_publisher(struct tcp_server *server)
{
	return &server->engine->publisher;
}

/* Takes what waits at the listener; called by thread 0, as tcp_server_watch() is. */
void tcp_server_accept(struct tcp_thread *thread);

/* Listens on, or pauses after running out of something. */
void tcp_server_watch(struct tcp_thread *thread, bool on);

/* A thread's descriptors, its start, and its end after it was joined. 0 or -errno. */
int tcp_thread_open(struct tcp_thread *thread);
int tcp_thread_spawn(struct tcp_thread *thread);
void tcp_thread_free(struct tcp_thread *thread);

/* Makes a thread look at what was handed to it, or at the server's state. */
void tcp_thread_wake(struct tcp_thread *thread);

/* Takes a session into the thread's own set; called by the thread itself. */
void tcp_thread_adopt(struct tcp_thread *thread, struct tcp_session *session);

#endif

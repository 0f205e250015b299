/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_STREAM_H
#define MC_STREAM_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../tls/connection.h"

/*
 * A non-blocking connected socket, with TLS or without. Plain ones cost nothing more than the
 * calls into the kernel. Edge-triggered: what ends with fewer bytes than asked for has met
 * -EAGAIN, or the end.
 */
struct mc_stream {
	int fd; /* -1: none */
	struct mc_tls_connection *tls; /* NULL: plain */
};

/* Puts TLS on; name as in mc_tls_connection_new(), tls may be NULL. 0 or -ENOMEM. */
static inline int mc_stream_secure(struct mc_stream *stream, struct mc_tls *tls, const char *name)
{
	if (!tls)
		return 0;
	stream->tls = mc_tls_connection_new(tls, stream->fd, name);
	return stream->tls ? 0 : -ENOMEM;
}

/* Sends vectors: bytes taken, or -errno. */
static inline int64_t mc_stream_send(struct mc_stream *stream, struct msghdr *message)
{
	ssize_t count;

	if (stream->tls)
		return mc_tls_connection_send(stream->tls, message->msg_iov, message->msg_iovlen);
	count = sendmsg(stream->fd, message, MSG_NOSIGNAL);
	return count < 0 ? -errno : count;
}

/* Are there bytes that were taken and still have to be sent, with mc_stream_flush()? */
static inline bool mc_stream_owes(const struct mc_stream *stream)
{
	return stream->tls && mc_tls_connection_owes(stream->tls);
}

/* 0, -EAGAIN or -errno. */
static inline int mc_stream_flush(struct mc_stream *stream)
{
	return stream->tls ? mc_tls_connection_flush(stream->tls) : 0;
}

/* Receives into vectors: bytes, 0 at the end, or -errno. */
static inline int64_t mc_stream_receive(struct mc_stream *stream, struct msghdr *message)
{
	ssize_t count;

	if (stream->tls)
		return mc_tls_connection_receive(stream->tls, message->msg_iov,
						 message->msg_iovlen, false);
	count = recvmsg(stream->fd, message, 0);
	return count < 0 ? -errno : count;
}

static inline int64_t mc_stream_receive_into(struct mc_stream *stream, void *bytes, size_t size,
					     bool peek)
{
	struct iovec iov = { bytes, size };
	ssize_t count;

	if (stream->tls)
		return mc_tls_connection_receive(stream->tls, &iov, 1, peek);
	count = recv(stream->fd, bytes, size, peek ? MSG_PEEK : 0);
	return count < 0 ? -errno : count;
}

/* Has the end been met, of which no event tells? Always false for plain ones. */
static inline bool mc_stream_ended(const struct mc_stream *stream)
{
	return stream->tls && mc_tls_connection_ended(stream->tls);
}

/* Tells the peer that nothing comes any more. */
static inline void mc_stream_finish(struct mc_stream *stream)
{
	if (stream->tls)
		mc_tls_connection_finish(stream->tls);
	shutdown(stream->fd, SHUT_WR);
}

static inline void mc_stream_close(struct mc_stream *stream)
{
	mc_tls_connection_free(stream->tls);
	stream->tls = NULL;
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "rpc_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HEADER_BYTES = 20,
	MAGIC = 0x15,
	/* A connection whose peer leaves so many reply bytes unread is not read from either. */
	UNSENT_PAUSE = 4 * 1024 * 1024,
	/* One that has left so many unread when the next reply comes is closed. */
	UNSENT_LIMIT = 64 * 1024 * 1024,
	/* What any connection may keep, however much all of them keep together. */
	KEPT_ALWAYS = 64 * 1024,
};

static uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint32_t conn_id(const struct mc_rpc_server *server, const struct conn *conn)
{
	return (uint32_t)(conn - server->conns) | conn->generation << SLOT_BITS;
}

struct conn *conn_find(struct mc_rpc_server *server, uint32_t id)
{
	uint32_t slot = id & SLOT_MASK;

	if (slot >= server->capacity)
		return NULL;
	struct conn *conn = &server->conns[slot];
	return conn->fd >= 0 && conn_id(server, conn) == id ? conn : NULL;
}

void conn_watch(struct mc_rpc_server *server, struct conn *conn)
{
	size_t unsent = conn->out_length - conn->out_start;
	uint32_t events = (unsent ? EPOLLOUT : 0) |
			  (unsent < UNSENT_PAUSE && !conn->ready ? EPOLLIN : 0);

	if (events == conn->events)
		return;
	struct epoll_event event = { .events = events,
				     .data.u64 = (uint64_t)(conn - server->conns) };
	epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
	conn->events = events;
}

static void ready_remove(struct mc_rpc_server *server, struct conn *conn)
{
	uint32_t slot = (uint32_t)(conn - server->conns), at = server->ready_head, before = NONE;

	while (at != NONE && at != slot) {
		before = at;
		at = server->conns[at].next;
	}
	if (at == NONE)
		return;
	if (before == NONE)
		server->ready_head = conn->next;
	else
		server->conns[before].next = conn->next;
	if (server->ready_tail == slot)
		server->ready_tail = before;
	conn->ready = 0;
}

/* Grows a buffer of a connection. -ENOBUFS when all connections together keep too much. */
static int reserve(struct mc_rpc_server *server, uint8_t **bytes, size_t *capacity, size_t wanted)
{
	if (wanted <= *capacity)
		return 0;
	size_t next = *capacity ? *capacity : 512;
	while (next < wanted)
		next *= 2;
	if (next > KEPT_ALWAYS && server->kept + next - *capacity > server->kept_limit)
		return -ENOBUFS;
	uint8_t *grown = realloc(*bytes, next);
	if (!grown)
		return -ENOMEM;
	server->kept += next - *capacity;
	*bytes = grown;
	*capacity = next;
	return 0;
}

static void release(struct mc_rpc_server *server, uint8_t **bytes, size_t *capacity)
{
	server->kept -= *capacity;
	free(*bytes);
	*bytes = NULL;
	*capacity = 0;
}

void conn_close(struct mc_rpc_server *server, struct conn *conn)
{
	if (conn->ready)
		ready_remove(server, conn);
	close(conn->fd); /* also leaves the epoll set */
	release(server, &conn->in, &conn->in_capacity);
	release(server, &conn->out, &conn->out_capacity);
	uint32_t generation = (conn->generation + 1) & (UINT32_MAX >> SLOT_BITS);
	*conn = (struct conn){ .fd = -1, .generation = generation, .next = server->free_head };
	server->free_head = (uint32_t)(conn - server->conns);
	server->open--;
}

/* Appends one record, attachment behind body; returns 0, or -ENOBUFS when the batch has no room for it. */
static int batch_add(struct batch *batch, uint32_t connection, uint32_t kind, const uint8_t *header,
		     const uint8_t *body, uint32_t body_length, uint32_t attachment_length)
{
	size_t content = (size_t)body_length + attachment_length;
	size_t bytes = (sizeof(struct mc_rpc_request) + content + 7) & ~(size_t)7;

	if (bytes > batch->capacity - batch->length) {
		if (batch->count == 0)
			batch->need = (uint32_t)(sizeof(struct mc_rpc_batch) + bytes);
		return -ENOBUFS;
	}
	struct mc_rpc_request record = { connection,           kind, load_u32(header + 4),
					 load_u32(header + 8), body_length,
					 attachment_length };
	memcpy(batch->bytes + batch->length, &record, sizeof(record));
	if (content)
		memcpy(batch->bytes + batch->length + sizeof(record), body, content);
	batch->length += bytes;
	batch->count++;
	return 0;
}

/*
 * Takes whole frames from the front of data. Returns the bytes consumed, or -EPROTO when the stream
 * is not the protocol. Sets *full when a whole frame is left because the batch has no room.
 */
static int64_t take_frames(struct mc_rpc_server *server, struct conn *conn, struct batch *batch,
			   const uint8_t *data, size_t length, int *full)
{
	size_t at = 0;

	*full = 0;
	for (;;) {
		if (conn->skip) {
			size_t n = length - at < conn->skip ? length - at : (size_t)conn->skip;
			at += n;
			conn->skip -= n;
			if (conn->skip)
				return (int64_t)at;
		}
		if (at < length && data[at] != MAGIC)
			return -EPROTO;
		if (length - at < HEADER_BYTES)
			return (int64_t)at;
		const uint8_t *header = data + at;
		if (header[1] != 0 || header[2] != 0)
			return -EPROTO;
		uint64_t body = load_u32(header + 12), attachment = load_u32(header + 16);
		if (body + attachment > server->options.max_frame_bytes) {
			if (batch_add(batch, conn_id(server, conn), MC_RPC_TOO_LARGE, header, NULL, 0, 0) < 0) {
				*full = 1;
				return (int64_t)at;
			}
			at += HEADER_BYTES;
			conn->skip = body + attachment;
			continue;
		}
		uint64_t handed_out = attachment <= MC_RPC_MAX_ATTACHMENT ? attachment : 0;
		if (length - at - HEADER_BYTES < body + handed_out)
			return (int64_t)at;
		if (batch_add(batch, conn_id(server, conn), MC_RPC_REQUEST, header,
			      header + HEADER_BYTES, (uint32_t)body, (uint32_t)handed_out) < 0) {
			*full = 1;
			return (int64_t)at;
		}
		at += HEADER_BYTES + body + handed_out;
		conn->skip = attachment - handed_out;
	}
}

static void ready_add(struct mc_rpc_server *server, struct conn *conn)
{
	uint32_t slot = (uint32_t)(conn - server->conns);

	if (conn->ready)
		return;
	conn->ready = 1;
	conn->next = NONE;
	if (server->ready_tail == NONE)
		server->ready_head = slot;
	else
		server->conns[server->ready_tail].next = slot;
	server->ready_tail = slot;
}

/* Appends bytes of an unfinished frame. */
static int keep_in(struct mc_rpc_server *server, struct conn *conn, const uint8_t *bytes,
		   size_t length)
{
	if (!length)
		return 0;
	int result =
		reserve(server, &conn->in, &conn->in_capacity, conn->in_length + length);
	if (result < 0)
		return result;
	memcpy(conn->in + conn->in_length, bytes, length);
	conn->in_length += length;
	return 0;
}

int conn_take_kept(struct mc_rpc_server *server, struct conn *conn, struct batch *batch)
{
	int full;
	int64_t used = take_frames(server, conn, batch, conn->in, conn->in_length, &full);

	if (used < 0)
		return (int)used;
	conn->in_length -= (size_t)used;
	if (conn->in_length == 0)
		release(server, &conn->in, &conn->in_capacity);
	else if (used)
		memmove(conn->in, conn->in + used, conn->in_length);
	if (full)
		ready_add(server, conn);
	return 0;
}

int conn_read(struct mc_rpc_server *server, struct conn *conn, struct batch *batch)
{
	ssize_t n = recv(conn->fd, server->scratch, SCRATCH_BYTES, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ECONNRESET;
	if (conn->in_length) {
		int result = keep_in(server, conn, server->scratch, (size_t)n);
		return result < 0 ? result : conn_take_kept(server, conn, batch);
	}
	int full;
	int64_t used = take_frames(server, conn, batch, server->scratch, (size_t)n, &full);
	if (used < 0)
		return (int)used;
	int result = keep_in(server, conn, server->scratch + used, (size_t)(n - used));
	if (result < 0)
		return result;
	if (full)
		ready_add(server, conn);
	return 0;
}

/* Keeps the bytes of iov from `sent` on. */
static int keep_unsent(struct mc_rpc_server *server, struct conn *conn, const struct iovec *iov,
		       int count, size_t sent)
{
	if (conn->out_start > conn->out_length / 2) {
		conn->out_length -= conn->out_start;
		memmove(conn->out, conn->out + conn->out_start, conn->out_length);
		conn->out_start = 0;
	}
	for (int i = 0; i < count; i++) {
		if (sent >= iov[i].iov_len) {
			sent -= iov[i].iov_len;
			continue;
		}
		size_t n = iov[i].iov_len - sent;
		int result =
			reserve(server, &conn->out, &conn->out_capacity, conn->out_length + n);
		if (result < 0)
			return result;
		memcpy(conn->out + conn->out_length, (uint8_t *)iov[i].iov_base + sent, n);
		conn->out_length += n;
		sent = 0;
	}
	return 0;
}

int conn_send(struct mc_rpc_server *server, struct conn *conn, struct iovec *iov, int count)
{
	size_t sent = 0;

	if (conn->out_length - conn->out_start > UNSENT_LIMIT)
		return -ENOBUFS;
	if (conn->out_length == 0) {
		struct msghdr message = { .msg_iov = iov, .msg_iovlen = (size_t)count };
		ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		sent = n > 0 ? (size_t)n : 0;
	}
	return keep_unsent(server, conn, iov, count, sent);
}

int conn_flush(struct mc_rpc_server *server, struct conn *conn)
{
	ssize_t n = send(conn->fd, conn->out + conn->out_start, conn->out_length - conn->out_start,
			 MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	conn->out_start += (size_t)n;
	if (conn->out_start == conn->out_length) {
		release(server, &conn->out, &conn->out_capacity);
		conn->out_start = conn->out_length = 0;
	}
	return 0;
}

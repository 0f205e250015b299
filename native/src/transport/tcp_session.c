// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common.h"
#include "tcp_answers.h"

/* Of one session before the next has its turn. */
#define TURN_BYTES (2u << 20)
#define INPUT_MIN 8192u

struct tcp_session *tcp_session_new(int fd, struct mc_tls *tls, int64_t now)
{
	struct tcp_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	mc_list_init(&session->entry);
	mc_list_init(&session->ready);
	session->stream.fd = fd;
	session->mark = 1;
	session->held = session->partial;
	session->input_size = INPUT_MIN;
	session->active = now;
	session->securing = tls;
	if (mc_stream_secure(&session->stream, tls, NULL)) {
		free(session);
		return NULL;
	}
	return session;
}

void tcp_session_free(struct tcp_session *session)
{
	mc_list_remove(&session->entry);
	mc_list_remove(&session->ready);
	if (session->held != session->partial)
		free(session->held);
	mc_stream_close(&session->stream);
	free(session);
}

bool tcp_session_owes(const struct tcp_session *session)
{
	return session->held_size || session->body_left || session->answer_count ||
	       session->closing || session->securing || mc_stream_owes(&session->stream);
}

/* Version 1 has no word for a refusal: the connection just ends. */
static void refuse(struct tcp_session *session, struct tcp_thread *thread, bool acknowledged)
{
	tcp_count(thread, TCP_REFUSED, 1);
	if (acknowledged)
		tcp_answers_add(session, true, TCP_STATUS_REFUSED, 0, 0);
	session->lingers = acknowledged;
	session->closing = true;
	session->body_left = 0;
}

static void body_done(struct tcp_session *session, struct tcp_thread *thread)
{
	tcp_count(thread, TCP_WRITES, 1);
	if (session->body_acknowledged)
		tcp_answers_add(session, true, TCP_STATUS_OK, 0, 0);
}

static void begin_request(struct tcp_session *session, struct tcp_thread *thread,
			  struct mc_published *published, const uint8_t *bytes)
{
	struct tcp_header header;
	bool acknowledged;
	uint8_t opcode;

	memcpy(&header, bytes, sizeof(header));
	acknowledged = header.opcode & TCP_ACKNOWLEDGED;
	opcode = header.opcode & (uint8_t)~TCP_ACKNOWLEDGED;
	session->heard = true;
	if (opcode > MC_OP_WRITE || !mc_published_find(published, header.address, header.size).memory) {
		tcp_count(thread, TCP_READS_FENCED, opcode == MC_OP_READ);
		refuse(session, thread, acknowledged);
	} else if (opcode == MC_OP_READ) {
		tcp_count(thread, TCP_READS, 1);
		tcp_answers_add(session, acknowledged, TCP_STATUS_OK, header.address, header.size);
	} else {
		session->body_address = header.address;
		session->body_left = header.size;
		session->body_acknowledged = acknowledged;
	}
}

/* Copies to where a body belongs: 0 or -EREMOTEIO. */
static int store(struct tcp_thread *thread, struct mc_place place, const uint8_t *bytes,
		 uint64_t size)
{
	struct mc_stage *stage;

	if (!place.device) {
		memcpy(place.memory, bytes, size);
		return 0;
	}
	stage = tcp_stage_for(thread, place);
	return stage ? mc_stage_store(stage, (uintptr_t)place.memory, bytes, size) : -EREMOTEIO;
}

/* Takes the next part of a WRITE's bytes; false when its region is gone or its device fails. */
static bool store_body(struct tcp_session *session, struct tcp_thread *thread,
		       struct mc_published *published, const uint8_t *bytes, uint64_t size)
{
	struct mc_place place =
		mc_published_find(published, session->body_address, session->body_left);

	if (!place.memory || store(thread, place, bytes, size)) {
		refuse(session, thread, session->body_acknowledged);
		return false;
	}
	tcp_count(thread, TCP_WRITE_BYTES, size);
	session->body_address += size;
	session->body_left -= size;
	if (!session->body_left)
		body_done(session, thread);
	return true;
}

static bool can_take_request(const struct tcp_session *session)
{
	return !session->closing && session->answer_count < TCP_ANSWERS_MAX &&
	       session->answer_bytes < TCP_CALL_BYTES;
}

/* May the first bytes of a connection be taken for a request? */
static bool begins_request(struct tcp_session *session, const struct tcp_thread *thread,
			   const uint8_t *input, uint32_t size)
{
	enum tcp_first first;

	if (session->heard || !thread->server->answerer_size)
		return true;
	first = tcp_first_bytes(input, size);
	session->foreign = first == FIRST_HANDSHAKE;
	return first == FIRST_REQUEST;
}

/* Carries out what the input holds; returns how much of it is used up. */
static uint32_t consume(struct tcp_session *session, struct tcp_thread *thread,
			const uint8_t *input, uint32_t size)
{
	struct mc_publisher *publisher = tcp_server_publisher(thread->server);
	struct mc_published *published;
	uint32_t at = 0;

	if (!begins_request(session, thread, input, size))
		return 0;
	published = mc_reader_enter(publisher, &thread->reader);
	while (at < size) {
		if (session->body_left) {
			uint32_t part = (uint32_t)mc_min(size - at, session->body_left);

			if (!store_body(session, thread, published, input + at, part))
				break;
			at += part;
		} else if (size - at >= TCP_HEADER_SIZE && can_take_request(session)) {
			begin_request(session, thread, published, input + at);
			at += TCP_HEADER_SIZE;
		} else {
			break;
		}
	}
	mc_reader_leave(&thread->reader);
	return at;
}

/* Puts input aside; false without memory. */
static bool hold(struct tcp_session *session, const uint8_t *input, uint32_t size)
{
	if (size > sizeof(session->partial)) {
		uint8_t *held = malloc(size);

		if (!held)
			return false;
		session->held = held;
	}
	memcpy(session->held, input, size);
	session->held_at = 0;
	session->held_size = size;
	return true;
}

static void unhold(struct tcp_session *session)
{
	if (session->held != session->partial)
		free(session->held);
	session->held = session->partial;
	session->held_at = 0;
	session->held_size = 0;
}

/* Continues with input that was put aside while answers were waiting. */
static uint32_t consume_held(struct tcp_session *session, struct tcp_thread *thread)
{
	uint32_t used = consume(session, thread, session->held + session->held_at,
				session->held_size);

	session->held_at += used;
	session->held_size -= used;
	if (!session->held_size)
		unhold(session);
	return used;
}

/* Fewer bytes came than were asked for: is there more to be had without an event? */
static bool stays_readable(const struct tcp_session *session)
{
	return session->ended || mc_stream_ended(&session->stream);
}

/* Receives into memory of a device; TCP_IO_ERROR also when that fails. */
static int64_t receive_staged(struct tcp_session *session, struct tcp_thread *thread,
			      struct mc_place place, uint64_t size)
{
	struct mc_stage *stage = tcp_stage_for(thread, place);
	int64_t count = -EREMOTEIO;

	if (stage)
		count = mc_stage_receive(stage, &session->stream, (uintptr_t)place.memory, size);
	if (count < 0)
		return count == -EAGAIN ? TCP_IO_WAIT : TCP_IO_ERROR;
	return count ? count : TCP_IO_END;
}

/* Receives into the region that is being written. */
static int64_t receive_body(struct tcp_session *session, struct tcp_thread *thread)
{
	struct mc_publisher *publisher = tcp_server_publisher(thread->server);
	uint64_t part = mc_min(session->body_left, TCP_CALL_BYTES);
	struct mc_published *published;
	struct mc_place place;
	int64_t count = TCP_IO_WAIT;

	published = mc_reader_enter(publisher, &thread->reader);
	place = mc_published_find(published, session->body_address, session->body_left);
	if (place.device)
		count = receive_staged(session, thread, place, part);
	else if (place.memory)
		count = tcp_io_result(
			mc_stream_receive_into(&session->stream, place.memory, part, false));
	mc_reader_leave(&thread->reader);
	if (!place.memory) {
		refuse(session, thread, session->body_acknowledged);
		return TCP_IO_WAIT;
	}
	if (count < (int64_t)part)
		session->readable = stays_readable(session);
	if (count > 0) {
		tcp_count(thread, TCP_WRITE_BYTES, (uint64_t)count);
		session->body_address += (uint64_t)count;
		session->body_left -= (uint64_t)count;
		if (!session->body_left)
			body_done(session, thread);
	}
	return count;
}

/* Receives requests and the beginning of bodies. */
static int64_t receive_input(struct tcp_session *session, struct tcp_thread *thread)
{
	uint32_t before = session->held_size, size, used;
	uint8_t *input = thread->input;
	int64_t count;

	memcpy(input, session->held + session->held_at, before);
	count = tcp_io_result(mc_stream_receive_into(&session->stream, input + before,
						     session->input_size - before, false));
	if (count < (int64_t)(session->input_size - before))
		session->readable = stays_readable(session);
	if (count <= 0)
		return count;
	size = before + (uint32_t)count;
	used = consume(session, thread, input, size);
	unhold(session);
	if (used < size && !session->closing && !hold(session, input + used, size - used))
		return TCP_IO_ERROR;
	/* Many small requests: take more at a time. A long body: copy less of it. */
	if (session->body_left)
		session->input_size = INPUT_MIN;
	else if (size == session->input_size && size < TCP_INPUT_SIZE)
		session->input_size *= 2;
	return count;
}

static int64_t receive(struct tcp_session *session, struct tcp_thread *thread)
{
	if (session->held_size) {
		uint32_t used = consume_held(session, thread);

		if (used || session->held_size >= TCP_HEADER_SIZE)
			return used;
	}
	if (!session->readable)
		return TCP_IO_WAIT;
	if (session->body_left)
		return receive_body(session, thread);
	return receive_input(session, thread);
}

/* After a refusal; without reading on, the system would reset and the refusal be lost. */
static enum tcp_session_turn drain(struct tcp_session *session, struct tcp_thread *thread)
{
	if (!session->draining) {
		mc_stream_finish(&session->stream);
		session->draining = true;
		session->readable = true;
	}
	for (uint32_t moved = 0; moved < TURN_BYTES; moved += TCP_INPUT_SIZE) {
		ssize_t count = recv(session->stream.fd, thread->input, TCP_INPUT_SIZE, 0);

		if (count < 0 && errno == EAGAIN)
			return SESSION_WAITS;
		if (count <= 0)
			return SESSION_OVER;
	}
	return SESSION_HAS_MORE;
}

/*
 * A peer that speaks no TLS and begins with a handshake is told by an alert, which it can tell from
 * an answer; a request gets no bytes that could be taken for one.
 */
static void refuse_alien(struct tcp_session *session)
{
	static const uint8_t protocol_version[] = { 21, 3, 3, 0, 2, 2, 70 };
	uint8_t bytes[32];
	uint32_t size = mc_tls_connection_alien(session->stream.tls, bytes);

	if (size && tcp_first_bytes(bytes, size) == FIRST_HANDSHAKE)
		(void)send(session->stream.fd, protocol_version, sizeof(protocol_version),
			   MSG_NOSIGNAL);
}

/* False while there is nothing to serve yet, or any more. */
static bool secure(struct tcp_session *session, struct tcp_thread *thread)
{
	int err = mc_tls_connection_begin(session->stream.tls);

	if (err == -EAGAIN)
		return false;
	session->securing = false;
	session->active = thread->now;
	session->readable = true; /* what came behind the handshake may have been read with it */
	if (!err)
		return true;
	refuse_alien(session);
	session->closing = session->lingers = true;
	return true;
}

static enum tcp_session_turn take_turn(struct tcp_session *session, struct tcp_thread *thread)
{
	uint64_t moved = 0;

	if (session->securing && !secure(session, thread))
		return SESSION_WAITS;
	while (moved < TURN_BYTES) {
		int64_t count = TCP_IO_WAIT;

		if (mc_stream_owes(&session->stream) && session->writable) {
			int err = mc_stream_flush(&session->stream);

			session->writable = err == 0;
			if (err && err != -EAGAIN)
				return SESSION_OVER;
			session->active = thread->now;
		}

		if (can_take_request(session) && (session->readable || session->held_size)) {
			count = receive(session, thread);
			if (session->foreign)
				return SESSION_FOREIGN;
			if (count == TCP_IO_ERROR || (count == TCP_IO_END && !session->answer_count))
				return SESSION_OVER;
			if (count == TCP_IO_END)
				session->closing = true;
			if (count > 0) {
				session->active = thread->now;
				moved += (uint64_t)count;
				if (session->readable && can_take_request(session) &&
				    !(session->answer_count && session->body_left))
					continue;
			}
		}
		if (session->answer_count) {
			if (!session->writable)
				return SESSION_WAITS;
			count = tcp_answers_send(session, thread);
			if (count < 0)
				return SESSION_OVER;
			if (count == TCP_IO_WAIT)
				return SESSION_WAITS;
			session->active = thread->now;
			tcp_answers_advance(session, thread, (uint64_t)count);
			moved += (uint64_t)count;
		} else if (session->closing) {
			if (mc_stream_owes(&session->stream))
				return SESSION_WAITS;
			return session->lingers ? drain(session, thread) : SESSION_OVER;
		} else if (count == TCP_IO_WAIT) {
			return SESSION_WAITS;
		}
	}
	return SESSION_HAS_MORE;
}

enum tcp_session_turn tcp_session_run(struct tcp_session *session, struct tcp_thread *thread)
{
	enum tcp_session_turn result = take_turn(session, thread);

	if (result == SESSION_WAITS)
		tcp_set_mark(session->stream.fd, session->stream.tls ? 0 : session->body_left,
			     &session->mark);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TCP_ANSWERS_H
#define MC_TCP_ANSWERS_H

#include <errno.h>

#include "tcp_server.h"

/* Of one call into the kernel. */
#define TCP_CALL_BYTES (1u << 20)

enum tcp_io { TCP_IO_ERROR = -2, TCP_IO_END = -1, TCP_IO_WAIT = 0 };

/* What a call of the stream returned, as bytes or one of the above. */
static inline int64_t tcp_io_result(int64_t count)
{
	if (count > 0)
		return count;
	if (count == 0)
		return TCP_IO_END;
	return count == -EAGAIN ? TCP_IO_WAIT : TCP_IO_ERROR;
}

/* The thread's way to memory of a device; without room for one the request is refused. */
static inline struct mc_stage *tcp_stage_for(struct tcp_thread *thread, struct mc_place place)
{
	return mc_stages_get(&thread->stages, place.device);
}

/* Puts an answer behind those that wait; there is room for it. */
void tcp_answers_add(struct tcp_session *session, bool acknowledged, uint8_t code,
		     uint64_t address, uint64_t length);

/* One call with as many answers as it takes; one alone where it lies on a device. */
int64_t tcp_answers_send(struct tcp_session *session, struct tcp_thread *thread);

/* Takes bytes that were sent off the answers. */
void tcp_answers_advance(struct tcp_session *session, struct tcp_thread *thread, uint64_t bytes);

#endif

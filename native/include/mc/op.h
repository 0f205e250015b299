/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_OP_H
#define MC_OP_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

enum mc_opcode {
	MC_OP_READ = 0,  /* peer memory -> local memory */
	MC_OP_WRITE = 1, /* local memory -> peer memory */
};

enum mc_op_flag {
	MC_OP_CRC32C = 1 << 0, /* the completion carries the CRC-32C of the bytes */
};

/* Region id of memory that the caller owns: local_offset is then its address. */
#define MC_REGION_BORROWED 0

struct mc_op { /* 48 bytes, little endian; offsets are mirrored in ffi/layout.ts */
	uint64_t user_data;    /* handed back untouched in the completion */
	uint64_t local_offset; /* bytes from the start of the region */
	uint64_t remote;       /* address as the peer advertises it */
	uint64_t length;       /* bytes, > 0 */
	uint32_t region;       /* id from mc_region_register(), or MC_REGION_BORROWED */
	uint32_t peer;         /* id from mc_peer_open() */
	uint32_t opcode;       /* enum mc_opcode */
	uint32_t flags;        /* enum mc_op_flag */
};
_Static_assert(sizeof(struct mc_op) == 48, "struct mc_op is ABI");

/*
 * result is 0 or one of:
 *   -EFAULT        the peer refused the address range
 *   -ETIMEDOUT     the deadline passed first
 *   -EHOSTUNREACH  no connection could be made
 *   -ECONNRESET    the connection ended before the operation did
 *   -EPROTO        the peer does not speak the protocol
 *   -ECANCELED     the peer was closed or the engine shut down
 *   -ENOMEM        the engine ran out of memory
 *   -EREMOTEIO     the device that the local memory lies on failed
 *   -EIO, -EROFS   of files, see mc/files.h
 */
struct mc_completion {
	uint64_t user_data;
	int32_t result;
	int32_t detail;  /* errno behind the result, or 0 */
	uint32_t crc32c; /* of the operation's bytes, with MC_OP_CRC32C and result 0; else 0 */
	uint32_t reserved;
};
_Static_assert(sizeof(struct mc_completion) == 24, "struct mc_completion is ABI");

/*
 * Queues up to count operations, starts what can start at once and never blocks.
 * timeout_ms (> 0) bounds each of them.
 *
 * Returns the number accepted (0 when the queue is full, fewer than count when it
 * fills up or a later one is malformed), or, about the first one: -EINVAL when it is
 * malformed, -ESTALE when its peer or region id is not valid (any more), -ERANGE when
 * it reaches outside its region; or -ESHUTDOWN.
 *
 * Ownership: ops is copied. Region and borrowed bytes belong to the engine until the
 * completion has been returned by mc_wait() or mc_poll(), failed or not.
 * Threads: one thread submits and waits, opens and closes peers, registers regions;
 * another one may poll at the same time.
 */
MC_API int mc_submit(struct mc_engine *engine, const struct mc_op *ops, uint32_t count,
		     uint32_t timeout_ms);

/*
 * Moves what is ready on the calling thread until at least min completions can be
 * returned, sleeping in the kernel for at most sleep_us in total and working for
 * about work_us. Of that sleep, up to 40 us may go into looking for a short answer again
 * and again, where answers used to come within that time. Returns how many completions were written to out, at most max; 0
 * also when another thread is moving bytes at this moment.
 *
 * The first call on a thread lowers the thread's timer slack to 1 us, without which
 * the kernel stretches sleeps of this size by 50 us.
 */
MC_API int mc_wait(struct mc_engine *engine, struct mc_completion *out, uint32_t max, uint32_t min,
		   uint32_t sleep_us, uint32_t work_us);

/*
 * Returns the nanoseconds that mc_submit() and mc_wait() have taken since it was called
 * last, at most UINT32_MAX: what a thread that calls nothing else here was held up. It is
 * for the thread that submits and waits.
 */
MC_API uint32_t mc_spent(struct mc_engine *engine);

/*
 * Sleeps until there is a completion, mc_wake() is called or timeout_ms has passed
 * (UINT32_MAX: no limit), moving bytes meanwhile. Returns how many completions were
 * written to out, at most max; -ESHUTDOWN when the engine is shut down and everything
 * has been returned. Only one thread may poll at a time (-EBUSY).
 */
MC_API int mc_poll(struct mc_engine *engine, struct mc_completion *out, uint32_t max,
		   uint32_t timeout_ms);

/*
 * Ends the READs that are in flight and whose user_data, under mask, is that: they complete with
 * -ETIMEDOUT soon, and no byte reaches their memory after the completion has been returned. WRITEs,
 * and READs over RDMA, go on: a peer may be in the middle of the one, a card of the other. Returns
 * how many it found; one of them may have completed meanwhile.
 */
MC_API int mc_cancel(struct mc_engine *engine, uint64_t user_data, uint64_t mask);

/* Ends a poll that is running, or the next one at once. Any thread. Returns 0. */
MC_API int mc_wake(struct mc_engine *engine);

#endif

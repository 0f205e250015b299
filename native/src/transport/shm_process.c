// SPDX-License-Identifier: Apache-2.0
/* Bytes of other processes, without a file that both have mapped. */
#define _GNU_SOURCE
#include "shm.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../common.h"
#include "../engine.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Of one copy, so that memory is not withdrawn for longer under a reader's eyes. */
#define PART_BYTES (1ull << 20)

bool shm_is_quiet(int fd, short events)
{
	struct pollfd polled = { .fd = fd, .events = events };
	int count;

	do
		count = poll(&polled, 1, 0);
	while (count < 0 && errno == EINTR);
	return count == 0;
}

struct shm_process shm_process_of(int connection)
{
	const struct shm_process nobody = { .pid = 0, .fd = -1 };
	struct ucred peer;
	socklen_t length = sizeof(peer);
	struct shm_process found = { .fd = -1 };

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.pid <= 0)
		return nobody;
	found.pid = peer.pid;
	length = sizeof(found.fd);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &found.fd, &length) == 0)
		return found;
	/* A kernel before 6.5. While it is connected the number is still the peer's. */
	found.fd = (int)syscall(SYS_pidfd_open, found.pid, 0);
	if (found.fd >= 0 && shm_is_quiet(connection, POLLRDHUP))
		return found;
	shm_process_close(&found);
	return nobody;
}

void shm_process_close(struct shm_process *process)
{
	if (process->fd >= 0)
		close(process->fd);
	process->fd = -1;
	process->pid = 0;
}

int shm_process_read(const struct shm_process *process, uint64_t from, uint8_t *to,
		     uint64_t length)
{
	struct iovec here = { .iov_base = to, .iov_len = length };
	struct iovec there = { .iov_base = (void *)(uintptr_t)from, .iov_len = length };
	ssize_t count;

	if (!process->pid)
		return -EPERM;
	count = process_vm_readv(process->pid, &here, 1, &there, 1, 0);
	if (count < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS))
		return -EPERM;
	if (!shm_is_quiet(process->fd, POLLIN))
		return -ESRCH;
	return count == (ssize_t)length ? 0 : -EFAULT;
}

int shm_take(struct mc_engine *engine, struct mc_reader *reader, const struct shm_process *writer,
	     const struct shm_write *write)
{
	struct mc_publisher *publisher = &engine->publisher;
	uint64_t at = 0;
	int err = 0;

	while (at < write->length && !err) {
		uint64_t part = mc_min(PART_BYTES, write->length - at);
		struct mc_published *published = mc_reader_enter(publisher, reader);
		struct mc_place place =
			mc_published_find(published, write->remote + at, write->length - at);

		if (!place.memory || place.device)
			err = -EFAULT;
		else
			err = shm_process_read(writer, write->address + at, place.memory, part);
		mc_reader_leave(reader);
		at += part;
	}
	if (err)
		return err;
	pthread_mutex_lock(&engine->state_lock);
	engine->shared.writes += write->last;
	engine->shared.write_bytes += write->length;
	pthread_mutex_unlock(&engine->state_lock);
	return 0;
}

int shm_order(int fd, const uint8_t *asker, const struct shm_write *writes, uint32_t count,
	      int32_t *results)
{
	struct shm_question question = { .magic = SHM_MAGIC, .count = count };
	struct iovec parts[2] = {
		{ .iov_base = &question, .iov_len = sizeof(question) },
		{ .iov_base = (void *)(uintptr_t)writes, .iov_len = count * sizeof(*writes) },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	struct shm_taken taken;
	ssize_t got;

	memcpy(question.asker, asker, sizeof(question.asker));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return -errno;
	do
		got = recv(fd, &taken, sizeof(taken), 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got != (ssize_t)(offsetof(struct shm_taken, results) + count * sizeof(*results)) ||
	    taken.magic != SHM_MAGIC || taken.count != count)
		return got == 0 ? -ECONNRESET : -EPROTO;
	memcpy(results, taken.results, count * sizeof(*results));
	return 0;
}

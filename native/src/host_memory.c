// SPDX-License-Identifier: Apache-2.0
/*
 * Memory of the host: in pages of which size, on which NUMA nodes, locked or not. System calls
 * are made as they are, so that nothing depends on libnuma.
 */
#define _GNU_SOURCE
#include "host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"
#include "mc/region.h"

#define HUGE_PAGE (2ull << 20)
/* Of linux/mempolicy.h. */
#define POLICY_PREFERRED 1
#define POLICY_INTERLEAVE 3
/* Bits that the kernel is told of: one more than there are, as it takes one off. */
#define NODE_BITS 65ul

static uint64_t round_up(uint64_t length, uint64_t page)
{
	return (length + page - 1) & ~(page - 1);
}

/* A file in memory that others can map and nobody can make smaller: a descriptor or -errno. */
static int make_file(uint64_t length, uint32_t page_shift)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, err;

	if (page_shift)
		flags |= MFD_HUGETLB | page_shift << MAP_HUGE_SHIFT;
	fd = memfd_create("snowskin-region", flags);
	if (fd < 0)
		return page_shift ? -EOPNOTSUPP : -errno;
	if (ftruncate(fd, (off_t)length) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/*
 * Maps length bytes that start at a multiple of align, so that huge pages fit at both ends.
 * fd -1: memory of this process alone. NULL: there is not enough.
 */
static uint8_t *map_aligned(uint64_t length, uint64_t align, int fd, uint32_t page_shift)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint8_t *memory = mmap(NULL, length + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t head;

	if (memory == MAP_FAILED)
		return NULL;
	if (fd < 0 && page_shift)
		flags |= MAP_HUGETLB | (int)(page_shift << MAP_HUGE_SHIFT);
	head = -(uintptr_t)memory & (align - 1);
	if (head)
		munmap(memory, head);
	memory += head;
	munmap(memory + length, align - head);
	if (mmap(memory, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
		munmap(memory, length);
		return NULL;
	}
	return memory;
}

/*
 * Prefers nodes, which must not be 0, for a range. Preferred rather than bound: a full node must
 * not end the process, nor may one without huge pages of its own. 0 or -ENODEV.
 */
static int prefer(void *start, uint64_t length, int policy, uint64_t nodes)
{
	return syscall(SYS_mbind, start, length, policy, &nodes, NODE_BITS, 0) == 0 ? 0 : -ENODEV;
}

/* One piece for each node, in their order; or all pages in turn. */
static int place(const struct mc_host_memory_options *options, struct mc_host_memory *memory)
{
	uint64_t nodes = options->nodes, at = 0;

	if (options->flags & MC_REGION_INTERLEAVED)
		return prefer(memory->start, memory->length, POLICY_INTERLEAVE, nodes);
	memory->piece = memory->length / (uint64_t)__builtin_popcountll(nodes);
	memory->piece = round_up(memory->piece, memory->page);
	for (; nodes && at < memory->length; nodes &= nodes - 1, at += memory->piece) {
		uint64_t length = mc_min(memory->piece, memory->length - at);
		int err = prefer(memory->start + at, length, POLICY_PREFERRED, nodes & -nodes);

		if (err)
			return err;
	}
	return 0;
}

/* Pages are locked as they are provided; that many may be is checked now. */
static int lock_pages(const struct mc_host_memory *memory)
{
	return mlock2(memory->start, memory->length, MLOCK_ONFAULT) == 0 ? 0 : -EPERM;
}

int mc_host_memory_map(const struct mc_host_memory_options *options, uint64_t length, bool shared,
		       struct mc_host_memory *memory)
{
	uint64_t page = options->page_shift ? 1ull << options->page_shift :
					      (uint64_t)sysconf(_SC_PAGESIZE);
	struct mc_host_memory made = { .page = page, .length = round_up(length, page), .fd = -1 };
	bool large = made.length >= HUGE_PAGE;
	int err = 0;

	made.piece = made.length;
	if (shared) {
		made.fd = make_file(made.length, options->page_shift);
		if (made.fd < 0)
			return made.fd;
	}
	made.start = map_aligned(made.length, large && page < HUGE_PAGE ? HUGE_PAGE : page, made.fd,
				 options->page_shift);
	if (!made.start) {
		err = -ENOMEM;
		goto failed;
	}
	if (!options->page_shift && large)
		madvise(made.start, made.length,
			options->flags & MC_REGION_SMALL_PAGES ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	madvise(made.start, made.length, MADV_DONTFORK);
	madvise(made.start, made.length, MADV_DONTDUMP);
	if (options->nodes)
		err = place(options, &made);
	if (!err && options->flags & MC_REGION_LOCKED)
		err = lock_pages(&made);
	if (err)
		goto failed;
	*memory = made;
	return 0;

failed:
	mc_host_memory_unmap(&made);
	return err;
}

void mc_host_memory_unmap(struct mc_host_memory *memory)
{
	if (memory->start)
		munmap(memory->start, memory->length);
	if (memory->fd >= 0)
		close(memory->fd);
	memory->start = NULL;
	memory->fd = -1;
}

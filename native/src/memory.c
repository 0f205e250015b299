/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "mc/memory.h"

#include <stddef.h>
#include <sys/mman.h>

#include "mc/api.h"

#define HUGE_PAGE ((uintptr_t)2 << 20)

MC_API void *mc_memory_reserve(uint64_t bytes)
{
	if (bytes == 0 || bytes > UINTPTR_MAX / 2)
		return NULL;
	size_t length = (size_t)bytes + HUGE_PAGE;
	void *mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED)
		return NULL;
	uintptr_t start = ((uintptr_t)mapped + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	/* Where huge pages are turned off, ordinary ones do. */
	(void)madvise((void *)start, (size_t)bytes, MADV_HUGEPAGE);
	return (void *)start;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for libibverbs.so.1, for tests: the real library, but for the registration of a dma-buf,
 * which maps the file that the stand-in for CUDA gives out and registers the mapping. It shows that the
 * shim registers the right bytes at the right addresses, and nothing about adapters and GPUs.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

extern void *ibv_reg_mr_iova2(void *pd, void *address, size_t length, uint64_t iova,
			      unsigned int access);

__attribute__((visibility("default"))) void *ibv_reg_dmabuf_mr(void *pd, uint64_t offset,
							       size_t length, uint64_t iova, int fd,
							       int access)
{
	char *memory = mmap(NULL, offset + length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	fprintf(stderr, "stand-in for libibverbs.so.1: there is no dma-buf behind it\n");
	return memory == MAP_FAILED ? NULL :
				      ibv_reg_mr_iova2(pd, memory + offset, length, iova,
						       (unsigned int)access);
}

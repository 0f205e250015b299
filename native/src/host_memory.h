/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_HOST_MEMORY_H
#define MC_HOST_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How memory of the host is had; see struct mc_region_options. */
struct mc_host_memory_options {
	uint64_t nodes;
	uint32_t page_shift;
	uint32_t flags; /* enum mc_region_flags */
};

/* Memory that this process has mapped. */
struct mc_host_memory {
	uint8_t *start;
	uint64_t length; /* a multiple of page */
	uint64_t page;   /* bytes of the pages that were asked for */
	uint64_t piece;  /* bytes that lie on one node; length when there is but one piece */
	int fd;          /* of the file that it is, which others can map; -1: none */
};

/*
 * Maps at least length bytes of zeros, as a file when others are to map them: 0, or -errno as
 * mc_region_register() has it. Whoever is done with them calls mc_host_memory_unmap().
 */
int mc_host_memory_map(const struct mc_host_memory_options *options, uint64_t length, bool shared,
		       struct mc_host_memory *memory);
void mc_host_memory_unmap(struct mc_host_memory *memory);

/*
 * Has the kernel provide every page, with several threads, all pieces at once: 0, -ENOMEM, or
 * -ECANCELED as soon as one of the flags, each of which may be NULL, is set.
 */
int mc_host_memory_populate(const struct mc_host_memory *memory, const atomic_bool *withdrawn,
			    const atomic_bool *stopping);

#endif

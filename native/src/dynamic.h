/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_DYNAMIC_H
#define MC_DYNAMIC_H

#include <stdbool.h>
#include <stddef.h>

/* A function of a library that is loaded at run time, and where its address goes. */
struct mc_symbol {
	const char *name;
	size_t offset; /* in the table of calls */
	bool optional; /* NULL where the library has it not */
};

/*
 * Loads a library for the life of the process and fills the table of calls. Returns 0, or -ENODEV
 * with a line in why that names what is missing.
 */
int mc_dynamic_load(const char *library, const struct mc_symbol *symbols, size_t count, void *calls,
		    char *why, size_t size);

#endif

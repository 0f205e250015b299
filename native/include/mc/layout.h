/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_LAYOUT_H
#define MC_LAYOUT_H

#include <stdint.h>

#include "mc/api.h"

/* Raised when a public struct or function changes in a way that old callers notice. */
#define MC_ABI_VERSION 9

struct mc_layout_entry { /* 64 bytes */
	char name[56];  /* "mc_op.length", "sizeof mc_op", ... */
	uint32_t value; /* bytes */
	uint32_t reserved;
};

/* Returns MC_ABI_VERSION of the library. */
MC_API int mc_abi_version(void);

/*
 * Writes the offsets and sizes of the public structs as compiled, at most max of
 * them. Returns how many there are.
 */
MC_API int mc_layout(struct mc_layout_entry *out, uint32_t max);

#endif

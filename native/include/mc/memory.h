/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_MEMORY_H
#define MC_MEMORY_H

#include <stdint.h>

/*
 * Zeroed memory that starts at a multiple of 2 MiB and asks for huge pages, which random access in
 * large tables is faster in. Physical memory is taken as it is touched. Returns NULL when there is
 * no room. It lives as long as the process.
 */
void *mc_memory_reserve(uint64_t bytes);

#endif

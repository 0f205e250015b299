/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FILE_MEMORY_H
#define MC_FILE_MEMORY_H

#include <stdint.h>

#include "mc/api.h"

#define MC_FILE_PLAIN 0u      /* a file: what is stored passes the page cache */
#define MC_FILE_DAX 1u	      /* a file of a file system that is mounted with DAX: nothing in between */
#define MC_FILE_DAX_DEVICE 2u /* a DAX device, /dev/daxN.M */

/* Memory that is a DAX device, or a file. */
struct mc_file_memory {
	uint64_t address; /* of the first byte in this process */
	uint64_t length;  /* bytes */
	int32_t fd;
	uint32_t kind; /* MC_FILE_PLAIN, ... */
};

/*
 * Maps the first length bytes of a DAX device (/dev/daxN.M) or a regular file, which is never made
 * longer, and keeps others that do so out until mc_file_memory_unmap(). Space of a file is reserved
 * first, so that no store meets a full disk. Returns 0, or with one line in why (why_size bytes,
 * NUL-terminated): -EINVAL (neither of the two, too short, or length is no multiple of its alignment),
 * -EBUSY (another process has it), or what the system said.
 */
MC_API int mc_file_memory_map(const char *path, uint64_t length, struct mc_file_memory *memory,
			      char *why, uint32_t why_size);

/*
 * Maps the first length bytes of a regular file to be read: what is stored in the memory, by peers,
 * too, stays in this process, and the file as it is. What is written to the file shows in pages that
 * nobody has stored to. The file must not become shorter: reading beyond its end ends the process.
 * Returns and is ended as mc_file_memory_map(); the kind is plain.
 */
MC_API int mc_file_view_map(const char *path, uint64_t length, struct mc_file_memory *view,
			    char *why, uint32_t why_size);

/* Ends it, when nothing uses the memory any more. Returns 0. */
MC_API int mc_file_memory_unmap(const struct mc_file_memory *memory);

#endif

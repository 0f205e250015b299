/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FILES_H
#define MC_FILES_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/*
 * Segments that are files: block devices, such as namespaces of NVMe over fabrics, or files of a
 * file system. This process reads and writes them itself; there is nobody at the other end. A peer
 * opened with MC_TRANSPORT_FILES is such a segment: its addresses begin at 0 and go through its
 * files, one after the other.
 *
 * Bytes pass through aligned memory of threads of the segment, so that a device that does not
 * answer holds up its own segment alone, and no byte of an overdue READ reaches its memory. Where
 * the file takes it, READs and the whole pages of WRITEs are direct I/O. The parts of a page at the
 * ends of a WRITE go through the page cache and out of it again, before the WRITE is over: another
 * host finds the bytes of a WRITE that is over on a device that both use. What is left of a WRITE
 * that was overdue may still reach the file, and two hosts that write into one page of 4096 bytes
 * at a time may lose bytes of either.
 *
 * Operations end with -EFAULT (beyond the segment), -EROFS (a WRITE, and this process may only read
 * the file), -EIO (the file or device failed, or has become shorter), or as those of others.
 */

/*
 * Measures a block device or a file. Returns 0 and *length, or -errno with one line in why (why_size
 * bytes, NUL-terminated), -EINVAL for what is neither.
 */
MC_API int mc_files_measure(const char *path, uint64_t *length, char *why, uint32_t why_size);

/*
 * Opens a file, for reading alone where this process may not write, and adds its first length bytes
 * to a segment that no operation has used yet. Returns 0, or with one line in why: -EINVAL (neither
 * a block device nor a file, or it has fewer bytes), -ESTALE (no such segment), -EBUSY (it is used
 * already), -ENOSPC (it has 4096 files), -ENOMEM, or what open(2) says.
 */
MC_API int mc_files_add(struct mc_engine *engine, uint32_t peer, const char *path, uint64_t length,
			char *why, uint32_t why_size);

/*
 * Writes one line on the last failure of a file of the segment, NUL-terminated; empty: there was
 * none. Returns 0, or -ESTALE.
 */
MC_API int mc_files_failure(struct mc_engine *engine, uint32_t peer, char *text, uint32_t size);

#endif

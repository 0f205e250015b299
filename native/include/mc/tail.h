/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TAIL_H
#define MC_TAIL_H

#include <stdint.h>

/*
 * The end of a journal, to which groups are appended. What was appended outlives the process at
 * once and a power cut once its descriptor was synced (mc/disk.h). One thread uses a tail.
 *
 * Where the file system writes in place (ext4, XFS, tmpfs), groups are stored through a mapping of
 * room that was taken ahead, without a call into the kernel: until it is closed, the file then ends
 * in up to MC_TAIL_ROOM zeros, with which no group begins. Elsewhere they are written.
 */
struct mc_tail;

#define MC_TAIL_ROOM ((uint64_t)1 << 20)
#define MC_TAIL_GROUP_HEADER 20u

/*
 * Opens an existing file to append behind what it holds. Blocks for `expected` bytes are taken at
 * once where the file system has plenty, so that syncs have less to do. Returns 0 or -errno.
 */
int32_t mc_tail_open(const char *path, uint64_t expected, struct mc_tail **tail);

/* Its descriptor, for mc_disk_sync_begin(). */
int32_t mc_tail_descriptor(const struct mc_tail *tail);

/*
 * Fills in the header of a group, the first MC_TAIL_GROUP_HEADER bytes of its `length`, and appends
 * it, whole or not at all: payload length u32, CRC-32C of the payload u32, sequence number f64,
 * CRC-32C of these 16 bytes u32, little endian. Returns 0, -EINVAL for a group without room for
 * its header, or -errno, after which a part of it lies behind the file's end as it was only if the
 * file could not be cut, either.
 */
int32_t mc_tail_append(struct mc_tail *tail, uint8_t *group, uint32_t length, double sequence);

/* Cuts what was taken ahead off and closes. No round of a syncer may use the descriptor. */
void mc_tail_close(struct mc_tail *tail);

#endif

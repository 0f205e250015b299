/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_DISK_H
#define MC_DISK_H

#include <stdint.h>

/*
 * Brings files to the disk in a thread of its own, so that the caller's thread neither waits nor
 * has to be woken: it asks when it likes. One thread uses a syncer; one round goes on at a time.
 */
struct mc_disk_syncer;

#define MC_DISK_MAX_FILES 16u

/* Starts the thread. Returns 0 or -errno. */
int32_t mc_disk_syncer_open(struct mc_disk_syncer **syncer);

/*
 * Begins a round: what was written to the files before this call is on the disk when the round is
 * over without an error. Takes up to MC_DISK_MAX_FILES descriptors, which stay open until then.
 * Returns 0, -EBUSY while a round goes on, or -EINVAL.
 */
int32_t mc_disk_sync_begin(struct mc_disk_syncer *syncer, const int32_t *files, uint32_t count);

/* How the last round ended: 0, -errno of the first file that failed, or 1 while it goes on. */
int32_t mc_disk_sync_result(struct mc_disk_syncer *syncer);

/* Waits until no round goes on, then as mc_disk_sync_result(). */
int32_t mc_disk_sync_wait(struct mc_disk_syncer *syncer);

/* Waits for the round that goes on, ends the thread and frees the syncer. */
void mc_disk_syncer_close(struct mc_disk_syncer *syncer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_REGION_INTERNAL_H
#define MC_REGION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fence.h"
#include "host_memory.h"
#include "mc/device.h"
#include "mc/region.h"

/* How often others have used a region without this process. */
struct mc_shared_counts {
	_Atomic uint64_t reads, writes, read_bytes, write_bytes;
};

/* At the start of a published region's file, which others on this host map. */
struct mc_region_header {
	struct mc_shared_counts served;
	atomic_bool withdrawn;
};
struct mc_device;
struct mc_region_keys;
struct mc_region_ticket;

struct mc_region {
	uint8_t *memory;      /* of a device: its address there, not to be touched */
	struct mc_device *device; /* NULL: memory of the host */
	bool adopted;         /* the memory is the caller's, and not freed here */
	struct mc_host_memory host; /* what is in front, then the memory if it is from here */
	uint64_t length;
	uint64_t remote_base; /* 0: not published */
	uint32_t shift;       /* bytes mapped in front of memory */
	struct mc_region_keys *keys; /* what RDMA devices call it, or NULL */
	struct mc_region_ticket *ticket; /* what a plugin calls it, or NULL */
	struct mc_ipc_handle handle; /* by which other processes open memory of a device */
	bool has_handle;
	bool handed_out; /* somebody may have it open; under state_lock */
	uint32_t users;       /* the registration, operations, populate; under state_lock */
	atomic_bool withdrawn;
};

struct mc_engine_stats;

/* Memory of the host, or of a device. */
struct mc_place {
	uint8_t *memory; /* NULL: there is none */
	struct mc_device *device;
};

struct mc_published_region {
	uint64_t base;
	struct mc_place start;
	_Atomic uint64_t length; /* 0 once withdrawn */
};

/* The published regions sorted by base; replaced, not edited, when one is added. */
struct mc_published {
	const struct mc_fences *fences; /* or NULL */
	uint32_t count;
	struct mc_published_region regions[];
};

/*
 * A thread that touches published memory. turn is odd while it does; whoever withdraws a
 * region first makes it invisible and then waits until each reader has ended the turn that
 * it was in.
 */
struct mc_reader {
	_Atomic uint64_t turn;
	struct mc_reader *next;
};

struct mc_publisher {
	pthread_mutex_t lock; /* changes of what follows */
	_Atomic(struct mc_published *) published;
	struct mc_reader *readers;
	uint64_t next_base;
};

int mc_publisher_init(struct mc_publisher *publisher);
void mc_publisher_free(struct mc_publisher *publisher);

/* Gives the region a base that was never one before: 0 or -ENOSPC. */
int mc_publisher_draw(struct mc_publisher *publisher, struct mc_region *region);

/*
 * Makes the region visible, 0, -ENOMEM or -EEXIST (another one has part of its addresses), and
 * invisible once no reader is in it any more.
 */
int mc_publisher_add(struct mc_publisher *publisher, struct mc_region *region);
void mc_publisher_remove(struct mc_publisher *publisher, const struct mc_region *region);

void mc_reader_add(struct mc_publisher *publisher, struct mc_reader *reader);
void mc_reader_remove(struct mc_publisher *publisher, struct mc_reader *reader);

/* What lies between enter and leave must not sleep, but for copies of a device. */
static inline struct mc_published *mc_reader_enter(struct mc_publisher *publisher,
						   struct mc_reader *reader)
{
	atomic_fetch_add(&reader->turn, 1);
	return atomic_load(&publisher->published);
}

static inline void mc_reader_leave(struct mc_reader *reader)
{
	atomic_fetch_add(&reader->turn, 1);
}

/*
 * Returns the memory behind a range that lies inside one region, in any window; NULL when there
 * is none or a part of the range is fenced off.
 */
struct mc_place mc_published_find(struct mc_published *published, uint64_t address, uint64_t length);

/* Fences a range off: 0, -EFAULT, -ENOSPC or -ENOMEM. No reader uses it afterwards. */
int mc_publisher_fence(struct mc_publisher *publisher, struct mc_fence fence);

/*
 * Takes a use of the region if [offset, offset + length) lies inside it: 0, -ESTALE or
 * -ERANGE. The caller holds state_lock, also for mc_region_put_locked(), which returns
 * true when the caller has to mc_region_free() it after unlocking.
 */
int mc_region_get_locked(struct mc_engine *engine, uint32_t id, uint64_t offset, uint64_t length,
			 struct mc_region **region);
bool mc_region_put_locked(struct mc_region *region);

/* Adds how often others on this host have read and written published regions. */
void mc_region_add_served(struct mc_engine *engine, struct mc_engine_stats *stats);
void mc_region_free(struct mc_region *region);

/* Takes the memory back from RDMA devices. */
void mc_region_keys_free(struct mc_region_keys *keys);

/* And from the plugin. */
void mc_region_ticket_free(struct mc_region_ticket *ticket);

#endif

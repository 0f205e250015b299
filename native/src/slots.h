/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SLOTS_H
#define MC_SLOTS_H

#include <stdint.h>

/*
 * Objects addressed by ids of 31 bits: 20 of index, 11 of generation. A freed index is
 * reused last of all free ones and with a new generation, so that an id that outlived
 * its object is recognised. 0 is never an id. Not locked.
 */
struct mc_slots {
	struct mc_slot *slots;
	uint32_t capacity;
	uint32_t count;
	uint32_t free_first;
	uint32_t free_last;
};

struct mc_slot {
	void *object;
	uint32_t generation;
	uint32_t next_free;
};

#define MC_SLOTS_MAX (1u << 20)

void mc_slots_free(struct mc_slots *slots);

/* Returns the id of object, or -ENOMEM, -ENOSPC. */
int mc_slots_add(struct mc_slots *slots, void *object);

/* Returns the object, or NULL when the id is not valid (any more). */
void *mc_slots_get(const struct mc_slots *slots, uint32_t id);

/* As mc_slots_get(), and the id ends. */
void *mc_slots_remove(struct mc_slots *slots, uint32_t id);

/* Returns the first object at or after *cursor and moves the cursor past it, or NULL. */
void *mc_slots_next(const struct mc_slots *slots, uint32_t *cursor);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

#define INDEX_BITS 20
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define GENERATION_MAX ((1u << 11) - 1)
#define NONE UINT32_MAX

void mc_slots_free(struct mc_slots *slots)
{
	free(slots->slots);
	*slots = (struct mc_slots){ 0 };
}

static int grow(struct mc_slots *slots)
{
	uint32_t capacity = slots->capacity ? slots->capacity * 2 : 16;
	struct mc_slot *grown;

	if (capacity > MC_SLOTS_MAX)
		return -ENOSPC;
	grown = realloc(slots->slots, capacity * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	for (uint32_t i = slots->capacity; i < capacity; i++) {
		grown[i].object = NULL;
		grown[i].generation = 1;
		grown[i].next_free = i + 1 < capacity ? i + 1 : NONE;
	}
	slots->free_first = slots->capacity;
	slots->free_last = capacity - 1;
	slots->slots = grown;
	slots->capacity = capacity;
	return 0;
}

int mc_slots_add(struct mc_slots *slots, void *object)
{
	struct mc_slot *slot;
	uint32_t index;
	int err;

	if (slots->count == slots->capacity) {
		err = grow(slots);
		if (err)
			return err;
	}
	index = slots->free_first;
	slot = &slots->slots[index];
	slots->free_first = slot->next_free;
	slots->count++;
	slot->object = object;
	return (int)(slot->generation << INDEX_BITS | index);
}

static struct mc_slot *find(const struct mc_slots *slots, uint32_t id)
{
	uint32_t index = id & INDEX_MASK;
	struct mc_slot *slot;

	if (index >= slots->capacity)
		return NULL;
	slot = &slots->slots[index];
	return slot->object && slot->generation == id >> INDEX_BITS ? slot : NULL;
}

void *mc_slots_get(const struct mc_slots *slots, uint32_t id)
{
	struct mc_slot *slot = find(slots, id);

	return slot ? slot->object : NULL;
}

void *mc_slots_remove(struct mc_slots *slots, uint32_t id)
{
	struct mc_slot *slot = find(slots, id);
	uint32_t index = id & INDEX_MASK;
	void *object;

	if (!slot)
		return NULL;
	object = slot->object;
	slot->object = NULL;
	slot->generation = slot->generation == GENERATION_MAX ? 1 : slot->generation + 1;
	slot->next_free = NONE;
	if (slots->count == slots->capacity)
		slots->free_first = index;
	else
		slots->slots[slots->free_last].next_free = index;
	slots->free_last = index;
	slots->count--;
	return object;
}

void *mc_slots_next(const struct mc_slots *slots, uint32_t *cursor)
{
	while (*cursor < slots->capacity) {
		struct mc_slot *slot = &slots->slots[(*cursor)++];

		if (slot->object)
			return slot->object;
	}
	return NULL;
}

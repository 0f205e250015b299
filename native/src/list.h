/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_LIST_H
#define MC_LIST_H

#include <stdbool.h>

#include "common.h"

/* A ring of nodes that are members of what they list; the head is a node itself. */
struct mc_list {
	struct mc_list *next, *previous;
};

static inline void mc_list_init(struct mc_list *head)
{
	head->next = head->previous = head;
}

static inline bool mc_list_empty(const struct mc_list *head)
{
	return head->next == head;
}

static inline void mc_list_append(struct mc_list *head, struct mc_list *node)
{
	node->previous = head->previous;
	node->next = head;
	head->previous->next = node;
	head->previous = node;
}

/* The node is then a list of its own: removing it again does nothing. */
static inline void mc_list_remove(struct mc_list *node)
{
	node->previous->next = node->next;
	node->next->previous = node->previous;
	mc_list_init(node);
}

/* Moves all nodes of from to the end of head. */
static inline void mc_list_take(struct mc_list *head, struct mc_list *from)
{
	if (mc_list_empty(from))
		return;
	from->next->previous = head->previous;
	from->previous->next = head;
	head->previous->next = from->next;
	head->previous = from->previous;
	mc_list_init(from);
}

#define mc_list_entry(node, type, member) mc_container_of(node, type, member)

/* The loop variable may be removed from the list by the body. */
#define mc_list_each(node, following, head)                                     \
	for (node = (head)->next, following = (node)->next; (node) != (head); \
	     node = following, following = (node)->next)

#endif

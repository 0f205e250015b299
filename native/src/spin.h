/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_SPIN_H
#define MC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct epoll_event;

/* How long is looked for at most: about what it costs two threads to sleep and be woken. */
#define MC_SPIN_NS 40000
/* Somebody else had the processor between two looks. */
#define MC_SPIN_GAP_NS 200000
/* Waits that sleep at once after one in vain: at first and at most. */
#define MC_SPIN_PAUSE_MIN 4
#define MC_SPIN_PAUSE_MAX 1024
/* Finds in a row after which that is halved. */
#define MC_SPIN_RUN 8

/*
 * Whether to look for an event for a moment before sleeping until it comes. That pays where it used to
 * come within that moment: nobody is put to sleep and woken. In vain it costs the moment, and the
 * processor may be the one that the other side needs; so each time the next waits sleep at once,
 * twice as many as before. All zero at first: it pays, if the thread may run on two processors.
 */
struct mc_spin {
	uint32_t pause;  /* waits still to sleep at once */
	uint32_t length; /* of the next pause */
	uint32_t run;    /* finds in a row */
	enum { MC_SPIN_UNKNOWN, MC_SPIN_MAY, MC_SPIN_ONE_PROCESSOR } processors;
};

/* Is this wait to look first? */
bool mc_spin_begin(struct mc_spin *spin);

/* How looking ended; longest is the longest time between two looks, in ns. */
void mc_spin_end(struct mc_spin *spin, bool found, int64_t longest);

/* Looks until the look does not return 0, and returns that, or 0 when it is time; longest as above. */
int mc_spin_until(int (*look)(void *context), void *context, int64_t *longest);

/* Looks for events of an epoll set: how many there are, and the longest time between two looks. */
int mc_spin_look(int epoll_fd, struct epoll_event *events, int max, int64_t *longest);

#endif

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "spin.h"

#include <sched.h>
#include <sys/epoll.h>

#include "common.h"

/* A set that is too small for the machine says that it has enough of them. */
static bool on_one_processor(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2;
}

bool mc_spin_begin(struct mc_spin *spin)
{
	if (spin->pause) {
		spin->pause--;
		return false;
	}
	if (spin->processors == MC_SPIN_UNKNOWN)
		spin->processors = on_one_processor() ? MC_SPIN_ONE_PROCESSOR : MC_SPIN_MAY;
	return spin->processors == MC_SPIN_MAY;
}

void mc_spin_end(struct mc_spin *spin, bool found, int64_t longest)
{
	if (found && longest < MC_SPIN_GAP_NS) {
		if (++spin->run == MC_SPIN_RUN) {
			spin->run = 0;
			spin->length /= 2;
		}
		return;
	}
	if (spin->length < MC_SPIN_PAUSE_MIN)
		spin->length = MC_SPIN_PAUSE_MIN;
	spin->run = 0;
	spin->pause = spin->length;
	spin->length = (uint32_t)mc_min(spin->length * 2, MC_SPIN_PAUSE_MAX);
}

int mc_spin_until(int (*look)(void *context), void *context, int64_t *longest)
{
	int64_t before = mc_now(), now;
	const int64_t until = before + MC_SPIN_NS;
	int result;

	*longest = 0;
	do {
		result = look(context);
		now = mc_now();
		if (now - before > *longest)
			*longest = now - before;
		before = now;
	} while (result == 0 && now < until);
	return result;
}

struct events {
	int epoll_fd, max;
	struct epoll_event *events;
};

static int look_for_events(void *context)
{
	const struct events *wanted = context;
	int count = epoll_wait(wanted->epoll_fd, wanted->events, wanted->max, 0);

	return count > 0 ? count : 0;
}

int mc_spin_look(int epoll_fd, struct epoll_event *events, int max, int64_t *longest)
{
	struct events wanted = { epoll_fd, max, events };

	return mc_spin_until(look_for_events, &wanted, longest);
}

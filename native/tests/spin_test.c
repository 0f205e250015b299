// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "../src/spin.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* Of so many waits that look in vain, if they look at all: how many do. */
static int looks(struct mc_spin *spin, int waits, bool found, int64_t longest)
{
	int count = 0;

	for (int i = 0; i < waits; i++) {
		if (!mc_spin_begin(spin))
			continue;
		mc_spin_end(spin, found, longest);
		count++;
	}
	return count;
}

static void what_never_comes_is_hardly_looked_for(void)
{
	struct mc_spin spin = { .processors = MC_SPIN_MAY };

	CHECK_EQ(looks(&spin, 1 + 4 + 1 + 8 + 1, false, 0), 3);
	CHECK(looks(&spin, 100 * 1024, false, 0) < 110);
}

static void what_comes_again_is_looked_for_again(void)
{
	struct mc_spin spin = { .processors = MC_SPIN_MAY };

	CHECK_EQ(looks(&spin, 1000, true, 100), 1000);
	looks(&spin, 100 * 1024, false, 0);
	CHECK(looks(&spin, 1024 + 80, true, 100) >= 80);
	/* Now one in vain costs but the shortest pause. */
	CHECK_EQ(looks(&spin, 1, false, 0), 1);
	CHECK_EQ(looks(&spin, 4, true, 0), 0);
	CHECK_EQ(looks(&spin, 1, true, 0), 1);
}

static void one_in_eight_in_vain_turns_it_off(void)
{
	struct mc_spin spin = { .processors = MC_SPIN_MAY };
	int count = 0;

	for (int i = 0; i < 100 * 1024; i++) {
		if (mc_spin_begin(&spin))
			mc_spin_end(&spin, ++count % 8 != 0, 0);
	}
	CHECK(count < 1000);
}

static void a_processor_that_others_use_turns_it_off(void)
{
	struct mc_spin spin = { .processors = MC_SPIN_MAY };

	CHECK(looks(&spin, 100 * 1024, true, MC_SPIN_GAP_NS) < 110);
}

static void nobody_looks_on_one_processor(void)
{
	struct mc_spin spin = { 0 };
	cpu_set_t before, one;

	CHECK_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++) {
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	}
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	CHECK_EQ(looks(&spin, 100, true, 0), 0);
	CHECK_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
	spin = (struct mc_spin){ 0 };
	CHECK_EQ(looks(&spin, 100, true, 0), CPU_COUNT(&before) > 1 ? 100 : 0);
}

static void looking_ends_with_an_event_or_when_it_is_time(void)
{
	struct epoll_event event = { .events = EPOLLIN }, found[2];
	int epoll_fd = epoll_create1(0), fd = eventfd(0, 0);
	struct timespec begun, ended;
	int64_t longest;

	CHECK_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	CHECK_EQ(mc_spin_look(epoll_fd, found, 2, &longest), 0);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	int64_t took = (ended.tv_sec - begun.tv_sec) * 1000000000 + ended.tv_nsec - begun.tv_nsec;
	CHECK(took >= MC_SPIN_NS && longest > 0 && longest <= took);
	CHECK_EQ(eventfd_write(fd, 1), 0);
	CHECK_EQ(mc_spin_look(epoll_fd, found, 2, &longest), 1);
	close(fd);
	close(epoll_fd);
}

static int count_down(void *context)
{
	int *left = context;

	return --*left ? 0 : -7;
}

static void looking_returns_what_was_seen(void)
{
	int left = 3;
	int64_t longest;

	/* Until it is not interrupted for the whole of its time. */
	for (int i = 0; i < 1000 && left; i++) {
		left = 3;
		if (mc_spin_until(count_down, &left, &longest) == 0)
			continue;
		CHECK_EQ(left, 0);
	}
	CHECK_EQ(left, 0);
	left = 0; /* never comes */
	CHECK_EQ(mc_spin_until(count_down, &left, &longest), 0);
}

void test_spin(void)
{
	what_never_comes_is_hardly_looked_for();
	what_comes_again_is_looked_for_again();
	one_in_eight_in_vain_turns_it_off();
	a_processor_that_others_use_turns_it_off();
	nobody_looks_on_one_processor();
	looking_ends_with_an_event_or_when_it_is_time();
	looking_returns_what_was_seen();
}

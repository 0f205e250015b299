/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "mc/clock.h"

#include <time.h>

#include "mc/api.h"

MC_API double mc_clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

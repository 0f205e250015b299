/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TEST_DEVICE_H
#define MC_TEST_DEVICE_H

#include <dlfcn.h>
#include <stdlib.h>

#include "check.h"
#include "mc/device.h"

/* A function of the stand-in that takes the place of a driver's library; the variable names it. */
static inline void *stand_in(const char *variable, const char *function)
{
	const char *path = getenv(variable);
	void *library, *found;

	CHECK(path != NULL);
	library = dlopen(path, RTLD_NOW);
	CHECK(library != NULL);
	found = dlsym(library, function);
	CHECK(found != NULL);
	return found;
}

/* Makes one call of the CUDA stand-in fail, after so many that succeed. */
static inline void cuda_fails(const char *call, int after)
{
	((void (*)(const char *, int))stand_in("SNOWSKIN_CUDA_LIBRARY", "stand_in_fail"))(call,
											  after);
}

/* Allocations and streams that it still has. */
static inline int cuda_left(void)
{
	return ((int (*)(void))stand_in("SNOWSKIN_CUDA_LIBRARY", "stand_in_left"))();
}

static inline uint32_t open_cuda(void)
{
	struct mc_device_info info;
	char why[256];
	int id = mc_device_open("cuda:0", &info, why, sizeof(why));

	CHECK(id > 0);
	return (uint32_t)id;
}

#endif

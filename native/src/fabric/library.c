// SPDX-License-Identifier: Apache-2.0
#include "fabric.h"

#include <stdio.h>

#include "../common.h"
#include "../dynamic.h"

#define LIBRARY "libfabric.so.1"

static struct mcf_calls calls;
static char failure[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define CALL(field, symbol) { symbol, offsetof(struct mcf_calls, field), false }

static const struct mc_symbol wanted[] = {
	CALL(getinfo, "fi_getinfo"),   CALL(freeinfo, "fi_freeinfo"), CALL(dupinfo, "fi_dupinfo"),
	CALL(fabric, "fi_fabric"),     CALL(strerror, "fi_strerror"),
};

static void load(void)
{
	mc_dynamic_load(LIBRARY, wanted, MC_ARRAY_SIZE(wanted), &calls, failure, sizeof(failure));
}

const struct mcf_calls *fabric_load(char *why, uint32_t why_size)
{
	pthread_once(&once, load);
	if (!failure[0])
		return &calls;
	snprintf(why, why_size, "%s", failure);
	return NULL;
}

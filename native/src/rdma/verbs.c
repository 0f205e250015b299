// SPDX-License-Identifier: Apache-2.0
#include "verbs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../common.h"
#include "../dynamic.h"

#define LIBRARY "libibverbs.so.1"

static struct mcv_calls calls;
static char failure[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define CALL(field, symbol) { symbol, offsetof(struct mcv_calls, field), false }
#define CALL_IF_THERE(field, symbol) { symbol, offsetof(struct mcv_calls, field), true }

static const struct mc_symbol wanted[] = {
	CALL(get_device_list, "ibv_get_device_list"),
	CALL(free_device_list, "ibv_free_device_list"),
	CALL(get_device_name, "ibv_get_device_name"),
	CALL(open_device, "ibv_open_device"),
	CALL(close_device, "ibv_close_device"),
	CALL(query_device, "ibv_query_device"),
	CALL(query_port, "ibv_query_port"),
	CALL(query_gid, "_ibv_query_gid_ex"),
	CALL(alloc_pd, "ibv_alloc_pd"),
	CALL(dealloc_pd, "ibv_dealloc_pd"),
	CALL(reg_mr, "ibv_reg_mr_iova2"),
	CALL_IF_THERE(reg_dmabuf_mr, "ibv_reg_dmabuf_mr"),
	CALL(dereg_mr, "ibv_dereg_mr"),
	CALL(create_comp_channel, "ibv_create_comp_channel"),
	CALL(destroy_comp_channel, "ibv_destroy_comp_channel"),
	CALL(create_cq, "ibv_create_cq"),
	CALL(destroy_cq, "ibv_destroy_cq"),
	CALL(get_cq_event, "ibv_get_cq_event"),
	CALL(ack_cq_events, "ibv_ack_cq_events"),
	CALL(create_qp, "ibv_create_qp"),
	CALL(modify_qp, "ibv_modify_qp"),
	CALL(destroy_qp, "ibv_destroy_qp"),
};

static void load(void)
{
	const char *chosen = getenv("SNOWSKIN_VERBS_LIBRARY");

	mc_dynamic_load(chosen && chosen[0] ? chosen : LIBRARY, wanted, MC_ARRAY_SIZE(wanted), &calls,
			failure, sizeof(failure));
}

const struct mcv_calls *mcv_load(char *why, size_t size)
{
	pthread_once(&once, load);
	if (!failure[0])
		return &calls;
	snprintf(why, size, "%s", failure);
	return NULL;
}

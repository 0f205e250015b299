// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs without anything around them: moves SIZE bytes of registered memory between two devices of
 * this machine and sleeps until that is over. For measure.ts, which compares.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../native/src/common.h"
#include "../../native/src/rdma/verbs.h"

#define SIZE (1u << 20)
#define QPS 16
#define WRS 64
#define PORT 1
#define API __attribute__((visibility("default")))

struct side {
	struct mcv_context *context;
	struct mcv_pd *pd;
	struct mcv_mr *mr;
	struct mcv_channel *channel;
	struct mcv_cq *cq;
	struct mcv_qp *qps[QPS];
	struct mcv_gid_entry gid;
	struct mcv_port_attr port;
	uint8_t *memory;
};

static struct mcv_context *open_named(const struct mcv_calls *verbs, const char *name)
{
	struct mcv_context *context = NULL;
	struct mcv_device **list = verbs->get_device_list(NULL);

	for (int i = 0; list && list[i] && !context; i++) {
		if (strcmp(verbs->get_device_name(list[i]), name) == 0)
			context = verbs->open_device(list[i]);
	}
	if (list)
		verbs->free_device_list(list);
	return context;
}

static void close_side(const struct mcv_calls *verbs, struct side *side)
{
	for (int i = 0; i < QPS; i++) {
		if (side->qps[i])
			verbs->destroy_qp(side->qps[i]);
	}
	if (side->cq)
		verbs->destroy_cq(side->cq);
	if (side->channel)
		verbs->destroy_comp_channel(side->channel);
	if (side->mr)
		verbs->dereg_mr(side->mr);
	if (side->pd)
		verbs->dealloc_pd(side->pd);
	if (side->context)
		verbs->close_device(side->context);
	free(side->memory);
}

static int open_side(const struct mcv_calls *verbs, struct side *side, const char *name,
		     uint32_t qps)
{
	const unsigned int access =
		MCV_ACCESS_LOCAL_WRITE | MCV_ACCESS_REMOTE_READ | MCV_ACCESS_REMOTE_WRITE;
	struct mcv_qp_init_attr attr = {
		.cap = { .max_send_wr = WRS, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = MCV_QPT_RC,
	};

	side->context = open_named(verbs, name);
	/* The second GID of the machine's devices is their IPv4 address. */
	if (!side->context || verbs->query_port(side->context, PORT, &side->port) ||
	    verbs->query_gid(side->context, PORT, 1, &side->gid, 0, sizeof(side->gid)))
		return -ENODEV;
	side->memory = aligned_alloc(4096, SIZE);
	if (!side->memory)
		return -ENOMEM;
	memset(side->memory, 1, SIZE);
	side->pd = verbs->alloc_pd(side->context);
	side->mr = side->pd ? verbs->reg_mr(side->pd, side->memory, SIZE,
					    (uintptr_t)side->memory, access) :
			      NULL;
	side->channel = verbs->create_comp_channel(side->context);
	side->cq = side->channel ?
			   verbs->create_cq(side->context, QPS * WRS, NULL, side->channel, 0) :
			   NULL;
	if (!side->mr || !side->cq)
		return -EIO;
	attr.send_cq = attr.recv_cq = side->cq;
	for (uint32_t i = 0; i < qps; i++) {
		side->qps[i] = verbs->create_qp(side->pd, &attr);
		if (!side->qps[i])
			return -EIO;
	}
	return 0;
}

static int connect_qp(const struct mcv_calls *verbs, const struct side *side, struct mcv_qp *qp,
		      const struct side *other, uint32_t number)
{
	struct mcv_qp_attr attr = {
		.qp_state = MCV_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags = MCV_ACCESS_LOCAL_WRITE | MCV_ACCESS_REMOTE_READ |
				   MCV_ACCESS_REMOTE_WRITE,
		.path_mtu = side->port.active_mtu,
		.dest_qp_num = number,
		.max_dest_rd_atomic = 16,
		.min_rnr_timer = 12,
		.ah_attr = { .port_num = PORT, .is_global = 1, .sgid_index = 1, .hop_limit = 16 },
		.timeout = 14,
		.retry_cnt = 6,
		.rnr_retry = 7,
		.max_rd_atomic = 16,
	};
	int err;

	memcpy(attr.ah_attr.dgid, other->gid.gid, sizeof(other->gid.gid));
	err = verbs->modify_qp(qp, &attr,
			       MCV_QP_STATE | MCV_QP_PKEY_INDEX | MCV_QP_PORT |
				       MCV_QP_ACCESS_FLAGS);
	attr.qp_state = MCV_QPS_RTR;
	if (!err)
		err = verbs->modify_qp(qp, &attr,
				       MCV_QP_STATE | MCV_QP_AV | MCV_QP_PATH_MTU |
					       MCV_QP_DEST_QPN | MCV_QP_RQ_PSN |
					       MCV_QP_MAX_DEST_RD_ATOMIC | MCV_QP_MIN_RNR_TIMER);
	attr.qp_state = MCV_QPS_RTS;
	if (!err)
		err = verbs->modify_qp(qp, &attr,
				       MCV_QP_STATE | MCV_QP_TIMEOUT | MCV_QP_RETRY_CNT |
					       MCV_QP_RNR_RETRY | MCV_QP_SQ_PSN |
					       MCV_QP_MAX_QP_RD_ATOMIC);
	return -err;
}

/* Moves SIZE bytes once; every slice has a completion. */
static int move(const struct mcv_calls *verbs, struct side *from, const struct side *to,
		uint32_t qps, uint32_t slice, int opcode)
{
	uint32_t slices = SIZE / slice, left = slices;
	struct mcv_wc wcs[16];
	int count;

	for (uint32_t i = 0; i < slices; i++) {
		struct mcv_sge sge = { .addr = (uintptr_t)from->memory + (uint64_t)i * slice,
				       .length = slice,
				       .lkey = from->mr->lkey };
		struct mcv_send_wr *bad, wr = {
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = opcode,
			.send_flags = MCV_SEND_SIGNALED,
			.remote_addr = (uintptr_t)to->memory + (uint64_t)i * slice,
			.rkey = to->mr->rkey,
		};
		struct mcv_qp *qp = from->qps[i % qps];

		if (qp->context->ops.post_send(qp, &wr, &bad))
			return -EIO;
	}
	while (left) {
		struct mcv_cq *cq;
		void *context;

		if (verbs->get_cq_event(from->channel, &cq, &context))
			return -EIO;
		verbs->ack_cq_events(from->cq, 1);
		from->context->ops.req_notify_cq(from->cq, 0);
		while ((count = from->context->ops.poll_cq(from->cq, 16, wcs)) > 0) {
			for (int i = 0; i < count; i++, left--) {
				if (wcs[i].status != MCV_WC_SUCCESS)
					return -EIO;
			}
		}
	}
	return 0;
}

/* Fills ms with what each of so many moves took: 0 or -errno. */
API int verbs_rate(const char *from, const char *to, uint32_t qps, uint32_t slice, uint32_t read,
		   uint32_t rounds, double *ms)
{
	struct side here = { 0 }, there = { 0 };
	const struct mcv_calls *verbs;
	char why[160];
	int err;

	if (!qps || qps > QPS || slice < SIZE / WRS || SIZE % slice)
		return -EINVAL;
	verbs = mcv_load(why, sizeof(why));
	if (!verbs)
		return -ENOENT;
	err = open_side(verbs, &here, from, qps);
	if (!err)
		err = open_side(verbs, &there, to, qps);
	for (uint32_t i = 0; i < qps && !err; i++) {
		err = connect_qp(verbs, &here, here.qps[i], &there, there.qps[i]->qp_num);
		if (!err)
			err = connect_qp(verbs, &there, there.qps[i], &here, here.qps[i]->qp_num);
	}
	if (!err && here.context->ops.req_notify_cq(here.cq, 0))
		err = -EIO;
	for (uint32_t i = 0; i < rounds && !err; i++) {
		int64_t begun = mc_now();

		err = move(verbs, &here, &there, qps, slice,
			   read ? MCV_WR_RDMA_READ : MCV_WR_RDMA_WRITE);
		ms[i] = (double)(mc_now() - begun) / 1e6;
	}
	close_side(verbs, &here);
	close_side(verbs, &there);
	return err;
}

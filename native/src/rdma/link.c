// SPDX-License-Identifier: Apache-2.0
#include "rdma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"

#define MIN_RNR_TIMER 12
#define RNR_RETRY 7
#define HOP_LIMIT 16
#define ACCESS                                                                 \
	(MCV_ACCESS_LOCAL_WRITE | MCV_ACCESS_REMOTE_READ | MCV_ACCESS_REMOTE_WRITE | \
	 MCV_ACCESS_REMOTE_ATOMIC)

static int to_init(struct rdma *rdma, struct mcv_qp *qp)
{
	struct mcv_qp_attr attr = {
		.qp_state = MCV_QPS_INIT,
		.port_num = (uint8_t)rdma->options.port,
		.pkey_index = (uint16_t)rdma->options.pkey_index,
		.qp_access_flags = ACCESS,
	};

	return -rdma->verbs->modify_qp(qp, &attr,
				       MCV_QP_STATE | MCV_QP_PKEY_INDEX | MCV_QP_PORT |
					       MCV_QP_ACCESS_FLAGS);
}

static int to_rtr(struct rdma *rdma, struct rdma_device *device, struct mcv_qp *qp,
		  const struct mc_rdma_remote *remote, uint32_t number)
{
	struct mcv_qp_attr attr = {
		.qp_state = MCV_QPS_RTR,
		.path_mtu = device->mtu,
		.dest_qp_num = number,
		.max_dest_rd_atomic = device->max_reads,
		.min_rnr_timer = MIN_RNR_TIMER,
		.ah_attr = {
			.dlid = (uint16_t)remote->lid,
			.sl = (uint8_t)rdma->options.service_level,
			.port_num = (uint8_t)rdma->options.port,
			.is_global = device->is_global,
			.sgid_index = (uint8_t)device->info.gid_index,
			.hop_limit = HOP_LIMIT,
			.traffic_class = (uint8_t)rdma->options.traffic_class,
		},
	};

	memcpy(attr.ah_attr.dgid, remote->gid, sizeof(remote->gid));
	return -rdma->verbs->modify_qp(qp, &attr,
				       MCV_QP_STATE | MCV_QP_AV | MCV_QP_PATH_MTU |
					       MCV_QP_DEST_QPN | MCV_QP_RQ_PSN |
					       MCV_QP_MAX_DEST_RD_ATOMIC | MCV_QP_MIN_RNR_TIMER);
}

static int to_rts(struct rdma *rdma, struct rdma_device *device, struct mcv_qp *qp)
{
	struct mcv_qp_attr attr = {
		.qp_state = MCV_QPS_RTS,
		.timeout = (uint8_t)rdma->options.timeout,
		.retry_cnt = (uint8_t)rdma->options.retry_count,
		.rnr_retry = RNR_RETRY,
		.max_rd_atomic = device->max_reads,
	};

	return -rdma->verbs->modify_qp(qp, &attr,
				       MCV_QP_STATE | MCV_QP_TIMEOUT | MCV_QP_RETRY_CNT |
					       MCV_QP_RNR_RETRY | MCV_QP_SQ_PSN |
					       MCV_QP_MAX_QP_RD_ATOMIC);
}

static int make_qp(struct rdma *rdma, struct rdma_link *link, uint32_t at)
{
	struct rdma_device *device = link->device;
	struct mcv_qp_init_attr attr = {
		.send_cq = device->cq,
		.recv_cq = device->cq,
		.cap = {
			.max_send_wr = device->max_wr,
			.max_recv_wr = 1,
			.max_send_sge = rdma->options.max_sge,
			.max_recv_sge = 1,
			.max_inline_data = rdma->options.max_inline,
		},
		.qp_type = MCV_QPT_RC,
	};

	link->qps[at] = rdma->verbs->create_qp(device->pd, &attr);
	if (!link->qps[at])
		return errno > 0 ? -errno : -EIO;
	link->max_inline = (uint32_t)mc_min(attr.cap.max_inline_data, rdma->options.max_inline);
	return to_init(rdma, link->qps[at]);
}

static void destroy_qps(struct rdma *rdma, struct rdma_link *link)
{
	for (uint32_t i = 0; i < MC_RDMA_QPS; i++) {
		if (link->qps[i])
			rdma->verbs->destroy_qp(link->qps[i]);
		link->qps[i] = NULL;
	}
	link->device = NULL;
	link->connected = false;
}

void rdma_link_free(struct rdma *rdma, struct rdma_link *link)
{
	destroy_qps(rdma, link);
	free(link);
}

void rdma_link_break(struct rdma *rdma, struct rdma_link *link, int result)
{
	struct mc_list *node, *following;

	destroy_qps(rdma, link);
	mc_list_each (node, following, &link->slices)
		rdma_slice_end(rdma, mc_list_entry(node, struct rdma_slice, link_node), result);
}

int mc_rdma_link_open(struct mc_engine *engine, uint32_t device, uint32_t qp_count,
		      uint32_t *qp_numbers)
{
	struct rdma *rdma = rdma_of(engine);
	struct rdma_link *link;
	int err = 0, id;

	if (!rdma || device >= rdma->device_count)
		return -ENODEV;
	if (qp_count == 0 || qp_count > MC_RDMA_QPS)
		return -EINVAL;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	mc_list_init(&link->slices);
	link->device = &rdma->devices[device];
	link->spread.count = qp_count;
	for (uint32_t i = 0; i < qp_count && !err; i++) {
		err = make_qp(rdma, link, i);
		if (!err)
			qp_numbers[i] = link->qps[i]->qp_num;
	}
	if (err) {
		rdma_link_free(rdma, link);
		return err;
	}
	pthread_mutex_lock(&engine->progress_lock);
	id = rdma->stopped ? -ESHUTDOWN : mc_slots_add(&rdma->links, link);
	if (id > 0)
		link->id = (uint32_t)id;
	mc_engine_unlock(engine);
	if (id < 0)
		rdma_link_free(rdma, link);
	return id;
}

int mc_rdma_link_connect(struct mc_engine *engine, uint32_t id, const struct mc_rdma_remote *remote)
{
	struct rdma *rdma = rdma_of(engine);
	struct rdma_link *link;
	int err = 0;

	if (!rdma)
		return -ENODEV;
	pthread_mutex_lock(&engine->progress_lock);
	link = mc_slots_get(&rdma->links, id);
	if (!link || !link->device)
		err = -ESTALE;
	else if (link->connected || link->connecting)
		err = -EALREADY;
	else if (remote->qp_count != link->spread.count)
		err = -EINVAL;
	else
		link->connecting = true;
	mc_engine_unlock(engine);
	if (err)
		return err;

	for (uint32_t i = 0; i < link->spread.count && !err; i++) {
		err = to_rtr(rdma, link->device, link->qps[i], remote, remote->qp_numbers[i]);
		if (!err)
			err = to_rts(rdma, link->device, link->qps[i]);
	}

	pthread_mutex_lock(&engine->progress_lock);
	link->connecting = false;
	if (link->closed) {
		rdma_link_free(rdma, link);
		err = -ESTALE;
	} else if (!err) {
		link->connected = true;
		atomic_fetch_add(&rdma->link_count, 1);
	}
	mc_engine_unlock(engine);
	return err;
}

int mc_rdma_link_state(struct mc_engine *engine, uint32_t id)
{
	struct rdma *rdma = rdma_of(engine);
	struct rdma_link *link;
	int state = -ESTALE;

	if (!rdma)
		return -ENODEV;
	pthread_mutex_lock(&engine->progress_lock);
	link = mc_slots_get(&rdma->links, id);
	if (link)
		state = link->device ? link->connected : -EPIPE;
	mc_engine_unlock(engine);
	return state;
}

int mc_rdma_link_close(struct mc_engine *engine, uint32_t id)
{
	struct rdma *rdma = rdma_of(engine);
	struct rdma_link *link;

	if (!rdma)
		return -ENODEV;
	pthread_mutex_lock(&engine->progress_lock);
	link = mc_slots_remove(&rdma->links, id);
	if (link && link->connecting) {
		link->closed = true;
	} else if (link) {
		rdma_link_break(rdma, link, -ECONNRESET);
		rdma_link_free(rdma, link);
		rdma_pump_all(rdma);
	}
	mc_engine_unlock(engine);
	return link ? 0 : -ESTALE;
}

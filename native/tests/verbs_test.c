// SPDX-License-Identifier: Apache-2.0
/* Compares our declarations of libibverbs' structs with its header, where that is installed. */
#include "check.h"

#include "../src/rdma/verbs.h"

#if __has_include(<infiniband/verbs.h>)
#include <infiniband/verbs.h>

#define SAME_SIZE(name) \
	_Static_assert(sizeof(struct mcv_##name) == sizeof(struct ibv_##name), #name)
#define SAME(name, field) \
	_Static_assert(offsetof(struct mcv_##name, field) == offsetof(struct ibv_##name, field), \
		       #name "." #field)
#define SAME_AS(name, ours, theirs) \
	_Static_assert(offsetof(struct mcv_##name, ours) == offsetof(struct ibv_##name, theirs), \
		       #name "." #ours)
#define VALUE(name) _Static_assert((int)MCV_##name == (int)IBV_##name, #name)

SAME_SIZE(sge);
SAME(sge, lkey);
SAME_SIZE(send_wr);
SAME(send_wr, num_sge);
SAME(send_wr, opcode);
SAME(send_wr, send_flags);
SAME_AS(send_wr, remote_addr, wr.rdma.remote_addr);
SAME_AS(send_wr, rkey, wr.rdma.rkey);
SAME_SIZE(wc);
SAME(wc, status);
SAME(wc, vendor_err);
SAME(wc, qp_num);
SAME_SIZE(context_ops);
SAME(context_ops, poll_cq);
SAME(context_ops, req_notify_cq);
SAME(context_ops, post_send);
SAME(context, ops);
SAME(context, async_fd);
_Static_assert(offsetof(struct mcv_channel, fd) == offsetof(struct ibv_comp_channel, fd), "fd");
SAME(qp, qp_num);
SAME(mr, lkey);
SAME(mr, rkey);
SAME_SIZE(gid_entry);
SAME(gid_entry, gid_type);
SAME_SIZE(port_attr);
SAME(port_attr, active_mtu);
SAME(port_attr, lid);
SAME(port_attr, link_layer);
SAME_SIZE(device_attr);
SAME(device_attr, max_qp_wr);
SAME(device_attr, max_qp_rd_atom);
SAME(device_attr, max_qp_init_rd_atom);
SAME(device_attr, phys_port_cnt);
SAME_SIZE(ah_attr);
SAME_AS(ah_attr, sgid_index, grh.sgid_index);
SAME(ah_attr, dlid);
SAME(ah_attr, is_global);
SAME(ah_attr, port_num);
SAME_SIZE(qp_cap);
SAME_SIZE(qp_init_attr);
SAME(qp_init_attr, qp_type);
SAME_SIZE(qp_attr);
SAME(qp_attr, qp_access_flags);
SAME(qp_attr, ah_attr);
SAME(qp_attr, pkey_index);
SAME(qp_attr, max_rd_atomic);
SAME(qp_attr, retry_cnt);
VALUE(PORT_ACTIVE);
VALUE(LINK_LAYER_ETHERNET);
VALUE(QPT_RC);
VALUE(QPS_INIT);
VALUE(QPS_RTR);
VALUE(QPS_RTS);
VALUE(WR_RDMA_WRITE);
VALUE(WR_RDMA_READ);
VALUE(SEND_SIGNALED);
VALUE(SEND_INLINE);
VALUE(WC_WR_FLUSH_ERR);
VALUE(WC_REM_ACCESS_ERR);
VALUE(ACCESS_REMOTE_WRITE);
VALUE(ACCESS_REMOTE_READ);
VALUE(ACCESS_RELAXED_ORDERING);
VALUE(QP_ACCESS_FLAGS);
VALUE(QP_AV);
VALUE(QP_PATH_MTU);
VALUE(QP_MAX_QP_RD_ATOMIC);
VALUE(QP_MIN_RNR_TIMER);
VALUE(QP_SQ_PSN);
VALUE(QP_MAX_DEST_RD_ATOMIC);
VALUE(QP_DEST_QPN);
#endif

void test_verbs(void)
{
	char why[160] = "";

	if (!mcv_load(why, sizeof(why)))
		CHECK(why[0] != 0);
	else
		CHECK(why[0] == 0);
}

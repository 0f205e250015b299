// SPDX-License-Identifier: Apache-2.0
/* Compares our declarations of libfabric's structs with its headers, where they are installed. */
#include "check.h"

#include "../src/fabric/abi.h"

#if __has_include(<rdma/fabric.h>)
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_rma.h>

#define SAME_OF(ours, theirs, field) \
	_Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, field), \
		       #ours "." #field)
#define SAME(name, field) SAME_OF(mcf_##name, fi_##name, field)
#define SAME_FID(name, field) SAME_OF(mcf_##name, fid_##name, field)
#define SAME_SIZE(name) \
	_Static_assert(sizeof(struct mcf_##name) == sizeof(struct fi_##name), #name)
#define VALUE(name) _Static_assert(MCF_##name == FI_##name, #name)

SAME_FID(fabric, ops);
SAME_FID(domain, ops);
SAME_FID(domain, mr);
SAME_FID(mr, mem_desc);
SAME_FID(mr, key);
SAME_FID(cq, ops);
SAME_FID(av, ops);
SAME_FID(ep, cm);
SAME_FID(ep, rma);
SAME_OF(mcf_fid, fid, ops);
SAME(ops, close);
SAME(ops, bind);
SAME(ops, control);
SAME(info, src_addrlen);
SAME(info, src_addr);
SAME(info, tx_attr);
SAME(info, ep_attr);
SAME(info, domain_attr);
SAME(info, fabric_attr);
SAME_SIZE(tx_attr);
SAME(tx_attr, op_flags);
SAME_SIZE(rx_attr);
SAME(ep_attr, max_msg_size);
SAME(domain_attr, name);
SAME(domain_attr, threading);
SAME(domain_attr, mr_mode);
SAME(domain_attr, mr_key_size);
SAME_SIZE(fabric_attr);
SAME_SIZE(av_attr);
SAME_SIZE(cq_attr);
SAME_SIZE(cq_err_entry);
SAME_SIZE(cq_entry);
SAME(ops_fabric, domain);
SAME(ops_fabric, trywait);
SAME(ops_domain, av_open);
SAME(ops_domain, cq_open);
SAME(ops_domain, endpoint);
SAME(ops_mr, reg);
SAME(ops_av, insert);
SAME(ops_cq, read);
SAME(ops_cq, readerr);
SAME(ops_cm, getname);
SAME(ops_rma, read);
SAME(ops_rma, write);
VALUE(RMA);
VALUE(READ);
VALUE(WRITE);
VALUE(RECV);
VALUE(SEND);
VALUE(REMOTE_READ);
VALUE(REMOTE_WRITE);
VALUE(DELIVERY_COMPLETE);
VALUE(CONTEXT);
VALUE(CONTEXT2);
VALUE(MR_LOCAL);
VALUE(MR_VIRT_ADDR);
VALUE(MR_ALLOCATED);
VALUE(MR_PROV_KEY);
_Static_assert(MCF_EP_RDM == (int)FI_EP_RDM, "EP_RDM");
_Static_assert(MCF_AV_TABLE == (int)FI_AV_TABLE, "AV_TABLE");
_Static_assert(MCF_THREAD_SAFE == (int)FI_THREAD_SAFE, "THREAD_SAFE");
_Static_assert(MCF_CQ_FORMAT_CONTEXT == (int)FI_CQ_FORMAT_CONTEXT, "CQ_FORMAT_CONTEXT");
_Static_assert(MCF_WAIT_NONE == (int)FI_WAIT_NONE, "WAIT_NONE");
_Static_assert(MCF_WAIT_FD == (int)FI_WAIT_FD, "WAIT_FD");
_Static_assert(MCF_GETWAIT == (int)FI_GETWAIT, "GETWAIT");
_Static_assert(MCF_ENABLE == (int)FI_ENABLE, "ENABLE");
VALUE(EAVAIL);
#endif

void test_fabric(void)
{
	CHECK(sizeof(struct mcf_info) > 0);
}

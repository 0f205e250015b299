/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_RDMA_VERBS_H
#define MC_RDMA_VERBS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The part of libibverbs' binary interface that is used here, declared so that neither its
 * header nor the library is needed to build. native/tests/verbs_test.c compares every struct
 * with the real header where that is installed.
 */

enum {
	MCV_PORT_ACTIVE = 4,
	MCV_LINK_LAYER_ETHERNET = 2,
	MCV_GID_TYPE_ROCE_V1 = 1,
	MCV_QPT_RC = 2,
	MCV_QPS_INIT = 1,
	MCV_QPS_RTR = 2,
	MCV_QPS_RTS = 3,
	MCV_WR_RDMA_WRITE = 0,
	MCV_WR_RDMA_READ = 4,
	MCV_SEND_SIGNALED = 1 << 1,
	MCV_SEND_INLINE = 1 << 3,
	MCV_WC_SUCCESS = 0,
	MCV_WC_WR_FLUSH_ERR = 5,
	MCV_WC_REM_ACCESS_ERR = 10,
	MCV_ACCESS_LOCAL_WRITE = 1 << 0,
	MCV_ACCESS_REMOTE_WRITE = 1 << 1,
	MCV_ACCESS_REMOTE_READ = 1 << 2,
	MCV_ACCESS_REMOTE_ATOMIC = 1 << 3,
	MCV_ACCESS_RELAXED_ORDERING = 1 << 20,
};

enum {
	MCV_QP_STATE = 1 << 0,
	MCV_QP_ACCESS_FLAGS = 1 << 3,
	MCV_QP_PKEY_INDEX = 1 << 4,
	MCV_QP_PORT = 1 << 5,
	MCV_QP_AV = 1 << 7,
	MCV_QP_PATH_MTU = 1 << 8,
	MCV_QP_TIMEOUT = 1 << 9,
	MCV_QP_RETRY_CNT = 1 << 10,
	MCV_QP_RNR_RETRY = 1 << 11,
	MCV_QP_RQ_PSN = 1 << 12,
	MCV_QP_MAX_QP_RD_ATOMIC = 1 << 13,
	MCV_QP_MIN_RNR_TIMER = 1 << 15,
	MCV_QP_SQ_PSN = 1 << 16,
	MCV_QP_MAX_DEST_RD_ATOMIC = 1 << 17,
	MCV_QP_DEST_QPN = 1 << 20,
};

struct mcv_pd;
struct mcv_device;
struct mcv_cq;
struct mcv_qp;

struct mcv_sge {
	uint64_t addr;
	uint32_t length;
	uint32_t lkey;
};

struct mcv_send_wr {
	uint64_t wr_id;
	struct mcv_send_wr *next;
	struct mcv_sge *sg_list;
	int num_sge;
	int opcode;
	unsigned int send_flags;
	uint32_t imm_data;
	uint64_t remote_addr;
	uint32_t rkey;
	uint8_t other_kinds[76];
};

struct mcv_wc {
	uint64_t wr_id;
	int status;
	int opcode;
	uint32_t vendor_err;
	uint32_t byte_len;
	uint32_t imm_data;
	uint32_t qp_num;
	uint32_t src_qp;
	unsigned int wc_flags;
	uint16_t pkey_index;
	uint16_t slid;
	uint8_t sl;
	uint8_t dlid_path_bits;
};

/* The slots between the named functions belong to calls that are exported by name. */
struct mcv_context_ops {
	void *exported[11];
	int (*poll_cq)(struct mcv_cq *cq, int count, struct mcv_wc *wc);
	int (*req_notify_cq)(struct mcv_cq *cq, int solicited_only);
	void *others[12];
	int (*post_send)(struct mcv_qp *qp, struct mcv_send_wr *wr, struct mcv_send_wr **bad);
	void *rest[6];
};

struct mcv_context {
	struct mcv_device *device;
	struct mcv_context_ops ops;
	int cmd_fd;
	int async_fd;
};

struct mcv_channel {
	struct mcv_context *context;
	int fd;
};

struct mcv_cq {
	struct mcv_context *context;
};

struct mcv_qp {
	struct mcv_context *context;
	void *qp_context;
	struct mcv_pd *pd;
	struct mcv_cq *send_cq;
	struct mcv_cq *recv_cq;
	void *srq;
	uint32_t handle;
	uint32_t qp_num;
};

struct mcv_mr {
	struct mcv_context *context;
	struct mcv_pd *pd;
	void *addr;
	size_t length;
	uint32_t handle;
	uint32_t lkey;
	uint32_t rkey;
};

struct mcv_gid_entry {
	uint8_t gid[16];
	uint32_t gid_index;
	uint32_t port_num;
	uint32_t gid_type;
	uint32_t ndev_ifindex;
};

struct mcv_port_attr {
	int state;
	int max_mtu;
	int active_mtu;
	int gid_tbl_len;
	uint32_t port_cap_flags;
	uint32_t max_msg_sz;
	uint32_t bad_pkey_cntr;
	uint32_t qkey_viol_cntr;
	uint16_t pkey_tbl_len;
	uint16_t lid;
	uint16_t sm_lid;
	uint8_t lmc;
	uint8_t max_vl_num;
	uint8_t sm_sl;
	uint8_t subnet_timeout;
	uint8_t init_type_reply;
	uint8_t active_width;
	uint8_t active_speed;
	uint8_t phys_state;
	uint8_t link_layer;
	uint8_t flags;
	uint16_t port_cap_flags2;
};

struct mcv_device_attr {
	char fw_ver[64];
	uint64_t node_guid;
	uint64_t sys_image_guid;
	uint64_t max_mr_size;
	uint64_t page_size_cap;
	uint32_t vendor_id;
	uint32_t vendor_part_id;
	uint32_t hw_ver;
	int max_qp;
	int max_qp_wr;
	unsigned int device_cap_flags;
	int max_sge;
	int max_sge_rd;
	int max_cq;
	int max_cqe;
	int max_mr;
	int max_pd;
	int max_qp_rd_atom;
	int max_ee_rd_atom;
	int max_res_rd_atom;
	int max_qp_init_rd_atom;
	int others[16];
	uint16_t max_pkeys;
	uint8_t local_ca_ack_delay;
	uint8_t phys_port_cnt;
};

struct mcv_ah_attr {
	uint8_t dgid[16] __attribute__((aligned(8)));
	uint32_t flow_label;
	uint8_t sgid_index;
	uint8_t hop_limit;
	uint8_t traffic_class;
	uint16_t dlid __attribute__((aligned(8)));
	uint8_t sl;
	uint8_t src_path_bits;
	uint8_t static_rate;
	uint8_t is_global;
	uint8_t port_num;
};

struct mcv_qp_cap {
	uint32_t max_send_wr;
	uint32_t max_recv_wr;
	uint32_t max_send_sge;
	uint32_t max_recv_sge;
	uint32_t max_inline_data;
};

struct mcv_qp_init_attr {
	void *qp_context;
	struct mcv_cq *send_cq;
	struct mcv_cq *recv_cq;
	void *srq;
	struct mcv_qp_cap cap;
	int qp_type;
	int sq_sig_all;
};

struct mcv_qp_attr {
	int qp_state;
	int cur_qp_state;
	int path_mtu;
	int path_mig_state;
	uint32_t qkey;
	uint32_t rq_psn;
	uint32_t sq_psn;
	uint32_t dest_qp_num;
	unsigned int qp_access_flags;
	struct mcv_qp_cap cap;
	struct mcv_ah_attr ah_attr;
	struct mcv_ah_attr alt_ah_attr;
	uint16_t pkey_index;
	uint16_t alt_pkey_index;
	uint8_t en_sqd_async_notify;
	uint8_t sq_draining;
	uint8_t max_rd_atomic;
	uint8_t max_dest_rd_atomic;
	uint8_t min_rnr_timer;
	uint8_t port_num;
	uint8_t timeout;
	uint8_t retry_cnt;
	uint8_t rnr_retry;
	uint8_t alt_port_num;
	uint8_t alt_timeout;
	uint32_t rate_limit;
};

/* Functions that the library exports by name. */
struct mcv_calls {
	struct mcv_device **(*get_device_list)(int *count);
	void (*free_device_list)(struct mcv_device **list);
	const char *(*get_device_name)(struct mcv_device *device);
	struct mcv_context *(*open_device)(struct mcv_device *device);
	int (*close_device)(struct mcv_context *context);
	int (*query_device)(struct mcv_context *context, struct mcv_device_attr *attr);
	int (*query_port)(struct mcv_context *context, uint8_t port, struct mcv_port_attr *attr);
	int (*query_gid)(struct mcv_context *context, uint32_t port, uint32_t index,
			 struct mcv_gid_entry *entry, uint32_t flags, size_t entry_size);
	struct mcv_pd *(*alloc_pd)(struct mcv_context *context);
	int (*dealloc_pd)(struct mcv_pd *pd);
	struct mcv_mr *(*reg_mr)(struct mcv_pd *pd, void *addr, size_t length, uint64_t iova,
				 unsigned int access);
	/* Of a dma-buf; NULL in libraries that do not have it. */
	struct mcv_mr *(*reg_dmabuf_mr)(struct mcv_pd *pd, uint64_t offset, size_t length,
					uint64_t iova, int fd, int access);
	int (*dereg_mr)(struct mcv_mr *mr);
	struct mcv_channel *(*create_comp_channel)(struct mcv_context *context);
	int (*destroy_comp_channel)(struct mcv_channel *channel);
	struct mcv_cq *(*create_cq)(struct mcv_context *context, int entries, void *cq_context,
				    struct mcv_channel *channel, int vector);
	int (*destroy_cq)(struct mcv_cq *cq);
	int (*get_cq_event)(struct mcv_channel *channel, struct mcv_cq **cq, void **cq_context);
	void (*ack_cq_events)(struct mcv_cq *cq, unsigned int count);
	struct mcv_qp *(*create_qp)(struct mcv_pd *pd, struct mcv_qp_init_attr *attr);
	int (*modify_qp)(struct mcv_qp *qp, struct mcv_qp_attr *attr, int mask);
	int (*destroy_qp)(struct mcv_qp *qp);
};

/*
 * Loads libibverbs.so.1, or what SNOWSKIN_VERBS_LIBRARY names, once per process. Returns the functions, or NULL with a line in why
 * that names what is missing.
 */
const struct mcv_calls *mcv_load(char *why, size_t size);

#endif

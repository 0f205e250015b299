/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FABRIC_ABI_H
#define MC_FABRIC_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The part of libfabric's binary interface that is used here, so that building needs no headers
 * of it; native/tests/fabric_test.c compares the layouts with the real ones where they are. Names
 * are libfabric's with mcf_ in front; of tables of functions only what comes before the last one
 * that is called is declared.
 */

#define MCF_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

#define MCF_MSG (1ull << 1)
#define MCF_RMA (1ull << 2)
#define MCF_READ (1ull << 8)
#define MCF_WRITE (1ull << 9)
#define MCF_RECV (1ull << 10)
#define MCF_SEND (1ull << 11)
#define MCF_REMOTE_READ (1ull << 12)
#define MCF_REMOTE_WRITE (1ull << 13)
#define MCF_DELIVERY_COMPLETE (1ull << 28)
#define MCF_CONTEXT (1ull << 59)
#define MCF_CONTEXT2 (1ull << 52)
#define MCF_MR_LOCAL (1 << 2)
#define MCF_MR_VIRT_ADDR (1 << 4)
#define MCF_MR_ALLOCATED (1 << 5)
#define MCF_MR_PROV_KEY (1 << 6)
#define MCF_EP_RDM 3
#define MCF_AV_TABLE 2
#define MCF_THREAD_SAFE 1
#define MCF_CQ_FORMAT_CONTEXT 1
#define MCF_WAIT_NONE 0
#define MCF_WAIT_FD 3
#define MCF_GETWAIT 5
#define MCF_ENABLE 6
#define MCF_EAVAIL 259

struct mcf_domain;

struct mcf_fid {
	size_t fclass;
	void *context;
	struct mcf_ops *ops;
};

struct mcf_ops {
	size_t size;
	int (*close)(struct mcf_fid *fid);
	int (*bind)(struct mcf_fid *fid, struct mcf_fid *to, uint64_t flags);
	int (*control)(struct mcf_fid *fid, int command, void *argument);
};

struct mcf_tx_attr {
	uint64_t caps, mode, op_flags, msg_order, comp_order;
	size_t inject_size, size, iov_limit, rma_iov_limit;
	uint32_t tclass;
};

struct mcf_rx_attr {
	uint64_t caps, mode, op_flags, msg_order, comp_order;
	size_t total_buffered_recv, size, iov_limit;
};

struct mcf_ep_attr {
	int type;
	uint32_t protocol, protocol_version;
	size_t max_msg_size;
};

struct mcf_domain_attr {
	void *domain;
	char *name;
	int threading, control_progress, data_progress, resource_mgmt, av_type, mr_mode;
	size_t mr_key_size;
};

struct mcf_fabric_attr {
	void *fabric;
	char *name, *prov_name;
	uint32_t prov_version, api_version;
};

struct mcf_info {
	struct mcf_info *next;
	uint64_t caps, mode;
	uint32_t addr_format;
	size_t src_addrlen, dest_addrlen;
	void *src_addr, *dest_addr;
	struct mcf_fid *handle;
	struct mcf_tx_attr *tx_attr;
	struct mcf_rx_attr *rx_attr;
	struct mcf_ep_attr *ep_attr;
	struct mcf_domain_attr *domain_attr;
	struct mcf_fabric_attr *fabric_attr;
};

struct mcf_fabric {
	struct mcf_fid fid;
	struct mcf_ops_fabric {
		size_t size;
		int (*domain)(struct mcf_fabric *fabric, struct mcf_info *info,
			      struct mcf_domain **domain, void *context);
		void *passive_ep, *eq_open, *wait_open;
		int (*trywait)(struct mcf_fabric *fabric, struct mcf_fid **fids, int count);
	} *ops;
};

struct mcf_av_attr {
	int type, rx_ctx_bits;
	size_t count, ep_per_node;
	const char *name;
	void *map_addr;
	uint64_t flags;
};

struct mcf_av {
	struct mcf_fid fid;
	struct mcf_ops_av {
		size_t size;
		int (*insert)(struct mcf_av *av, const void *address, size_t count, uint64_t *found,
			      uint64_t flags, void *context);
	} *ops;
};

struct mcf_mr {
	struct mcf_fid fid;
	void *mem_desc;
	uint64_t key;
};

struct mcf_cq_attr {
	size_t size;
	uint64_t flags;
	int format, wait_obj, signaling_vector, wait_cond;
	void *wait_set;
};

struct mcf_cq_entry {
	void *op_context;
};

struct mcf_cq_err_entry {
	void *op_context;
	uint64_t flags;
	size_t len;
	void *buf;
	uint64_t data, tag;
	size_t olen;
	int err, prov_errno;
	void *err_data;
	size_t err_data_size;
};

struct mcf_cq {
	struct mcf_fid fid;
	struct mcf_ops_cq {
		size_t size;
		ssize_t (*read)(struct mcf_cq *cq, void *entries, size_t count);
		void *readfrom;
		ssize_t (*readerr)(struct mcf_cq *cq, struct mcf_cq_err_entry *entry,
				   uint64_t flags);
	} *ops;
};

struct mcf_ep {
	struct mcf_fid fid;
	void *ops;
	struct mcf_ops_cm {
		size_t size;
		void *setname;
		int (*getname)(struct mcf_fid *fid, void *address, size_t *size);
	} *cm;
	void *msg;
	struct mcf_ops_rma {
		size_t size;
		ssize_t (*read)(struct mcf_ep *ep, void *local, size_t length, void *desc,
				uint64_t peer, uint64_t remote, uint64_t key, void *context);
		void *readv, *readmsg;
		ssize_t (*write)(struct mcf_ep *ep, const void *local, size_t length, void *desc,
				 uint64_t peer, uint64_t remote, uint64_t key, void *context);
	} *rma;
};

struct mcf_domain {
	struct mcf_fid fid;
	struct mcf_ops_domain {
		size_t size;
		int (*av_open)(struct mcf_domain *domain, struct mcf_av_attr *attr,
			       struct mcf_av **av, void *context);
		int (*cq_open)(struct mcf_domain *domain, struct mcf_cq_attr *attr,
			       struct mcf_cq **cq, void *context);
		int (*endpoint)(struct mcf_domain *domain, struct mcf_info *info,
				struct mcf_ep **ep, void *context);
	} *ops;
	struct mcf_ops_mr {
		size_t size;
		int (*reg)(struct mcf_fid *fid, const void *memory, size_t length, uint64_t access,
			   uint64_t offset, uint64_t requested_key, uint64_t flags,
			   struct mcf_mr **mr, void *context);
	} *mr;
};

/* What the library exports itself. */
struct mcf_calls {
	int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
		       const struct mcf_info *hints, struct mcf_info **info);
	void (*freeinfo)(struct mcf_info *info);
	struct mcf_info *(*dupinfo)(const struct mcf_info *info);
	int (*fabric)(struct mcf_fabric_attr *attr, struct mcf_fabric **fabric, void *context);
	const char *(*strerror)(int error);
};

#endif

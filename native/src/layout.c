// SPDX-License-Identifier: Apache-2.0
#include "mc/layout.h"

#include <stddef.h>
#include <string.h>

#include "common.h"
#include "mc/device.h"
#include "mc/engine.h"
#include "mc/file_memory.h"
#include "mc/op.h"
#include "mc/peer.h"
#include "mc/plugin.h"
#include "mc/rdma.h"
#include "mc/region.h"
#include "mc/rpc_client.h"
#include "mc/tls.h"

#define SIZE(type) { "sizeof " #type, sizeof(struct type), 0 }
#define FIELD(type, field) { #type "." #field, offsetof(struct type, field), 0 }

static const struct mc_layout_entry entries[] = {
	SIZE(mc_op),
	FIELD(mc_op, user_data),
	FIELD(mc_op, local_offset),
	FIELD(mc_op, remote),
	FIELD(mc_op, length),
	FIELD(mc_op, region),
	FIELD(mc_op, peer),
	FIELD(mc_op, opcode),
	FIELD(mc_op, flags),
	SIZE(mc_completion),
	FIELD(mc_completion, user_data),
	FIELD(mc_completion, result),
	FIELD(mc_completion, detail),
	FIELD(mc_completion, crc32c),
	SIZE(mc_engine_options),
	FIELD(mc_engine_options, size),
	FIELD(mc_engine_options, max_ops),
	FIELD(mc_engine_options, lanes_per_peer),
	FIELD(mc_engine_options, lane_spill_bytes),
	FIELD(mc_engine_options, connect_timeout_ms),
	FIELD(mc_engine_options, max_connections),
	FIELD(mc_engine_options, server_threads),
	FIELD(mc_engine_options, stall_timeout_ms),
	SIZE(mc_engine_stats),
	FIELD(mc_engine_stats, served_reads),
	FIELD(mc_engine_stats, served_writes),
	FIELD(mc_engine_stats, served_read_bytes),
	FIELD(mc_engine_stats, served_write_bytes),
	FIELD(mc_engine_stats, refused),
	FIELD(mc_engine_stats, accepted),
	FIELD(mc_engine_stats, rejected),
	FIELD(mc_engine_stats, connections),
	FIELD(mc_engine_stats, connects),
	FIELD(mc_engine_stats, server_threads),
	FIELD(mc_engine_stats, reads_fenced),
	SIZE(mc_region_options),
	FIELD(mc_region_options, size),
	FIELD(mc_region_options, flags),
	FIELD(mc_region_options, length),
	FIELD(mc_region_options, device),
	FIELD(mc_region_options, page_shift),
	FIELD(mc_region_options, address),
	FIELD(mc_region_options, nodes),
	SIZE(mc_region_info),
	FIELD(mc_region_info, address),
	FIELD(mc_region_info, length),
	FIELD(mc_region_info, remote_base),
	FIELD(mc_region_info, mapped),
	FIELD(mc_region_info, mapped_length),
	SIZE(mc_peer_options),
	FIELD(mc_peer_options, size),
	FIELD(mc_peer_options, transport),
	FIELD(mc_peer_options, protocol_version),
	FIELD(mc_peer_options, port),
	FIELD(mc_peer_options, host),
	FIELD(mc_peer_options, local_name),
	FIELD(mc_peer_options, server_name),
	SIZE(mc_tls_report),
	FIELD(mc_tls_report, served),
	FIELD(mc_tls_report, peer),
	FIELD(mc_tls_report, text),
	SIZE(mc_device_info),
	FIELD(mc_device_info, unused),
	FIELD(mc_device_info, total),
	FIELD(mc_device_info, location),
	FIELD(mc_device_info, name),
	FIELD(mc_device_info, standing),
	SIZE(mc_rdma_options),
	FIELD(mc_rdma_options, size),
	FIELD(mc_rdma_options, port),
	FIELD(mc_rdma_options, gid_index),
	FIELD(mc_rdma_options, mtu),
	FIELD(mc_rdma_options, service_level),
	FIELD(mc_rdma_options, traffic_class),
	FIELD(mc_rdma_options, pkey_index),
	FIELD(mc_rdma_options, max_wr),
	FIELD(mc_rdma_options, max_sge),
	FIELD(mc_rdma_options, max_inline),
	FIELD(mc_rdma_options, cq_entries),
	FIELD(mc_rdma_options, slice_bytes),
	FIELD(mc_rdma_options, bounce_bytes),
	FIELD(mc_rdma_options, retry_count),
	FIELD(mc_rdma_options, timeout),
	FIELD(mc_rdma_options, spin_us),
	FIELD(mc_rdma_options, devices),
	SIZE(mc_rdma_device),
	FIELD(mc_rdma_device, name),
	FIELD(mc_rdma_device, gid),
	FIELD(mc_rdma_device, lid),
	FIELD(mc_rdma_device, gid_index),
	FIELD(mc_rdma_device, mtu),
	SIZE(mc_rdma_remote),
	FIELD(mc_rdma_remote, gid),
	FIELD(mc_rdma_remote, lid),
	FIELD(mc_rdma_remote, qp_count),
	FIELD(mc_rdma_remote, qp_numbers),
	SIZE(mc_rdma_buffer),
	FIELD(mc_rdma_buffer, address),
	FIELD(mc_rdma_buffer, length),
	FIELD(mc_rdma_buffer, rkeys),
	SIZE(mc_file_memory),
	FIELD(mc_file_memory, address),
	FIELD(mc_file_memory, length),
	FIELD(mc_file_memory, fd),
	FIELD(mc_file_memory, kind),
	SIZE(mc_plugin_options),
	FIELD(mc_plugin_options, size),
	FIELD(mc_plugin_options, library),
	FIELD(mc_plugin_options, parameters),
	SIZE(mc_plugin_info),
	FIELD(mc_plugin_info, name),
	FIELD(mc_plugin_info, standing),
	FIELD(mc_plugin_info, address_size),
	FIELD(mc_plugin_info, address),
	SIZE(mc_plugin_buffer),
	FIELD(mc_plugin_buffer, address),
	FIELD(mc_plugin_buffer, length),
	FIELD(mc_plugin_buffer, key_size),
	FIELD(mc_plugin_buffer, key),
	SIZE(mc_rpc_client_options),
	FIELD(mc_rpc_client_options, size),
	FIELD(mc_rpc_client_options, port),
	FIELD(mc_rpc_client_options, host),
};

int mc_abi_version(void)
{
	return MC_ABI_VERSION;
}

int mc_layout(struct mc_layout_entry *out, uint32_t max)
{
	memcpy(out, entries, mc_min(max, MC_ARRAY_SIZE(entries)) * sizeof(*out));
	return (int)MC_ARRAY_SIZE(entries);
}

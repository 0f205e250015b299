/**
 * Sizes and byte offsets of the structs in `native/include/mc/`. The names are those that `mc_layout`
 * reports; `layout_test.ts` compares every one with the loaded library.
 */
export const LAYOUT = {
  "sizeof mc_op": 48,
  "mc_op.user_data": 0,
  "mc_op.local_offset": 8,
  "mc_op.remote": 16,
  "mc_op.length": 24,
  "mc_op.region": 32,
  "mc_op.peer": 36,
  "mc_op.opcode": 40,
  "mc_op.reserved": 44,
  "sizeof mc_completion": 16,
  "mc_completion.user_data": 0,
  "mc_completion.result": 8,
  "mc_completion.detail": 12,
  "sizeof mc_engine_options": 32,
  "mc_engine_options.size": 0,
  "mc_engine_options.max_ops": 4,
  "mc_engine_options.lanes_per_peer": 8,
  "mc_engine_options.lane_spill_bytes": 12,
  "mc_engine_options.connect_timeout_ms": 16,
  "mc_engine_options.max_connections": 20,
  "mc_engine_options.server_threads": 24,
  "mc_engine_options.stall_timeout_ms": 28,
  "sizeof mc_engine_stats": 80,
  "mc_engine_stats.served_reads": 0,
  "mc_engine_stats.served_writes": 8,
  "mc_engine_stats.served_read_bytes": 16,
  "mc_engine_stats.served_write_bytes": 24,
  "mc_engine_stats.refused": 32,
  "mc_engine_stats.accepted": 40,
  "mc_engine_stats.rejected": 48,
  "mc_engine_stats.connections": 56,
  "mc_engine_stats.connects": 64,
  "mc_engine_stats.server_threads": 72,
  "sizeof mc_region_options": 40,
  "mc_region_options.size": 0,
  "mc_region_options.flags": 4,
  "mc_region_options.length": 8,
  "mc_region_options.device": 16,
  "mc_region_options.page_shift": 20,
  "mc_region_options.address": 24,
  "mc_region_options.nodes": 32,
  "sizeof mc_region_info": 40,
  "mc_region_info.address": 0,
  "mc_region_info.length": 8,
  "mc_region_info.remote_base": 16,
  "mc_region_info.mapped": 24,
  "mc_region_info.mapped_length": 32,
  "sizeof mc_peer_options": 144,
  "mc_peer_options.size": 0,
  "mc_peer_options.transport": 4,
  "mc_peer_options.protocol_version": 8,
  "mc_peer_options.port": 12,
  "mc_peer_options.host": 16,
  "mc_peer_options.local_name": 80,
  "sizeof mc_device_info": 240,
  "mc_device_info.unused": 0,
  "mc_device_info.total": 8,
  "mc_device_info.location": 16,
  "mc_device_info.name": 48,
  "mc_device_info.standing": 144,
  "sizeof mc_rdma_options": 320,
  "mc_rdma_options.size": 0,
  "mc_rdma_options.port": 4,
  "mc_rdma_options.gid_index": 8,
  "mc_rdma_options.mtu": 12,
  "mc_rdma_options.service_level": 16,
  "mc_rdma_options.traffic_class": 20,
  "mc_rdma_options.pkey_index": 24,
  "mc_rdma_options.max_wr": 28,
  "mc_rdma_options.max_sge": 32,
  "mc_rdma_options.max_inline": 36,
  "mc_rdma_options.cq_entries": 40,
  "mc_rdma_options.slice_bytes": 44,
  "mc_rdma_options.bounce_bytes": 48,
  "mc_rdma_options.retry_count": 52,
  "mc_rdma_options.timeout": 56,
  "mc_rdma_options.spin_us": 60,
  "mc_rdma_options.devices": 64,
  "sizeof mc_rdma_device": 96,
  "mc_rdma_device.name": 0,
  "mc_rdma_device.gid": 64,
  "mc_rdma_device.lid": 80,
  "mc_rdma_device.gid_index": 84,
  "mc_rdma_device.mtu": 88,
  "sizeof mc_rdma_remote": 88,
  "mc_rdma_remote.gid": 0,
  "mc_rdma_remote.lid": 16,
  "mc_rdma_remote.qp_count": 20,
  "mc_rdma_remote.qp_numbers": 24,
  "sizeof mc_rdma_buffer": 48,
  "mc_rdma_buffer.address": 0,
  "mc_rdma_buffer.length": 8,
  "mc_rdma_buffer.rkeys": 16,
  "sizeof mc_plugin_options": 1032,
  "mc_plugin_options.size": 0,
  "mc_plugin_options.library": 8,
  "mc_plugin_options.parameters": 520,
  "sizeof mc_plugin_info": 520,
  "mc_plugin_info.name": 0,
  "mc_plugin_info.standing": 64,
  "mc_plugin_info.address_size": 256,
  "mc_plugin_info.address": 264,
  "sizeof mc_plugin_buffer": 88,
  "mc_plugin_buffer.address": 0,
  "mc_plugin_buffer.length": 8,
  "mc_plugin_buffer.key_size": 16,
  "mc_plugin_buffer.key": 24,
} as const;

/** A name in {@linkcode LAYOUT}. */
export type LayoutName = keyof typeof LAYOUT;

const ENTRY_BYTES = 64;
const ENTRY_NAME_BYTES = 56;

/** What a loaded library reports, in the form of {@linkcode LAYOUT}. */
export function readLayout(
  symbols: { mc_layout(out: Uint8Array<ArrayBuffer>, max: number): number },
): Record<string, number> {
  const count = symbols.mc_layout(new Uint8Array(0), 0);
  const bytes = new Uint8Array(count * ENTRY_BYTES);
  symbols.mc_layout(bytes, count);
  const view = new DataView(bytes.buffer);
  const layout: Record<string, number> = {};
  for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
    const name = bytes.subarray(at, bytes.indexOf(0, at));
    layout[new TextDecoder().decode(name)] = view.getUint32(at + ENTRY_NAME_BYTES, true);
  }
  return layout;
}

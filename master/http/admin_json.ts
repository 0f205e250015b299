/** The JSON documents of the admin server, member by member as the reference writes them. */
import { errorName } from "../../proto/error_code.ts";
import { type ReplicaDescriptor, SegmentStatus } from "../../proto/types.ts";
import type { MasterStatus } from "../metrics/summary_line.ts";
import type { KeyFound, KeyResult, SegmentDetail } from "./backend.ts";
import { fraction, type Json, sixDigits } from "./json_text.ts";

const GIB = 2 ** 30;

/** `/health` */
export function healthDocument(status: MasterStatus): Json {
  return {
    status: "ok",
    role: status.role,
    ha_state: status.state,
    service_ready: status.serviceReady,
    leader_address: status.leaderAddress,
    view_version: status.viewVersion,
  };
}

/** `/leader` */
export function leaderDocument({ leaderAddress, viewVersion }: MasterStatus): Json {
  const present = leaderAddress !== null;
  return { present, leader_address: leaderAddress, view_version: viewVersion };
}

/** A refusal with a code of the store. */
export function errorDocument(code: number, message = errorName(code)): Json {
  return { success: false, error_code: code, error_message: message };
}

/** `/query_key`: the replicas in memory. */
export function keyDocument({ replicas, tenant }: KeyFound): Json {
  return { success: true, data: buffers(replicas, "memory"), ...tenantMember(tenant) };
}

/** `/batch_query_keys`: `keys` are sorted and unique, `results` belong to them in order. */
export function keysDocument(keys: readonly Uint8Array[], results: readonly KeyResult[]): Json {
  const decoder = new TextDecoder();
  const members = keys.map((key, i) => [decoder.decode(key), keyResult(results[i])] as const);
  return { success: true, data: new Map(members) };
}

function keyResult(result: KeyResult): Json {
  if ("code" in result) {
    return {
      ...{ ok: false, error: errorName(result.code) },
      ...{ values: null, disk_values: null, local_disk_values: null, nof_values: null },
    };
  }
  const { replicas, tenant } = result;
  const disk: Json[] = [];
  const localDisk: Json[] = [];
  for (const { location } of replicas) {
    if (location.kind === "disk") {
      disk.push({ file_path: location.filePath, object_size: location.objectSize });
    } else if (location.kind === "local_disk") {
      const { clientId, objectSize, transportEndpoint } = location;
      localDisk.push({
        ...{ client_id: clientId, object_size: objectSize },
        transport_endpoint: transportEndpoint,
      });
    }
  }
  const nof = buffers(replicas, "nof");
  return {
    ok: true,
    error: null,
    values: buffers(replicas, "memory"),
    disk_values: disk.length > 0 ? disk : null,
    local_disk_values: localDisk.length > 0 ? localDisk : null,
    nof_values: nof.length > 0 ? nof : null,
    ...tenantMember(tenant),
  };
}

function tenantMember(tenant: string | undefined): { readonly [name: string]: Json } {
  return tenant === undefined ? {} : { tenant_id: tenant };
}

function buffers(replicas: readonly ReplicaDescriptor[], kind: "memory" | "nof"): Json[] {
  const found: Json[] = [];
  for (const { location } of replicas) {
    if (location.kind !== kind) continue;
    const { size, bufferAddress, protocol, transportEndpoint } = location.buffer;
    found.push({
      ...{ size_: size, buffer_address_: bufferAddress, protocol_: protocol },
      transport_endpoint_: transportEndpoint,
    });
  }
  return found;
}

/** `/get_segments_detail` */
export function segmentsDocument(segments: readonly SegmentDetail[]): Json {
  return {
    total_segments: segments.length,
    segments: segments.map((segment) => ({
      segment_name: segment.name,
      segment_id: segment.id,
      client_id: segment.clientId,
      base_address: `0x${segment.base.toString(16)}`,
      size_bytes: segment.size,
      size_human: `${sixDigits(segment.size / GIB)} GiB`,
      te_endpoint: segment.teEndpoint,
      protocol: segment.protocol,
      status: segmentStatusName(segment.status),
      allocator_used_bytes: segment.allocatedBytes,
      allocator_capacity_bytes: segment.capacityBytes,
      allocator_usage_percent: fraction(
        segment.capacityBytes > 0 ? (segment.allocatedBytes / segment.capacityBytes) * 100 : 0,
      ),
    })),
  };
}

/** `/api/v1/segments/status` */
export function segmentStatusDocument(name: string, status: SegmentStatus): Json {
  return {
    ...{ success: true, segment: name, status, status_name: segmentStatusName(status) },
    ...{ error_code: 0, error_message: "" },
  };
}

function segmentStatusName(status: SegmentStatus): string {
  const entry = Object.entries(SegmentStatus).find(([, value]) => value === status);
  return entry?.[0] ?? "UNKNOWN";
}

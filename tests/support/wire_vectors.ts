/** The golden exchanges of `proto/testdata`, and the means to compare them with decoded values. */

export interface RpcRow {
  function_id: string;
  request_literal_hex?: string | null;
  request_type_code?: string | null;
  response_literal_hex?: string;
  response_type_code?: string;
}

export interface Exchange {
  rpc: string;
  request: unknown;
  response: unknown;
  request_hex: string;
  response_hex: string;
}

export interface WireVectors {
  rpcs: Record<string, RpcRow>;
  codec_vectors: {
    type: string;
    value: unknown;
    type_literal_hex: string;
    md5_first4_be_masked: string;
    encoded_with_literal_hex: string;
    encoded_without_literal_hex: string;
  }[];
  transport_error_frames: {
    case: string;
    request_hex: string;
    response_hex: string;
    err_code: number;
    message: string;
  }[];
  wide_size_vector: {
    request_prefix_hex: string;
    request_suffix_hex: string;
    request_total_bytes: number;
    request_sha256: string;
    response_hex: string;
  };
  all_replica_kinds: Omit<Exchange, "request">;
  vectors: Exchange[];
}

/** Reads the vectors from disk. */
export function loadWireVectors(): WireVectors {
  const url = new URL("../../proto/testdata/wire_master_vectors.json", import.meta.url);
  return JSON.parse(Deno.readTextFileSync(url));
}

export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const replicaKinds: Record<string, string> = {
  Memory: "memory",
  NoF: "nof",
  Disk: "disk",
  LocalDisk: "local_disk",
  Dfs: "dfs",
};

/**
 * Brings a value of the vector file and a decoded value to one form: camelCase names, ids as text,
 * numbers and byte strings as text, expected values and replica locations in our shape.
 */
export function comparable(value: unknown): unknown {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof Map) return comparable([...value]);
  if (Array.isArray(value)) return value.map(comparable);
  if (value === null || typeof value !== "object") return value;

  const record = value as Record<string, unknown>;
  if ("first" in record) return `${record.first}-${record.second}`;
  if ("ok" in record) return { code: "0", value: comparable(record.ok) };
  if ("err" in record) return { code: String(record.err), value: null };
  if ("$" in record) {
    const { bufferDescriptor, ...rest } = comparable(record.v) as Record<string, unknown>;
    const kind = replicaKinds[record.$ as string];
    return bufferDescriptor ? { kind, buffer: bufferDescriptor } : { kind, ...rest };
  }
  return Object.fromEntries(
    Object.entries(record).map(([name, item]) => [memberName(name), comparable(item)]),
  );
}

function memberName(name: string): string {
  if (name === "descriptor_variant") return "location";
  return name.replace(/_$/, "").replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

/**
 * The document in which a transfer engine publishes the memory it serves: stored under
 * `mooncake/ram/<name>` or answered to a handshake of type 1. Member names, order and rules are the
 * reference's.
 */
import { ProtocolError } from "../error.ts";
import {
  type JsonObject,
  type JsonValue,
  parseJsonExact,
  stringifyJsonExact,
} from "../json_exact.ts";
import { addressField, asArray, asObject, integerField, nameField, textField } from "./fields.ts";
import {
  FILES_PROTOCOL,
  isFilesProtocol,
  readSegmentFiles,
  type SegmentFiles,
  segmentFilesJson,
} from "./segment_files.ts";

/** Memory that peers may read and write. */
export interface SegmentBuffer {
  /** Where the memory is (`cpu:0`) or, on TCP, the name of the segment. */
  name: string;
  /** Address that peers put into their requests; opaque to them. */
  addr: bigint;
  /** Bytes. */
  length: number;
  /** Set when the segment has several protocols; empty = the segment's. */
  protocol: string;
  /** RDMA keys, one for each device and in the same order; no `rkeys` = not for peers. */
  rkeys: number[];
  lkeys: number[];
  /** Ours: what lets the owner's `plugin` transport use it, as hexadecimal digits. */
  key?: string;
}

/** Ours, unknown to the reference: a transport of the owner that is a library of its own. */
export interface SegmentPlugin {
  /** Of its network. */
  name: string;
  /** Of the owner in it, as hexadecimal digits. */
  address: string;
}

/** An RDMA device of the owner. */
export interface SegmentDevice {
  name: string;
  lid: number;
  /** 16 two-digit hexadecimal bytes joined by `:`. */
  gid: string;
}

/** Devices for memory at one location: those to try first, then the others. */
export interface DevicePreference {
  /** Names of devices. */
  preferred: string[];
  /** Names of devices. */
  others: string[];
}

export interface SegmentDocument {
  name: string;
  /** `tcp`, `rdma`, or both; or `nvmeof` alone. */
  protocols: string[];
  buffers: SegmentBuffer[];
  /** Set for `nvmeof`, which has no `buffers` and nothing that follows but a timestamp. */
  files?: SegmentFiles;
  /** Host of the data port; empty = the host of the owner's `rpc_meta` or name. */
  tcpDataHost: string;
  /** 0 = no TCP. */
  tcpDataPort: number;
  /** 2 = acknowledged framing, 1 = the older framing without status. */
  tcpProtoVersion: number;
  /**
   * Ours, unknown to the reference: the name at which memory of the same host is reached directly;
   * empty = there is none.
   */
  localName: string;
  /** Ours: absent where there is none. */
  plugin?: SegmentPlugin;
  /** Ours, too: handshakes and data go over TLS only. */
  tls?: true;
  /** Server part of the device paths where it differs from `name`; else empty. */
  rdmaServerName: string;
  devices: SegmentDevice[];
  /** By location of a buffer; empty without RDMA. */
  priorities: Map<string, DevicePreference>;
  /** For people only; see {@linkcode documentTimestamp}. */
  timestamp: string;
}

const LOCAL_NAME = "snowskin_local_name";
const PLUGIN = "snowskin_transport";
const KEY = "snowskin_key";
const TLS = "snowskin_tls";
const KNOWN_PROTOCOLS = ["tcp", "rdma"];
const U32 = { low: 0, high: 0xffff_ffff };

/**
 * Parses a segment document. `ProtocolError` when it is not one, when a buffer or device is
 * incomplete, or when it names none of the protocols `tcp`, `rdma` and `nvmeof`. Buffers of other
 * protocols in a segment with several are left out.
 */
export function parseSegmentDocument(input: string | Uint8Array | JsonValue): SegmentDocument {
  const json = typeof input === "string" || input instanceof Uint8Array
    ? parseJsonExact(input)
    : input;
  const document = asObject(json, "a segment document");
  if (isFilesProtocol(document.protocol)) return parseFilesDocument(document);
  const name = nameField(document, "name", "a segment document");
  const what = `segment ${JSON.stringify(name)}`;
  const protocols = readProtocols(document.protocol, what);
  const rdma = protocols.includes("rdma");
  const devices = rdma ? readDevices(document, what) : [];
  return {
    name,
    protocols,
    buffers: readBuffers(document, what, protocols, devices.length),
    tcpDataHost: textField(document, "tcp_data_host", what),
    tcpDataPort: integerField(document, "tcp_data_port", what, {
      low: 0,
      high: 0xffff,
      fallback: 0,
    }),
    tcpProtoVersion: integerField(document, "tcp_proto_version", what, {
      low: 1,
      high: 0x7fff_ffff,
      fallback: 1,
    }),
    localName: textField(document, LOCAL_NAME, what),
    ...readPlugin(document, what),
    ...(document[TLS] === true && { tls: true }),
    rdmaServerName: textField(document, "rdma_server_name", what),
    devices,
    priorities: rdma ? readPriorities(document.priority_matrix, what) : new Map(),
    timestamp: textField(document, "timestamp", what),
  };
}

/** Scripts of the reference write no `name`, but who registered the files. */
function parseFilesDocument(document: JsonObject): SegmentDocument {
  const what = "a segment document";
  const name = textField(document, "name", what) || nameField(document, "server_name", what);
  const files = readSegmentFiles(document, `segment ${JSON.stringify(name)}`);
  return filesDocument(name, files, textField(document, "timestamp", what));
}

/** The document of a segment that is files. */
export function filesDocument(
  name: string,
  files: SegmentFiles,
  timestamp: string,
): SegmentDocument {
  return {
    ...{ name, protocols: [FILES_PROTOCOL], buffers: [], files, timestamp },
    ...{ tcpDataHost: "", tcpDataPort: 0, tcpProtoVersion: 1, localName: "" },
    ...{ rdmaServerName: "", devices: [], priorities: new Map() },
  };
}

/** The document as text, names sorted and without spaces. */
export function formatSegmentDocument(document: SegmentDocument): string {
  return stringifyJsonExact(segmentDocumentJson(document));
}

/** The document as a JSON value, for a handshake. */
export function segmentDocumentJson(document: SegmentDocument): JsonObject {
  const { name, files, timestamp } = document;
  if (files !== undefined) return { name, timestamp, ...segmentFilesJson(files) };
  const rdma = document.protocols.includes("rdma");
  const json: JsonObject = {
    name,
    protocol: document.protocols.length === 1 ? document.protocols[0] : document.protocols,
    buffers: document.buffers.map((buffer) => bufferJson(buffer, rdma)),
    rdma_server_name: document.rdmaServerName,
    tcp_data_host: document.tcpDataHost,
    tcp_data_port: document.tcpDataPort,
    tcp_proto_version: document.tcpProtoVersion,
    timestamp,
  };
  if (document.localName !== "") json[LOCAL_NAME] = document.localName;
  if (document.plugin !== undefined) json[PLUGIN] = { ...document.plugin };
  if (document.tls) json[TLS] = true;
  if (rdma) {
    json.devices = document.devices.map(({ name, lid, gid }) => ({ name, lid, gid }));
    json.priority_matrix = Object.fromEntries(
      Array.from(document.priorities, ([location, { preferred, others }]) => [
        location,
        [preferred, others],
      ]),
    );
  }
  return json;
}

/** The time as documents carry it: `YYYY-MM-DD hh:mm:ss.uuuuuu`, here in UTC. */
export function documentTimestamp(epochMs: number): string {
  return `${new Date(epochMs).toISOString().replace("T", " ").slice(0, -1)}000`;
}

function readProtocols(value: JsonValue | undefined, what: string): string[] {
  const listed = Array.isArray(value) ? value : [value ?? ""];
  const known = listed.filter((protocol): protocol is string =>
    KNOWN_PROTOCOLS.includes(protocol as string)
  );
  if (known.length === 0) {
    const known = [...KNOWN_PROTOCOLS, FILES_PROTOCOL].join(", ");
    const found = stringifyJsonExact(value ?? null);
    throw new ProtocolError(`${what} has the protocol ${found}, not one of ${known}`);
  }
  return known;
}

function readDevices(document: JsonObject, what: string): SegmentDevice[] {
  return asArray(document.devices, `devices of ${what}`).map((item, i) => {
    const where = `device ${i} of ${what}`;
    const device = asObject(item, where);
    return {
      name: nameField(device, "name", where),
      lid: integerField(device, "lid", where, { low: 0, high: 0xffff, fallback: 0 }),
      gid: nameField(device, "gid", where),
    };
  });
}

function readBuffers(
  document: JsonObject,
  what: string,
  protocols: string[],
  devices: number,
): SegmentBuffer[] {
  const buffers: SegmentBuffer[] = [];
  for (const [i, item] of asArray(document.buffers, `buffers of ${what}`).entries()) {
    const where = `buffer ${i} of ${what}`;
    const buffer = asObject(item, where);
    const protocol = textField(buffer, "protocol", where);
    if (protocol !== "" && !protocols.includes(protocol)) continue;
    const keyed = (protocol || protocols[0]) === "rdma";
    buffers.push({
      name: nameField(buffer, "name", where),
      addr: addressField(buffer, "addr", where),
      length: integerField(buffer, "length", where, { low: 1, high: Number.MAX_SAFE_INTEGER }),
      protocol,
      rkeys: keyed ? readKeys(buffer, "rkey", where, devices) : [],
      lkeys: keyed ? readKeys(buffer, "lkey", where, devices) : [],
      ...(buffer[KEY] !== undefined && { key: hexField(buffer, KEY, where) }),
    });
  }
  return buffers;
}

function readPlugin(document: JsonObject, what: string): Pick<SegmentDocument, "plugin"> {
  if (document[PLUGIN] === undefined) return {};
  const where = `${PLUGIN} of ${what}`;
  const plugin = asObject(document[PLUGIN], where);
  const name = nameField(plugin, "name", where);
  return { plugin: { name, address: hexField(plugin, "address", where) } };
}

/** Whole bytes as hexadecimal digits, or empty. */
function hexField(object: JsonObject, name: string, what: string): string {
  const text = textField(object, name, what);
  if (/^([0-9a-f]{2}){0,256}$/.test(text)) return text;
  throw new ProtocolError(`${name} of ${what} is not up to 256 bytes of hexadecimal digits`);
}

function readKeys(buffer: JsonObject, name: string, where: string, devices: number): number[] {
  const keys = asArray(buffer[name], `${name} of ${where}`);
  const own = name === "rkey" && keys.length === 0;
  if (!own && (keys.length === 0 || keys.length !== devices)) {
    throw new ProtocolError(`${name} of ${where} has ${keys.length} keys for ${devices} devices`);
  }
  return keys.map((key) => integerField({ [name]: key }, name, where, U32));
}

function readPriorities(
  value: JsonValue | undefined,
  what: string,
): Map<string, DevicePreference> {
  if (value === undefined) return new Map();
  const matrix = asObject(value, `priority_matrix of ${what}`);
  return new Map(
    Object.entries(matrix).map(([location, lists]) => {
      const where = `priority_matrix of ${what} at ${JSON.stringify(location)}`;
      const [preferred, others] = asArray(lists, where);
      return [location, {
        preferred: readNames(preferred, where),
        others: readNames(others, where),
      }];
    }),
  );
}

function readNames(value: JsonValue | undefined, where: string): string[] {
  return asArray(value, where).map((name) => {
    if (typeof name !== "string") throw new ProtocolError(`${where} holds something but names`);
    return name;
  });
}

function bufferJson(buffer: SegmentBuffer, rdma: boolean): JsonObject {
  const json: JsonObject = { name: buffer.name, addr: buffer.addr, length: buffer.length };
  if (buffer.protocol !== "") json.protocol = buffer.protocol;
  if (buffer.key !== undefined) json[KEY] = buffer.key;
  if (rdma && buffer.protocol !== "tcp") {
    json.rkey = buffer.rkeys;
    json.lkey = buffer.lkeys;
  }
  return json;
}

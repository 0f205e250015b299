/** Wire types of the values in `types.ts`. Member order and widths are the reference's. */
import { ProtocolError } from "../error.ts";
import {
  bool,
  bytes,
  i32,
  i64,
  mapped,
  optional,
  type Schema,
  struct,
  text,
  u32,
  u64,
  u64Exact,
  u8,
  uuid,
  variant,
  vector,
} from "../struct_pack/schema.ts";
import type { Reader } from "../struct_pack/reader.ts";
import type { Writer } from "../struct_pack/writer.ts";
import type {
  BufferDescriptor,
  CopyStartResponse,
  MoveStartResponse,
  NoFSegment,
  NoFSegmentOwnerInfo,
  ObjectMeta,
  OffloadTaskItem,
  PingResponse,
  PromotionAllocStartResponse,
  QueryTaskResponse,
  ReplicaDescriptor,
  ReplicaList,
  ReplicaLocation,
  ReplicateConfig,
  Segment,
  StorageConfig,
  StorageObjectMetadata,
  TaskAssignment,
  TaskCompleteRequest,
} from "../types.ts";

export const segment: Schema<Segment> = struct<Segment>({
  id: uuid,
  name: text,
  base: u64Exact,
  size: u64,
  teEndpoint: text,
  protocol: text,
  hostId: text,
});

export const nofSegment: Schema<NoFSegment> = struct<NoFSegment>({
  id: uuid,
  name: text,
  base: u64Exact,
  size: u64,
  teEndpoint: text,
});

export const nofSegmentOwnerInfo: Schema<NoFSegmentOwnerInfo> = struct<NoFSegmentOwnerInfo>({
  segmentId: uuid,
  clientId: uuid,
});

export const objectMeta: Schema<ObjectMeta> = struct<ObjectMeta>({
  key: bytes,
  objectChecksum: optional(u64Exact),
});

export const replicateConfig: Schema<ReplicateConfig> = struct<ReplicateConfig>({
  replicaNum: u64,
  nofReplicaNum: u64,
  dfsReplicaNum: u64,
  softPinAction: u8,
  softPinTtlMs: optional(u64),
  withHardPin: bool,
  preferredSegments: vector(text),
  preferredSegment: text,
  preferredNofSegments: vector(text),
  preferAllocInSameNode: bool,
  dataType: u8,
  hostId: text,
  groupIds: optional(vector(bytes)),
});

/** Position of each kind of replica in the wire's variant. */
export const ReplicaKindIndex = { MEMORY: 0, NOF: 1, DISK: 2, LOCAL_DISK: 3, DFS: 4 } as const;

const bufferDescriptor = struct<BufferDescriptor>({
  size: u64,
  bufferAddress: u64Exact,
  protocol: text,
  transportEndpoint: text,
});
const bufferHolder = struct({ bufferDescriptor });
const locationWire = variant<unknown>(
  bufferHolder,
  bufferHolder,
  struct({ filePath: text, objectSize: u64 }),
  struct({ clientId: uuid, objectSize: u64, transportEndpoint: text }),
  struct({ filePath: text, offset: u64, objectSize: u64, alignedSize: u64, shardIdx: i32 }),
);

export const replicaDescriptor: Schema<ReplicaDescriptor> = mapped(
  struct({ id: u64, location: locationWire, status: i32 }),
  (writer, { id, location, status }) => {
    writer.u64Number(id);
    writeLocation(writer, location);
    i32.write(writer, status);
  },
  (reader) => ({
    id: reader.u64Number(),
    location: readLocation(reader),
    status: reader.i32(),
  }),
);

const replicas = vector(replicaDescriptor);
const checksum = optional(u64Exact);

export const replicaList: Schema<ReplicaList> = mapped(
  struct({ replicas, leaseTtlMs: u64, objectChecksum: checksum }),
  (writer, list) => {
    replicas.write(writer, list.replicas);
    writer.u64Number(list.leaseTtlMs);
    checksum.write(writer, list.objectChecksum);
  },
  (reader) => ({
    replicas: replicas.read(reader),
    leaseTtlMs: reader.u64Number(),
    objectChecksum: checksum.read(reader),
  }),
);

function writeLocation(writer: Writer, location: ReplicaLocation): void {
  switch (location.kind) {
    case "memory":
      writer.u8(ReplicaKindIndex.MEMORY);
      return writeBuffer(writer, location.buffer);
    case "nof":
      writer.u8(ReplicaKindIndex.NOF);
      return writeBuffer(writer, location.buffer);
    case "disk":
      writer.u8(ReplicaKindIndex.DISK);
      writer.text(location.filePath);
      return writer.u64Number(location.objectSize);
    case "local_disk":
      writer.u8(ReplicaKindIndex.LOCAL_DISK);
      uuid.write(writer, location.clientId);
      writer.u64Number(location.objectSize);
      return writer.text(location.transportEndpoint);
    case "dfs":
      writer.u8(ReplicaKindIndex.DFS);
      writer.text(location.filePath);
      writer.u64Number(location.offset);
      writer.u64Number(location.objectSize);
      writer.u64Number(location.alignedSize);
      return i32.write(writer, location.shardIdx);
  }
}

function readLocation(reader: Reader): ReplicaLocation {
  const index = reader.u8();
  switch (index) {
    case ReplicaKindIndex.MEMORY:
      return { kind: "memory", buffer: readBuffer(reader) };
    case ReplicaKindIndex.NOF:
      return { kind: "nof", buffer: readBuffer(reader) };
    case ReplicaKindIndex.DISK:
      return { kind: "disk", filePath: reader.text(), objectSize: reader.u64Number() };
    case ReplicaKindIndex.LOCAL_DISK:
      return {
        kind: "local_disk",
        clientId: uuid.read(reader),
        objectSize: reader.u64Number(),
        transportEndpoint: reader.text(),
      };
    case ReplicaKindIndex.DFS:
      return {
        kind: "dfs",
        filePath: reader.text(),
        offset: reader.u64Number(),
        objectSize: reader.u64Number(),
        alignedSize: reader.u64Number(),
        shardIdx: reader.i32(),
      };
    default:
      throw new ProtocolError(`A replica is of the unknown kind ${index}`);
  }
}

function writeBuffer(writer: Writer, buffer: BufferDescriptor): void {
  writer.u64Number(buffer.size);
  writer.u64(buffer.bufferAddress);
  writer.text(buffer.protocol);
  writer.text(buffer.transportEndpoint);
}

function readBuffer(reader: Reader): BufferDescriptor {
  return {
    size: reader.u64Number(),
    bufferAddress: reader.u64(),
    protocol: reader.text(),
    transportEndpoint: reader.text(),
  };
}

export const storageConfig: Schema<StorageConfig> = struct<StorageConfig>({
  fsdir: text,
  enableDiskEviction: bool,
  quotaBytes: u64,
});

export const pingResponse: Schema<PingResponse> = struct<PingResponse>({
  viewVersionId: i64,
  clientStatus: i32,
});

/** Also the reference's `PromotionTaskItem`, which has the same members. */
export const offloadTaskItem: Schema<OffloadTaskItem> = struct<OffloadTaskItem>({
  tenantId: bytes,
  key: bytes,
  size: i64,
});

export const storageObjectMetadata: Schema<StorageObjectMetadata> = struct<StorageObjectMetadata>({
  bucketId: i64,
  offset: i64,
  keySize: i64,
  dataSize: i64,
  transportEndpoint: text,
});

export const copyStartResponse: Schema<CopyStartResponse> = struct<CopyStartResponse>({
  source: replicaDescriptor,
  targets: vector(replicaDescriptor),
});

export const moveStartResponse: Schema<MoveStartResponse> = struct<MoveStartResponse>({
  source: replicaDescriptor,
  target: optional(replicaDescriptor),
});

export const promotionAllocStartResponse: Schema<PromotionAllocStartResponse> = struct<
  PromotionAllocStartResponse
>({ memoryDescriptor: replicaDescriptor });

export const queryTaskResponse: Schema<QueryTaskResponse> = struct<QueryTaskResponse>({
  id: uuid,
  type: i32,
  status: i32,
  createdAtMsEpoch: i64,
  lastUpdatedAtMsEpoch: i64,
  assignedClient: uuid,
  message: text,
});

export const taskAssignment: Schema<TaskAssignment> = struct<TaskAssignment>({
  id: uuid,
  type: i32,
  payload: text,
  createdAtMsEpoch: i64,
  maxRetryAttempts: u32,
});

export const taskCompleteRequest: Schema<TaskCompleteRequest> = struct<TaskCompleteRequest>({
  id: uuid,
  status: i32,
  message: text,
});

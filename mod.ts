/**
 * Snowskin: a client of a distributed KV-cache store for LLM inference.
 *
 * A cluster is a master, which knows where objects are, and nodes, which lend memory to hold them.
 * {@linkcode StoreClient} puts objects into that memory, gets them back, and may lend memory of its
 * own. It speaks the protocols of Mooncake, so masters, nodes and clients of either kind work
 * together.
 *
 * @example Store a value and read it back
 * ```ts ignore
 * import { StoreClient } from "@snowskin/snowskin";
 *
 * await using client = await StoreClient.connect({ masterServerAddress: "127.0.0.1:50051" });
 * await client.put("greeting", new TextEncoder().encode("hello"));
 * const value = await client.get("greeting");
 * ```
 *
 * @example Lend memory, and refuse to move objects of one's own
 * ```ts ignore
 * await using node = await StoreClient.connect({ globalSegmentSize: "16gb", localBufferSize: 0 });
 * ```
 *
 * @module
 */

export { StoreClient } from "./client/store_client.ts";
export type { GetIntoItem, PutItem, RemoveOptions } from "./client/items.ts";
export type { EarlyReadsChoice, HeldReadsChoice } from "./client/known_places.ts";
export type { EngineChoice, StoreOptions } from "./client/setup.ts";
export { readConfig } from "./client/config.ts";
export type { Config, ConfigSources } from "./client/config.ts";
export type { StoreSettings } from "./client/settings.ts";
export { parseSize } from "./client/size.ts";

export type { Key } from "./client/key.ts";
export type { Memory, Value } from "./client/memory.ts";
export type { BufferSlice, StoreBuffer } from "./client/buffer_pool.ts";
export type { PutOptions } from "./client/put_options.ts";
export type { PlacingOptions } from "./client/placing.ts";
export type { ReadRange, ReadRangeInto } from "./client/ranges.ts";
export type { Result } from "./client/context.ts";
export type { WriteOutcome } from "./client/write.ts";
export type { Priority, Traffic } from "./client/transfer/door.ts";
export type { Clock } from "./client/transfer/clock.ts";
export type { DeviceMemory, TransferStats } from "./client/transfer/engine.ts";
export type { MemorySurvey } from "./client/transfer/memory_maps.ts";
export type { Notification } from "./proto/handshake.ts";

export { ErrorCode, errorName } from "./proto/error_code.ts";
export { StoreError } from "./proto/error.ts";
export {
  ObjectDataType,
  ReplicaStatus,
  SoftPinAction,
  TaskStatus,
  TaskType,
} from "./proto/types.ts";
export type {
  BufferDescriptor,
  QueryTaskResponse,
  ReplicaDescriptor,
  ReplicaLocation,
  Segment,
  Uuid,
} from "./proto/types.ts";

/**
 * The transfer engine of Snowskin on its own: moves bytes between memory of processes, over TCP, RDMA
 * or the memory of one host, without a master. It works together with Mooncake's transfer engine in
 * either role.
 *
 * A process registers memory, and peers open it as a segment under the process's name. Requests read
 * and write there.
 *
 * @example Two engines, one of which reads the other's memory
 * ```ts ignore
 * import { TransferEngine } from "@snowskin/snowskin/te";
 *
 * await using owner = await TransferEngine.initialize();
 * const lent = await owner.registerMemory(new TextEncoder().encode("hello"));
 *
 * await using reader = await TransferEngine.initialize();
 * const segment = await reader.openSegment(owner.localName);
 * const local = new Uint8Array(lent.length);
 * await reader.transferSync([
 *   { opcode: "read", segment, remoteAddress: segment.buffers[0].address, local },
 * ]);
 * ```
 *
 * @module
 */

export { TransferEngine } from "./te/transfer_engine.ts";
export type { SubmitOptions } from "./te/transfer_engine.ts";
export type { MetadataLogin, RdmaTunables, TransferEngineOptions } from "./te/options.ts";
export type { FileToRegister } from "./te/file_segments.ts";
export type { ExternalMemory, RegisteredMemory } from "./te/memory.ts";
export type { Segment, SegmentMemory } from "./te/segment.ts";
export type { TransferBatch, TransferRequest, TransferStatus } from "./te/batch.ts";
export type { TransportName } from "./te/transports.ts";
export { EngineCode, EngineError } from "./te/engine_code.ts";
export type { Clock } from "./client/transfer/clock.ts";
export type { Priority } from "./client/transfer/door.ts";
export type { TransferStats } from "./client/transfer/engine.ts";
export type { Notification } from "./proto/handshake.ts";
export type { DevicePreference } from "./proto/metadata/segment_document.ts";
export { TransferAgent } from "./te/agent/transfer_agent.ts";
export type { AgentOptions } from "./te/agent/agent_options.ts";
export type { AgentTransfer, AgentTransferState } from "./te/agent/agent_transfer.ts";
export type { AgentMemory, RegisteredDescriptors } from "./te/agent/local_memory.ts";
export type { MakeOptions, PreparedDescriptors } from "./te/agent/prepared_descriptors.ts";
export {
  type Descriptor,
  type DescriptorList,
  descriptorList,
  deserializeDescriptors,
  type MemoryType,
  serializeDescriptors,
} from "./te/agent/descriptors.ts";
export { P2pStore } from "./te/p2p/p2p_store.ts";
export type { SharedContent } from "./te/p2p/p2p_store.ts";
export type { Replica, ReplicaSources } from "./te/p2p/replica.ts";
export type {
  GetOptions,
  GetTarget,
  P2pOptions,
  SeedOptions,
  SeedSource,
} from "./te/p2p/p2p_options.ts";
export type { P2pProgress } from "./te/p2p/download.ts";
export type { Checksum, SharedFile } from "./te/p2p/manifest.ts";

/** Calls that copy and move replicas between segments, and the tasks that order it. */
import {
  bytes,
  type Expected,
  expected,
  nothing,
  type Schema,
  text,
  u64,
  uuid,
  vector,
} from "../struct_pack/schema.ts";
import type {
  CopyStartResponse,
  MoveStartResponse,
  QueryTaskResponse,
  TaskAssignment,
  TaskCompleteRequest,
  Uuid,
} from "../types.ts";
import type { ClientKeyRequest } from "./cluster.ts";
import { type Rpc, rpc } from "./rpc.ts";
import {
  copyStartResponse,
  moveStartResponse,
  queryTaskResponse,
  taskAssignment,
  taskCompleteRequest,
} from "./values.ts";

export interface CopyStartRequest {
  clientId: Uuid;
  key: Uint8Array;
  tenantId: Uint8Array;
  /** Name of the segment to copy from. */
  srcSegment: string;
  tgtSegments: string[];
}

export interface DynamicReplicaCopyStartRequest extends CopyStartRequest {
  leaseId: Uuid;
  versionEpoch: number;
}

export interface DynamicReplicaCopyRequest extends ClientKeyRequest {
  leaseId: Uuid;
  versionEpoch: number;
}

export interface MoveStartRequest {
  clientId: Uuid;
  key: Uint8Array;
  tenantId: Uint8Array;
  srcSegment: string;
  tgtSegment: string;
}

export interface CreateCopyTaskRequest {
  key: Uint8Array;
  tenantId: Uint8Array;
  /** Names of segments. */
  targets: string[];
}

export interface CreateMoveTaskRequest {
  key: Uint8Array;
  tenantId: Uint8Array;
  source: string;
  target: string;
}

export interface QueryTaskRequest {
  taskId: Uuid;
}

export interface FetchTasksRequest {
  clientId: Uuid;
  /** At most so many tasks are answered. */
  batchSize: number;
}

export interface MarkTaskToCompleteRequest {
  clientId: Uuid;
  request: TaskCompleteRequest;
}

const done: Schema<Expected<null>> = expected(nothing);
const clientKey = { clientId: uuid, key: bytes, tenantId: bytes };
const copyStart = { ...clientKey, srcSegment: text, tgtSegments: vector(text) };
const dynamicLease = { leaseId: uuid, versionEpoch: u64 };

export const CopyStart: Rpc<CopyStartRequest, Expected<CopyStartResponse>> = rpc(
  "CopyStart",
  copyStart,
  expected(copyStartResponse),
);
export const CopyEnd: Rpc<ClientKeyRequest, Expected<null>> = rpc("CopyEnd", clientKey, done);
export const CopyRevoke: Rpc<ClientKeyRequest, Expected<null>> = rpc("CopyRevoke", clientKey, done);
export const DynamicReplicaCopyStart: Rpc<
  DynamicReplicaCopyStartRequest,
  Expected<CopyStartResponse>
> = rpc("DynamicReplicaCopyStart", { ...copyStart, ...dynamicLease }, expected(copyStartResponse));
export const DynamicReplicaCopyEnd: Rpc<DynamicReplicaCopyRequest, Expected<null>> = rpc(
  "DynamicReplicaCopyEnd",
  { ...clientKey, ...dynamicLease },
  done,
);
export const DynamicReplicaCopyRevoke: Rpc<DynamicReplicaCopyRequest, Expected<null>> = rpc(
  "DynamicReplicaCopyRevoke",
  { ...clientKey, ...dynamicLease },
  done,
);
export const MoveStart: Rpc<MoveStartRequest, Expected<MoveStartResponse>> = rpc(
  "MoveStart",
  { ...clientKey, srcSegment: text, tgtSegment: text },
  expected(moveStartResponse),
);
export const MoveEnd: Rpc<ClientKeyRequest, Expected<null>> = rpc("MoveEnd", clientKey, done);
export const MoveRevoke: Rpc<ClientKeyRequest, Expected<null>> = rpc("MoveRevoke", clientKey, done);

/** Answers the id of the task. */
export const CreateCopyTask: Rpc<CreateCopyTaskRequest, Expected<Uuid>> = rpc(
  "CreateCopyTask",
  { key: bytes, tenantId: bytes, targets: vector(text) },
  expected(uuid),
);
/** Answers the id of the task. */
export const CreateMoveTask: Rpc<CreateMoveTaskRequest, Expected<Uuid>> = rpc(
  "CreateMoveTask",
  { key: bytes, tenantId: bytes, source: text, target: text },
  expected(uuid),
);
export const QueryTask: Rpc<QueryTaskRequest, Expected<QueryTaskResponse>> = rpc(
  "QueryTask",
  { taskId: uuid },
  expected(queryTaskResponse),
);
export const FetchTasks: Rpc<FetchTasksRequest, Expected<TaskAssignment[]>> = rpc(
  "FetchTasks",
  { clientId: uuid, batchSize: u64 },
  expected(vector(taskAssignment)),
);
export const MarkTaskToComplete: Rpc<MarkTaskToCompleteRequest, Expected<null>> = rpc(
  "MarkTaskToComplete",
  { clientId: uuid, request: taskCompleteRequest },
  done,
);

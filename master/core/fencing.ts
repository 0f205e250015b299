/**
 * Memory of writers that vanished, back before the release time-out: the owner keeps the writer out
 * of the window of addresses that it was given, and the memory is handed out again in the next one.
 * See `docs/decisions/0010-fencing-a-writer-needs-its-address.md`.
 */
import { fencePayload } from "../../proto/fence_payload.ts";
import { ErrorCode } from "../../proto/error_code.ts";
import {
  type TaskAssignment,
  type TaskCompleteRequest,
  TaskStatus,
  TaskType,
} from "../../proto/types.ts";
import { Counter } from "./counters.ts";
import { remoteOffset } from "./describe.ts";
import type { FenceOrder } from "./fence_orders.ts";
import { fenceUnits, freeExtent } from "./mount_mutations.ts";
import type { CoreState } from "./state.ts";
import { isFinished } from "./tasks.ts";

/** Two clocks that measure the same time differ by no more. */
const CLOCKS_DIFFER = 0.01;

/** Hands an owner, which keeps writers out, what it has to do. */
export function fetchFences(
  state: CoreState,
  client: number,
  limit: number,
  nowMs: number,
): TaskAssignment[] {
  const { fenceOrders, extents, segments, config } = state;
  return fenceOrders.take(client, limit).filter((order) => isStanding(state, order)).map(
    (order) => {
      const entry = segments.at(extents.segment(order.extent));
      return {
        id: order.id,
        type: TaskType.WRITER_FENCE,
        payload: fencePayload({
          address: entry.view.segment.base + BigInt(remoteOffset(state, order.extent)),
          length: extents.units(order.extent) * entry.unitBytes,
          keepMs: config.putStartReleaseTimeoutMs,
          writer: order.writer,
        }),
        createdAtMsEpoch: Math.floor(nowMs + config.epochOffsetMs),
        maxRetryAttempts: config.maxRetryAttempts,
      };
    },
  );
}

/** Takes an owner's report on such an order; `null` when the id is not one of them. */
export function completeFence(
  state: CoreState,
  client: number,
  { id, status }: TaskCompleteRequest,
  nowMs: number,
): ErrorCode | null {
  const { fenceOrders, extents, segments, counters, config } = state;
  const order = fenceOrders.find(id);
  if (order === null) return null;
  if (!isFinished(status)) return ErrorCode.INVALID_PARAMS;
  if (order.owner !== client) return ErrorCode.ILLEGAL_CLIENT;
  fenceOrders.drop(order);
  if (status !== TaskStatus.SUCCESS) counters.add(Counter.FENCES_REFUSED, 1);
  if (status !== TaskStatus.SUCCESS || !isStanding(state, order)) return ErrorCode.OK;
  const entry = segments.at(extents.segment(order.extent));
  const start = extents.offset(order.extent);
  const units = extents.units(order.extent);
  const keptMs = config.putStartReleaseTimeoutMs * (1 + CLOCKS_DIFFER);
  const window = extents.window(order.extent);
  fenceUnits(state, entry, { start, end: start + units, window, untilMs: nowMs + keptMs });
  freeExtent(state, order.extent);
  counters.add(Counter.FENCES_CONFIRMED, 1);
  counters.add(Counter.FENCED_BYTES, units * entry.unitBytes);
  return ErrorCode.OK;
}

/** Forgets what is over: ranges whose time has come, and orders for memory that is free by now. */
export function tickFences(state: CoreState, nowMs: number): void {
  for (const { allocator } of state.segments.mounted()) {
    if (allocator.fences !== null && !allocator.fences.dropDue(nowMs)) allocator.fences = null;
  }
  if (state.fenceOrders.full) state.fenceOrders.prune((order) => !isStanding(state, order));
}

function isStanding({ extents, segments }: CoreState, { extent, ticket }: FenceOrder): boolean {
  return extents.isHeld(extent) && extents.ticket(extent) === ticket &&
    segments.isAlive(extents.segment(extent));
}

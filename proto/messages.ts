/**
 * The 64 calls of the reference's master, as names, function ids and codecs. A message's frozen
 * layout is also its version: one member more or less is another type code on the wire.
 */
import * as cluster from "./messages/cluster.ts";
import * as objects from "./messages/objects.ts";
import type { Rpc } from "./messages/rpc.ts";
import * as tasks from "./messages/tasks.ts";

export * from "./messages/cluster.ts";
export * from "./messages/objects.ts";
export * from "./messages/ours.ts";
export * from "./messages/tasks.ts";
export * from "./messages/values.ts";
export type { Rpc } from "./messages/rpc.ts";
export type { Expected } from "./struct_pack/schema.ts";

/** Every call of the reference, by name. */
export const rpcByName: ReadonlyMap<string, Rpc<unknown, unknown>> = new Map(
  [cluster, objects, tasks].flatMap((family) => Object.values(family)).map((rpc) => [
    rpc.name,
    rpc as Rpc<unknown, unknown>,
  ]),
);

/** Every call of the reference, by function id. */
export const rpcById: ReadonlyMap<number, Rpc<unknown, unknown>> = new Map(
  Array.from(rpcByName.values(), (rpc) => [rpc.functionId, rpc]),
);

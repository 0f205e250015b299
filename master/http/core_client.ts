/** The Worker's end of the calls to the thread that owns the core. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { ADMIN_METHODS, type AdminBackend, type AdminMethod } from "./backend.ts";
import type { TableChange } from "../core/small_tables.ts";
import type { CoreReply, CoreRequest, TableNews } from "./worker_protocol.ts";

/** The part of a `MessagePort` that is used. */
export interface CorePort {
  postMessage(message: CoreRequest): void;
  onmessage: ((event: MessageEvent<CoreReply | TableNews>) => void) | null;
}

export interface CoreClientOptions {
  port: CorePort;
  /** Ends the wait of the core's thread; called after each message. */
  wake: () => void;
  /** Milliseconds until a call is given up with RPC_TIMEOUT. */
  timeoutMs: number;
  /** Told of changes of the small tables of a cluster. */
  onTables?: (changes: TableChange[]) => void;
  /** Calls that may be open at a time; a further one is refused with RPC_TIMEOUT at once. */
  maxPending?: number;
}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: StoreError) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Makes the backend that posts every call and waits for its answer. */
export function coreClient(options: CoreClientOptions): AdminBackend {
  const { port, wake, timeoutMs, onTables, maxPending = 1024 } = options;
  const pending = new Map<number, Pending>();
  let lastId = 0;

  port.onmessage = ({ data: reply }) => {
    if ("tables" in reply) return onTables?.(reply.tables);
    const call = pending.get(reply.id);
    if (call === undefined) return;
    pending.delete(reply.id);
    clearTimeout(call.timer);
    if ("value" in reply) call.resolve(reply.value);
    else call.reject(new StoreError(reply.code as ErrorCode, reply.message));
  };

  const request = (method: AdminMethod, args: unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      const timeout = (reason: string) =>
        reject(
          new StoreError(ErrorCode.RPC_TIMEOUT, `Cannot ask the core for ${method}: ${reason}`),
        );
      if (pending.size >= maxPending) return timeout(`${maxPending} calls are open`);
      const id = ++lastId;
      const timer = setTimeout(() => {
        pending.delete(id);
        timeout(`no answer within ${timeoutMs} ms`);
      }, timeoutMs);
      pending.set(id, { resolve, reject, timer });
      port.postMessage({ id, method, args });
      wake();
    });

  return Object.fromEntries(
    ADMIN_METHODS.map((method) => [method, (...args: unknown[]) => request(method, args)]),
  ) as unknown as AdminBackend;
}

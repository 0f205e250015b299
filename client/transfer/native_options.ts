import type { EngineTunables } from "./checks.ts";
import type { PluginOptions } from "./plugin_side.ts";
import type { RdmaOptions } from "./rdma_side.ts";
import type { EngineTls } from "./tls.ts";

/** Tunables of the transfer engine on the C shim. */
export interface NativeTransferOptions extends EngineTunables {
  /** Operations not yet completed; 65536. */
  maxOps?: number;
  /** I/O threads that serve peers, started when needed; half of the CPUs, 1 to 8. */
  serverThreads?: number;
  /**
   * Microseconds that a submitted transfer may sleep in the kernel before it is polled for, at first;
   * where that is too short, up to eight times as long. 50.
   */
  inlineWaitUs?: number;
  /** Present: peers with RDMA devices are reached over ours. */
  rdma?: RdmaOptions;
  /** Present: peers with the same transport are reached over it. Not beside `rdma`. */
  plugin?: PluginOptions;
  /** Takes lines about what could not be used. */
  log?: (line: string) => void;
  /** Present: connections are made with TLS, and no others taken. Not with `rdma` or `plugin`. */
  tls?: EngineTls;
}

/** Masters that tests talk to, started once a file needs them and stopped when it is done. */
import { connect } from "node:net";
import { freePort, LocalProcess, startMaster } from "../../examples/local_cluster.ts";
import { until } from "./until.ts";
import { findWheel } from "./wheel.ts";

/** A running master with an HTTP metadata server. */
export interface RunningMaster {
  readonly process: LocalProcess;
  readonly address: string;
  readonly metadataUrl: string;
}

/** A kind of master, and why it cannot be started here if it cannot. */
export interface MasterKind {
  readonly name: string;
  readonly missing: string | null;
  /** Starts one; on `rpcPort` if that is given, as a restarted master has to be. */
  start(options?: { flags?: string[]; rpcPort?: number }): Promise<RunningMaster>;
}

const wheel = await findWheel();

/** The reference's master from the published wheel. */
export const referenceMaster: MasterKind = {
  name: "reference master",
  missing: "reason" in wheel ? `the reference wheel: ${wheel.reason}` : null,
  async start({ flags = [], rpcPort } = {}) {
    if ("reason" in wheel) throw new Error(wheel.reason);
    const [rpc, metrics, metadata] = [rpcPort ?? await freePort(), ...await ports(2)];
    const process = new LocalProcess("reference master", wheel.master, [
      ...[`--rpc_port=${rpc}`, "--rpc_address=127.0.0.1"],
      ...[`--metrics_port=${metrics}`, "--metrics_host=127.0.0.1"],
      ...["--enable_http_metadata_server=true", `--http_metadata_server_port=${metadata}`],
      ...flags,
    ]);
    await until(async () => await accepts(rpc) && await accepts(metadata), 20_000);
    return running(process, rpc, metadata);
  },
};

/** The master of this project. */
export const ourMaster: MasterKind = {
  name: "our master",
  missing: null,
  async start({ flags = [], rpcPort } = {}) {
    const [metadata] = await ports(1);
    const { process, address } = await startMaster([
      ...["--http_metadata_server_host=127.0.0.1", `--http_metadata_server_port=${metadata}`],
      ...flags,
    ], rpcPort === undefined ? {} : { rpcPort });
    return { ...running(process, 0, metadata), address };
  },
};

/** Starts a master when it is first asked for; {@linkcode stop} ends it. */
export class LazyMaster {
  readonly #kind: MasterKind;
  #started: Promise<RunningMaster> | null = null;

  constructor(kind: MasterKind) {
    this.#kind = kind;
  }

  get(): Promise<RunningMaster> {
    return this.#started ??= this.#kind.start();
  }

  async stop(): Promise<void> {
    await this.#started?.then(({ process }) => process.stop(), () => {});
    this.#started = null;
  }
}

function running(process: LocalProcess, rpc: number, metadata: number): RunningMaster {
  return {
    process,
    address: `127.0.0.1:${rpc}`,
    metadataUrl: `http://127.0.0.1:${metadata}/metadata`,
  };
}

function ports(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

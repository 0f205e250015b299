/** What tests inside of the machine share: a master, clients of both kinds, and the wire. */
import assert from "node:assert/strict";
import { cpuUsage } from "node:process";
import { StoreClient, type StoreOptions } from "../../mod.ts";
import { until } from "../support/until.ts";
import { findWheel } from "../support/wheel.ts";

const root = new URL("../../", import.meta.url).pathname;

/** Whether this is the machine. */
export const inGuest = Deno.env.get("SNOWSKIN_RDMA_GUEST") === "1";
const wheel = inGuest ? await findWheel() : { reason: "" };

/** The interpreter that has the published wheel, or `null`. */
export const python = "python" in wheel ? wheel.python : null;

/** Long for a test on two processors that are interpreted and shared. */
const LIMIT_MS = 240_000;

async function limited(fn: () => Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const fail = () => late.reject(new Error(`It was not over after ${LIMIT_MS / 1000} s`));
  const timer = setTimeout(fail, LIMIT_MS);
  try {
    await Promise.race([fn(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** A test that runs in the machine only, and only with what it needs; `lacking` says what that is. */
export function guestTest(
  name: string,
  fn: () => Promise<void>,
  needs: unknown = true,
  lacking = "the published wheel is not installed",
): void {
  const skipped = !inGuest
    ? " (skipped: it runs in the machine of deno task test:rdma)"
    : needs
    ? ""
    : ` (skipped: ${lacking})`;
  Deno.test({ name: `${name}${skipped}`, ignore: skipped !== "", fn: () => limited(fn) });
}

/** Bytes that `wheel_peer.py` makes of the same size. */
export function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    const at = i % 65536;
    bytes[i] = (at * 31 + (at >> 8) * 7) & 0xff;
  }
  return bytes;
}

/** Runs a command that has to succeed. */
export function command(line: string): string {
  const { success, stdout, stderr } = new Deno.Command("sh", { args: ["-c", line] }).outputSync();
  assert(success, `${line}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Packets that a device has sent. */
export function sentPackets(device: string): number {
  return Number(
    Deno.readTextFileSync(`/sys/class/infiniband/${device}/ports/1/hw_counters/sent_pkts`),
  );
}

/** CPU time of this process in milliseconds. */
export function cpuMs(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
}

/** A client of ours over RDMA. */
export function guestClient(
  masterServerAddress: string,
  deviceName: string,
  options: Partial<StoreOptions> = {},
): Promise<StoreClient> {
  return StoreClient.connect({
    masterServerAddress,
    localHostname: "127.0.0.1",
    protocol: "rdma",
    deviceName,
    memcpy: false,
    rpcTimeoutMs: 60_000,
    rpcConnectTimeoutMs: 60_000,
    transferTimeoutMs: 60_000,
    // Where the machine is interpreted, a handshake alone takes longer than the default.
    replicaPatienceMs: 20_000,
    handshakeTimeoutMs: 60_000,
    ...options,
  });
}

/** A master of ours in a process of its own. */
export class GuestMaster implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  private constructor(process: Deno.ChildProcess, readonly address: string) {
    this.#process = process;
  }

  static async start(): Promise<GuestMaster> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-check", "-A", `${root}snowskin.ts`, "master", `--rpc_port=${port}`],
        ...["--metrics_port=0", "--durability=none", "--warm_up=false"],
        // A client that is interpreted is late with its heartbeats.
        "--client_ttl=120",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until(async () => {
      try {
        (await Deno.connect({ port })).close();
        return true;
      } catch {
        return false;
      }
    }, 300_000);
    return new GuestMaster(process, `127.0.0.1:${port}`);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** {@linkcode guestClient} of this master. */
  client(deviceName: string, options: Partial<StoreOptions> = {}): Promise<StoreClient> {
    return guestClient(this.address, deviceName, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
  }
}

/** A client of the published wheel over RDMA, in a process of its own. */
export class WheelPeer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    this.#reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async start(
    python: string,
    master: string,
    segmentBytes: number,
    device: string,
  ): Promise<WheelPeer> {
    const script = new URL("./wheel_peer.py", import.meta.url).pathname;
    const process = new Deno.Command(python, {
      args: [script, master, "P2PHANDSHAKE", String(segmentBytes), "127.0.0.1", device],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const peer = new WheelPeer(process);
    assert.deepEqual(await peer.#answer(), { code: 0 });
    return peer;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async ask(order: Record<string, unknown>): Promise<Record<string, unknown>> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
    return await this.#answer();
  }

  async #answer(): Promise<Record<string, unknown>> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        if (line.startsWith("{")) return JSON.parse(line);
        continue;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("The wheel's client ended");
      this.#rest += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#writer.abort().catch(() => {});
    await this.#reader.cancel().catch(() => {});
    await this.#process.status;
  }
}

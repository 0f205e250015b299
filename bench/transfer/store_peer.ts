/**
 * Snowskin's store client in a process of its own, told what to do on stdin, in the role that
 * `wheel_store.py` plays for the wheel: `store_peer.ts MASTER BUFFER_BYTES`, where the environment
 * configures the client (`MC_FORCE_TCP`, `MOONCAKE_STORE_CHECKSUM`).
 *
 * It prints {"ready"}, then for each line of stdin, a {@linkcode StoreOrder}, one line with a
 * {@linkcode StoreTurn} or {"error"}. "memcpy" copies from memory such as engines lend to the client's
 * buffer, with the C library's function; "read" is a READ of a transfer engine of this process.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { readConfig, StoreClient } from "../../mod.ts";
import { EngineCode, type RegisteredMemory, type Segment, TransferEngine } from "../../te.ts";
import { median } from "../table.ts";

/** Operations of `length` bytes for `seconds`, after a fixed few; values rotate over `values` keys. */
export interface StoreOrder {
  /** `fill` puts the values that `get` reads, once. */
  op: "fill" | "put" | "get" | "memcpy" | "read";
  /** A registered buffer, or memory of the language's own. */
  memory: "buffer" | "bytes";
  length: number;
  values: number;
  seconds: number;
  /** Of a `read`: whose memory, and its address in decimal. */
  source?: { peer: string; address: string };
}

/** Of the operations alone: what prepares and checks them is not counted. */
export interface StoreTurn {
  operations: number;
  seconds: number;
  p50_us: number;
  /** User and system time of this process, per get or memcpy, with the check. */
  cpu_us: number;
}

const WARM_UP = 2;

/** What every byte of value `i` is. */
const mark = (i: number) => i % 251 + 1;

/** An operation, and what to do after it, outside of its time. */
interface Work {
  once: (i: number) => unknown;
  after?: (i: number, result: unknown) => unknown;
}

async function turn(work: Work, seconds: number): Promise<StoreTurn> {
  const one = async (i: number) => {
    const begun = performance.now();
    const result = work.once(i);
    const settled = result instanceof Promise ? await result : result;
    const spent = performance.now() - begun;
    await work.after?.(i, settled);
    return spent;
  };
  for (let i = 0; i < WARM_UP; i++) await one(i);
  const times: number[] = [];
  const cpu = process.cpuUsage();
  const end = performance.now() + seconds * 1000;
  do times.push(await one(WARM_UP + times.length)); while (performance.now() < end);
  const { user, system } = process.cpuUsage(cpu);
  return {
    operations: times.length,
    seconds: times.reduce((sum, time) => sum + time, 0) / 1000,
    p50_us: median(times) * 1000,
    cpu_us: (user + system) / times.length,
  };
}

async function main(master: string, bufferBytes: number): Promise<void> {
  const sources = { env: process.env, readFile: Deno.readTextFileSync };
  await using client = await StoreClient.connect({
    ...readConfig(sources).settings,
    ...{ masterServerAddress: master, globalSegmentSize: 0, localBufferSize: bufferBytes },
  });
  using buffer = client.allocateBuffer(bufferBytes);
  const bytes = buffer.bytes.fill(1);
  const space = crypto.randomUUID();
  let fresh = 0;

  const check = (i: number, length: number, value: Uint8Array) => {
    if (value[0] === mark(i) && value[length - 1] === mark(i)) return;
    throw new Error(`Value ${i} of ${length} bytes came back as other bytes`);
  };
  const put = (length: number, from: Uint8Array | null): Work => ({
    once: () => client.put(`${space}/${++fresh}`, from ?? buffer.slice(0, length)),
    after: async (_, outcome) => {
      if (outcome !== "stored") throw new Error(`A put of ${length} bytes ended as ${outcome}`);
      await client.remove(`${space}/${fresh}`, { force: true });
    },
  });
  const get = (length: number, values: number, into: boolean): Work => ({
    once: (i) => {
      const key = `value/${length}/${i % values}`;
      return into ? client.getInto(key, buffer.slice(0, length)) : client.get(key);
    },
    after: (i, found) => {
      if (found === null) throw new Error(`Value ${i % values} of ${length} bytes is not there`);
      check(i % values, length, into ? bytes : found as Uint8Array);
    },
  });
  const fill = async (length: number, values: number) => {
    for (let i = 0; i < values; i++) {
      bytes.fill(mark(i), 0, length);
      await client.put(`value/${length}/${i}`, buffer.slice(0, length));
    }
    return { operations: values, seconds: 0, p50_us: 0, cpu_us: 0 };
  };
  await using copier = new Copier(bytes);
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, memory, length, values, seconds, source }: StoreOrder = JSON.parse(line);
    const plain = memory === "bytes" ? new Uint8Array(length).fill(7) : null;
    try {
      const result = op === "fill"
        ? await fill(length, values)
        : op === "put"
        ? await turn(put(length, plain), seconds)
        : op === "get"
        ? await turn(get(length, values, plain === null), seconds)
        : op === "read"
        ? await turn(await copier.read(length, values, source!), seconds)
        : await turn(await copier.memcpy(length, values), seconds);
      console.log(JSON.stringify(result));
    } catch (error) {
      console.log(JSON.stringify({ error: error instanceof Error ? error.message : `${error}` }));
    }
  }
}

/** Copies without the store: from memory such as engines lend, and from that of a peer. */
class Copier implements AsyncDisposable {
  readonly #target: Uint8Array<ArrayBuffer>;
  #engine: TransferEngine | null = null;
  #source: Uint8Array<ArrayBuffer> | null = null;
  #library: ReturnType<typeof openLibc> | null = null;
  #into: RegisteredMemory | null = null;
  #segment: Segment | null = null;

  constructor(target: Uint8Array) {
    this.#target = target as Uint8Array<ArrayBuffer>;
  }

  async memcpy(length: number, values: number): Promise<Work> {
    this.#library ??= openLibc();
    this.#engine ??= await TransferEngine.initialize();
    if (this.#source === null || this.#source.length < length * values) {
      const lent = await this.#engine.registerMemory(length * values);
      this.#source = lent.bytes.fill(3) as Uint8Array<ArrayBuffer>;
    }
    const { memcpy } = this.#library.symbols;
    const target = Deno.UnsafePointer.of(this.#target);
    const source = this.#source;
    const from = Array.from(
      { length: values },
      (_, i) => Deno.UnsafePointer.of(source.subarray(i * length)),
    );
    const size = BigInt(length);
    return { once: (i) => void memcpy(target, from[i % values], size) };
  }

  async read(
    length: number,
    values: number,
    { peer, address }: { peer: string; address: string },
  ): Promise<Work> {
    const engine = this.#engine ??= await TransferEngine.initialize();
    const local = this.#into ??= await engine.registerMemory(this.#target.length);
    const segment = this.#segment ??= await engine.openSegment(peer);
    const requests = Array.from({ length: values }, (_, i) => [{
      ...{ opcode: "read" as const, segment, local, length },
      remoteAddress: BigInt(address) + BigInt(i * length),
    }]);
    return {
      once: (i) => engine.transferSync(requests[i % values]),
      after: (i, codes) => {
        const [code] = codes as EngineCode[];
        if (code !== EngineCode.OK) throw new Error(engine.explain(requests[i % values][0], code));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#library?.close();
    await this.#engine?.[Symbol.asyncDispose]();
  }
}

function openLibc() {
  return Deno.dlopen("libc.so.6", {
    memcpy: { parameters: ["pointer", "pointer", "usize"], result: "pointer" },
  });
}

await main(Deno.args[0], Number(Deno.args[1]));

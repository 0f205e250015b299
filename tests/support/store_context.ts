import { type StoreContext, writeNumbers } from "../../client/context.ts";
import { Hedges } from "../../client/hedges.ts";
import { KnownPlaces } from "../../client/known_places.ts";
import { MasterClient } from "../../client/master_client.ts";
import { defaultConfig } from "../../client/put_options.ts";
import { ReplicaChoice } from "../../client/replica_choice.ts";
import { ReservedPuts, type ReservedPutsChoice } from "../../client/reserved_puts.ts";
import { ValueChecks } from "../../client/value_checks.ts";
import { TransferEndpoint } from "../../client/transfer/endpoint.ts";
import type { Region } from "../../client/transfer/engine.ts";
import type { MetadataStore } from "../../client/transfer/metadata_store.ts";
import type { Rpc } from "../../proto/messages.ts";
import { type ReplicaDescriptor, ReplicaStatus } from "../../proto/types.ts";
import { FakeClock } from "./fake_clock.ts";
import { FaultEngine } from "./fault_engine.ts";
import { MemoryEngine, MemoryNetwork } from "./memory_engine.ts";

/** Answers of a master that a test writes down, by call; a call without one fails the test. */
export type Answers = Record<string, (request: never) => unknown>;

/** A client's operations on a master that answers as told and on peers in memory. */
export class StoreFixture {
  readonly clock = new FakeClock();
  readonly network = new MemoryNetwork();
  readonly engine: MemoryEngine = new MemoryEngine(this.network);
  /** Stands between the client and `engine`. */
  readonly faults = new FaultEngine(this.engine, this.clock);
  readonly endpoint: TransferEndpoint;
  readonly store: StoreContext;
  /** Every call with its request, in order. */
  readonly calls: { name: string; request: unknown; writeId: number }[] = [];
  /** What was logged. */
  readonly lines: string[] = [];
  answers: Answers;

  /** With `reserves` its puts go into reserved memory. */
  constructor(answers: Answers = {}, reserves: ReservedPutsChoice = "off") {
    this.answers = answers;
    this.endpoint = new TransferEndpoint({
      engine: this.faults,
      metadata: addressesAsNames(),
      named: true,
      clock: this.clock,
      random: () => 0.5,
      localHostname: "10.0.0.1:1",
      advertisedHost: "127.0.0.1",
      dataPort: 0,
      bindAddress: "",
      minPort: 20_000,
      maxPort: 32_000,
      handshakeTimeoutMs: 5000,
      handshakeMaxLength: 1 << 20,
      maxProtocolVersion: 2,
      memcpy: true,
      forceTcp: false,
      log: () => {},
    });
    const { clock } = this;
    const master = new MasterClient({
      call: (rpc, request, writeId) => this.#call(rpc, request, writeId),
    });
    const choice = new ReplicaChoice(clock, 0);
    const tenantId = new TextEncoder().encode("default");
    this.store = {
      master,
      endpoint: this.endpoint,
      choice,
      hedges: new Hedges(5),
      places: new KnownPlaces("on"),
      checks: new ValueChecks({ enabled: true, log: (line) => this.lines.push(line) }),
      reserved: new ReservedPuts({
        ...{ choice: reserves, master, clock, clientId: "1-2", tenantId, peers: choice },
      }),
      clock,
      clientId: "1-2",
      tenantId,
      defaultConfig: defaultConfig(""),
      transferTimeoutMs: 30_000,
      replicaPatienceMs: 500,
      opBudgetMs: 60_000,
      answerWithinMs: 6000,
      beginWithinMs: 35_000,
      nextWriteId: writeNumbers(),
    };
  }

  /** Names of the calls so far. */
  get names(): string[] {
    return this.calls.map(({ name }) => name);
  }

  /** The requests of one kind of call. */
  requests<T>(name: string): T[] {
    return this.calls.filter((call) => call.name === name).map(({ request }) => request as T);
  }

  /** A peer whose name is its address, with memory of `length` bytes. */
  async peer(address: string, length = 4096): Promise<{ engine: MemoryEngine; region: Region }> {
    const engine = new MemoryEngine(this.network);
    const [host, port] = address.split(":");
    await engine.listen({ host, port: Number(port) });
    return { engine, region: engine.allocate(length, { publish: true }) };
  }

  async #call<Q, R>(rpc: Rpc<Q, R>, request: Q, writeId = 0): Promise<R> {
    this.calls.push({ name: rpc.name, request, writeId });
    const answer = this.answers[rpc.name];
    if (answer === undefined) throw new Error(`The test has no answer to ${rpc.name}`);
    await Promise.resolve();
    return await answer(request as never) as R;
  }
}

/** A complete replica of `size` bytes at `offset` of a peer's memory. */
export function replica(
  endpoint: string,
  region: Region,
  size: number,
  offset = 0,
  status: number = ReplicaStatus.COMPLETE,
): ReplicaDescriptor {
  const bufferAddress = (region.remoteBase ?? 0n) + BigInt(offset);
  const buffer = { size, bufferAddress, protocol: "tcp", transportEndpoint: endpoint };
  return { id: 1, status, location: { kind: "memory", buffer } };
}

/** Metadata in which every name of the form `host:port` is its own data address. */
function addressesAsNames(): MetadataStore {
  return {
    lookup: (name) => {
      const [host, port] = name.split(":");
      if (!Number(port)) return Promise.reject(new Error(`nobody is called ${name}`));
      const document = {
        name,
        protocols: ["tcp"],
        buffers: [],
        tcpDataHost: host,
        tcpDataPort: Number(port),
        tcpProtoVersion: 2,
        localName: "",
        rdmaServerName: "",
        devices: [],
        priorities: new Map(),
        timestamp: "",
      };
      return Promise.resolve({ document, dataHost: host });
    },
    handshakeAddress: () => Promise.reject(new Error("nobody shakes hands here")),
    publish: () => Promise.resolve(),
    restore: () => Promise.resolve(false),
    withdraw: () => Promise.resolve(),
    handshakeAnswer: () => null,
    close: () => Promise.resolve(),
  };
}

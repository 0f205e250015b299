import type { PeerId, Region, TransferEngine } from "../../client/transfer/engine.ts";
import type { LocalFile } from "../../client/transfer/file_segments.ts";

/** Options that every implementation understands. */
export interface EngineOptions {
  connectTimeoutMs?: number;
  maxConnections?: number;
  stallTimeoutMs?: number;
}

/** One implementation of the engine. */
export interface EngineKind {
  name: string;
  open(options?: EngineOptions): TransferEngine;
}

/** Which engines a suite runs on, and how one reaches the other. */
export interface EnginePairing {
  client: EngineKind;
  server: EngineKind;
  /** Framing on TCP. */
  version: 1 | 2;
  /** Whether the server's memory is reached directly, as memory of the same host. */
  sameHost?: boolean;
  /** Whether the engines have a transport that is a library of its own, and use it. */
  plugin?: boolean;
  /** Set where the server's regions are files; of one of them. */
  fileOf?: (region: Region) => LocalFile;
}

/** Registers one test; `Deno.test` or anything like it. */
export type RegisterTest = (name: string, run: () => Promise<void>) => void;

/** What a test opened, disposed in reverse order at its end: Node 20 has no `await using`. */
export class Scope {
  readonly #owned: AsyncDisposable[] = [];

  own<T extends AsyncDisposable>(resource: T): T {
    this.#owned.push(resource);
    return resource;
  }

  async close(): Promise<void> {
    for (const resource of this.#owned.reverse()) await resource[Symbol.asyncDispose]();
  }
}

/** Gives each test a scope of its own. */
export function scoped(
  test: RegisterTest,
): (name: string, run: (scope: Scope) => Promise<void>) => void {
  return (name, run) =>
    test(name, async () => {
      const scope = new Scope();
      try {
        await run(scope);
      } finally {
        await scope.close();
      }
    });
}

/** Bytes that differ from place to place and from seed to seed. */
export function fill(bytes: Uint8Array, seed: number): void {
  let state = (seed * 2654435761) >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    if ((i & 3) === 0) state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> ((i & 3) * 8);
  }
}

/** Whether two arrays hold the same bytes; quicker than an assertion on megabytes. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** How published regions of an engine are reached over its plugin. */
export function pluginAddress(engine: TransferEngine, regions: readonly Region[]) {
  const { plugin } = engine;
  return {
    address: plugin!.address,
    buffers: regions.map((region) => ({
      ...{ addr: region.remoteBase!, length: region.length, key: plugin!.keyOf(region) },
    })),
  };
}

/** Two engines: one that serves a published region, one with a private region that reaches it. */
export class EnginePair implements AsyncDisposable {
  private constructor(
    readonly server: TransferEngine,
    readonly client: TransferEngine,
    readonly port: number,
    readonly remote: Region,
    readonly local: Region,
    readonly peer: PeerId,
    readonly viaPlugin: boolean,
  ) {}

  static async open(
    kinds: EnginePairing,
    options: { bytes?: number; server?: EngineOptions; client?: EngineOptions } = {},
  ): Promise<EnginePair> {
    const bytes = options.bytes ?? 1 << 20;
    const server = kinds.server.open(options.server);
    const client = kinds.client.open(options.client);
    const remote = server.allocate(bytes, { publish: true });
    const local = client.allocate(bytes);
    const { port } = await server.listen({ host: "127.0.0.1" });
    const localName = kinds.sameHost ? server.localName : "";
    const plugin = kinds.plugin ? pluginAddress(server, [remote]) : null;
    const peer = client.openPeer({
      ...{ host: "127.0.0.1", port, protocolVersion: kinds.version, localName },
      ...(plugin && { plugin }),
      ...(kinds.fileOf && { files: [kinds.fileOf(remote)] }),
    });
    return new EnginePair(server, client, port, remote, local, peer, plugin !== null);
  }

  /** A peer that reaches another region that the server publishes. */
  reach(region: Region): PeerId {
    if (!this.viaPlugin) return this.peer;
    const address = { host: "127.0.0.1", port: this.port, protocolVersion: 2 as const };
    return this.client.openPeer({ ...address, plugin: pluginAddress(this.server, [region]) });
  }

  /** Address of a byte of the published region. */
  at(offset: number): bigint {
    return this.remote.remoteBase! + BigInt(offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

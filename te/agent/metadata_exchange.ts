import { Buffer } from "node:buffer";
import { type Clock, within } from "../../client/transfer/clock.ts";
import type { MetadataKv } from "../../client/transfer/kv_metadata.ts";
import { segmentKey } from "../../proto/metadata/keys.ts";
import { deferred } from "../deferred.ts";
import { EngineCode, EngineError } from "../engine_code.ts";
import { asked } from "../metadata_service.ts";
import type { TransferEngine } from "../transfer_engine.ts";
import { type AgentMessage, encodeMessage } from "./agent_messages.ts";

/** Whose metadata, and how they are had and kept. */
export interface ExchangeOptions {
  readonly name: string;
  readonly engine: TransferEngine;
  /** Where agents are found by name; `null` = they know each other's address. */
  readonly service: MetadataKv | null;
  /** Inserted into keys. */
  readonly clusterId: string;
  /** Whether agents that were not asked may send theirs, and be sent ours. */
  readonly listen: boolean;
  readonly clock: Clock;
  /** Milliseconds for an answer. */
  readonly timeoutMs: number;
  /** Our own, all of them. */
  readonly metadata: () => Uint8Array;
  /** Takes those of another agent in and returns its name. */
  readonly load: (metadata: Uint8Array) => string;
  readonly forget: (name: string) => void;
}

/** How metadata travel between agents: over a metadata service, or from engine to engine. */
export class MetadataExchange {
  readonly #options: ExchangeOptions;
  /** Agents whose answer is waited for. */
  readonly #asked = new Map<string, () => void>();
  #published: string | null = null;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** Hands ours, or part of them, to one engine, or keeps them in the service. */
  async send(metadata: Uint8Array, to: string | undefined): Promise<void> {
    const { engine, name } = this.#options;
    if (to !== undefined) return await engine.notify(to, encodeMessage("metadata", metadata), name);
    const service = this.#service("sendMetadata", "to");
    const text = Buffer.from(metadata).toString("base64");
    await asked(`keep the metadata of ${name}`, service.put(this.#key(name), text));
    this.#published = text;
  }

  /** Brings those of another agent from its engine, or from the service. */
  async fetch(agent: string, from: string | undefined): Promise<void> {
    if (from !== undefined) return await this.#ask(agent, from);
    const service = this.#service("fetchMetadata", "from");
    const text = await asked(`look agent ${agent} up`, service.get(this.#key(agent)));
    if (text === null) {
      const message = `The metadata server has no agent ${JSON.stringify(agent)}`;
      throw new EngineError(EngineCode.METADATA, message);
    }
    this.#options.load(Buffer.from(text, "base64"));
  }

  /** Takes ours back from one engine, or from the service. */
  async invalidate(to: string | undefined): Promise<void> {
    const { engine, name } = this.#options;
    if (to !== undefined) {
      return await engine.notify(to, encodeMessage("forget", new Uint8Array(0)), name);
    }
    const service = this.#service("invalidateMetadata", "to");
    this.#published = null;
    await asked(`take the metadata of ${name} back`, service.delete(this.#key(name)));
  }

  /** Deals with what another agent says, unless that is for the caller. Throwing refuses it. */
  take(from: string, { kind, body }: AgentMessage): void {
    const { listen, engine, name, load, metadata, forget } = this.#options;
    const answered = this.#asked.get(from);
    if (!listen && !(kind === "metadata" && answered)) throw new Error(`${name} does not listen`);
    if (kind === "metadata") {
      load(body);
      answered?.();
    } else if (kind === "forget") forget(from);
    else {
      const to = new TextDecoder().decode(body);
      engine.notify(to, encodeMessage("metadata", metadata()), name).catch(() => {});
    }
  }

  /** Takes back what the service still has of this agent. Never rejects. */
  async close(): Promise<void> {
    const { service, name } = this.#options;
    if (service === null) return;
    try {
      const key = this.#key(name);
      const ours = this.#published !== null && await service.get(key) === this.#published;
      if (ours) await service.delete(key);
    } catch {
      // Who cannot ask any more leaves it there.
    }
    await service.close();
  }

  async #ask(agent: string, from: string): Promise<void> {
    const { engine, name, clock, timeoutMs } = this.#options;
    const { promise, resolve } = deferred<void>();
    let came = false;
    this.#asked.set(agent, () => {
      came = true;
      resolve();
    });
    try {
      const address = new TextEncoder().encode(engine.localName);
      await engine.notify(from, encodeMessage("ask", address), name);
      await within(clock, timeoutMs, promise);
    } finally {
      this.#asked.delete(agent);
    }
    if (came) return;
    throw new EngineError(
      EngineCode.TIMEOUT,
      `No metadata of agent ${JSON.stringify(agent)} came from ${from} within ${timeoutMs} ms`,
    );
  }

  #key(agent: string): string {
    return segmentKey(`agents/${encodeURIComponent(agent)}`, this.#options);
  }

  #service(call: string, option: string): MetadataKv {
    if (this.#options.service !== null) return this.#options.service;
    throw new EngineError(
      EngineCode.INVALID_ARGUMENT,
      `${call} without "${option}" needs a metadata service; metadata is P2PHANDSHAKE`,
    );
  }
}

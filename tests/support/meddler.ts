/** Somebody who changes bytes in memory that nodes lend, which anybody who reaches them can. */
import { systemClock } from "../../client/transfer/clock.ts";
import { type EndpointOperation, TransferEndpoint } from "../../client/transfer/endpoint.ts";
import { UNKNOWN_PEER } from "../../client/transfer/endpoint.ts";
import { Opcode } from "../../client/transfer/engine.ts";
import { P2pMetadata } from "../../client/transfer/metadata_store.ts";
import { TsTransferEngine } from "../../client/transfer/ts_engine.ts";
import type { ReplicaDescriptor } from "../../proto/types.ts";

export class Meddler implements AsyncDisposable {
  readonly #endpoint = new TransferEndpoint({
    engine: new TsTransferEngine(),
    metadata: new P2pMetadata({ clock: systemClock, timeoutMs: 5000, maxLength: 1 << 20 }),
    ...{ named: false, clock: systemClock, random: Math.random, localHostname: "127.0.0.1" },
    ...{
      advertisedHost: "",
      dataPort: 0,
      bindAddress: "",
      minPort: 15_000,
      maxPort: 17_000,
      handshakeTimeoutMs: 5000,
    },
    ...{ handshakeMaxLength: 1 << 20, maxProtocolVersion: 2, forceTcp: true, memcpy: false },
    log: () => {},
  });

  /** Changes one bit of a replica. */
  async flip({ location }: ReplicaDescriptor, offset: number): Promise<void> {
    if (location.kind !== "memory") throw new TypeError(`a replica in ${location.kind}`);
    const { transportEndpoint: endpoint, bufferAddress } = location.buffer;
    const local = new Uint8Array(1);
    const move = async (opcode: Opcode) => {
      const remoteAddress = bufferAddress + BigInt(offset);
      const place = { local, localOffset: 0, length: 1, remoteAddress };
      const op: EndpointOperation = { opcode, endpoint, peer: UNKNOWN_PEER, ...place };
      const [code] = await this.#endpoint.transfer([op], 10_000);
      if (code !== 0) throw new Error(this.#endpoint.explain(endpoint, code));
    };
    await move(Opcode.READ);
    local[0] ^= 16;
    await move(Opcode.WRITE);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#endpoint.close();
  }
}

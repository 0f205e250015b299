/** A client that lends memory which is not there: all that happens to it is metadata. */
import assert from "node:assert/strict";
import type { MasterClient } from "../../client/master_client.ts";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import {
  type ReplicaDescriptor,
  type ReplicateConfig,
  ReplicaType,
  type Segment,
  type Uuid,
} from "../../proto/types.ts";
import { bytesOf, replicateConfig, segmentOf } from "./core_driver.ts";

const tenantId = bytesOf("default");

/** Speaks for one client of a master; keys are texts. */
export class MetadataNode {
  readonly clientId: Uuid;
  readonly segments: Segment[] = [];

  constructor(readonly master: MasterClient, id: number) {
    this.clientId = `${id}-${id}`;
  }

  /** A client with one segment of so many bytes. */
  static async join(master: MasterClient, id: number, bytes: number): Promise<MetadataNode> {
    const node = new MetadataNode(master, id);
    await node.mount(id, bytes);
    return node;
  }

  async mount(id: number, bytes: number): Promise<Segment> {
    const segment = segmentOf(id, `segment-${id}`, bytes);
    this.segments.push(segment);
    const { clientId } = this;
    assertOk((await this.master.mountSegment({ segment, clientId })).code);
    await this.remount();
    return segment;
  }

  async remount(): Promise<void> {
    const { segments, clientId } = this;
    assertOk((await this.master.reMountSegment({ segments, clientId })).code);
  }

  /** The status that a ping is answered with. */
  async ping(): Promise<number> {
    const { code, value } = await this.master.ping({ clientId: this.clientId });
    assertOk(code);
    return value!.clientStatus;
  }

  start(key: string, bytes: number, options: { upsert?: boolean } & Partial<ReplicateConfig> = {}) {
    const { upsert = false, ...config } = options;
    const request = {
      ...{ clientId: this.clientId, key: bytesOf(key), sliceLength: bytes, tenantId },
      config: replicateConfig(config),
    };
    return upsert ? this.master.upsertStart(request) : this.master.putStart(request);
  }

  startBatch(keys: string[], bytes: number) {
    return this.master.batchPutStart({
      ...{ clientId: this.clientId, keys: keys.map(bytesOf), tenantId, config: replicateConfig() },
      sliceLengths: keys.map(() => bytes),
    });
  }

  async end(key: string, { upsert = false }: { upsert?: boolean } = {}): Promise<number> {
    const objectMeta = { key: bytesOf(key), objectChecksum: null };
    const { clientId } = this;
    const request = { clientId, objectMeta, replicaType: ReplicaType.ALL, tenantId };
    return (await (upsert ? this.master.upsertEnd(request) : this.master.putEnd(request))).code;
  }

  async revoke(key: string, { upsert = false }: { upsert?: boolean } = {}): Promise<number> {
    const { clientId } = this;
    const request = { clientId, key: bytesOf(key), replicaType: ReplicaType.ALL, tenantId };
    const answer = upsert ? this.master.upsertRevoke(request) : this.master.putRevoke(request);
    return (await answer).code;
  }

  /** A whole put; its code. */
  async put(key: string, bytes: number): Promise<number> {
    const { code } = await this.start(key, bytes);
    return code === ErrorCode.OK ? await this.end(key) : code;
  }

  async exists(key: string): Promise<boolean> {
    const { code, value } = await this.master.existKey({ key: bytesOf(key), tenantId });
    assertOk(code);
    return value!;
  }

  /** The keys of these that exist. */
  async existing(keys: string[]): Promise<string[]> {
    const found = await this.master.batchExistKey({ keys: keys.map(bytesOf), tenantId });
    return keys.filter((_, i) => found[i].value === true);
  }

  /** The answer of a get, which leases the object. */
  get(key: string) {
    return this.master.getReplicaList({ key: bytesOf(key), tenantId });
  }

  async remove(key: string, force = false): Promise<number> {
    return (await this.master.remove({ key: bytesOf(key), force, tenantId })).code;
  }
}

/** Where the first replica lies in memory. */
export function addressOf(replicas: ReplicaDescriptor[] | null | undefined): bigint {
  const location = replicas?.[0]?.location;
  assert(location?.kind === "memory", "there is no replica in memory");
  return location.buffer.bufferAddress;
}

export function assertOk(code: number): void {
  assert.equal(errorName(code), errorName(ErrorCode.OK));
}

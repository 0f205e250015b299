// Goal: every call about objects answers what a simple model answers, and nothing inside breaks.
// Method: random operations on few keys with random steps of time, the same on a Map; invariants
// are checked all along. A failure prints the seed: SEED=<n> runs that one alone,
// OPERATIONS=<n> runs so many in all.
import assert from "node:assert/strict";
import { ErrorCode, errorName } from "../../proto/error_code.ts";
import { SoftPinAction } from "../../proto/types.ts";
import { CoreDriver, MIB, type SeenReplica } from "../../tests/support/core_driver.ts";
import type { Writer } from "./api.ts";
import { checkCore } from "../../tests/support/core_invariants.ts";
import { randomBelow, SeededRng } from "./rng.ts";

const LEASE_MS = 2000;
const DISCARD_MS = 3000;
const RELEASE_MS = 20_000;
const KEYS = 40;
const CLIENTS = 3;
/** This one numbers its writes. */
const NUMBERING_CLIENT = 3;

interface Write {
  client: number;
  startMs: number;
  size: number;
  /** 0 = the client numbers none. */
  writeId: number;
  softAction: number;
  softTtlMs: number;
  hardPin: boolean;
}

interface Model {
  version: { client: number; size: number; checksum: bigint | null } | null;
  write: Write | null;
  leaseUntilMs: number;
  softUntilMs: number;
  hardPin: boolean;
}

/** The whole specification of the object calls, without any space to run out of. */
class ObjectModel {
  readonly objects = new Map<string, Model>();
  /** Until when ends are owed, by client and key. */
  readonly owed = new Map<string, number>();

  start(
    key: string,
    size: number,
    nowMs: number,
    options: Omit<Write, "startMs" | "size">,
  ): number {
    const object = this.objects.get(key);
    if (object !== undefined) {
      const young = object.write !== null && nowMs - object.write.startMs <= DISCARD_MS;
      if (object.version !== null || young) return ErrorCode.OBJECT_ALREADY_EXISTS;
    }
    if (this.#owes(key, options, nowMs)) return ErrorCode.OBJECT_REPLICA_BUSY;
    this.#replaceWrite(key);
    this.#begin(key, { ...options, startMs: nowMs, size });
    return ErrorCode.OK;
  }

  upsert(
    key: string,
    size: number,
    nowMs: number,
    options: Omit<Write, "startMs" | "size">,
  ): number {
    if (this.#owes(key, options, nowMs)) return ErrorCode.OBJECT_REPLICA_BUSY;
    const object = this.objects.get(key);
    const write: Write = { ...options, startMs: nowMs, size };
    this.#replaceWrite(key);
    if (object?.version) object.write = write;
    else this.#begin(key, write);
    return ErrorCode.OK;
  }

  end(key: string, writer: Writer, checksum: bigint | null, nowMs: number): number {
    const stray = this.#stray(key, writer, nowMs);
    if (stray !== ErrorCode.OK) return stray;
    const object = this.objects.get(key)!;
    if (object.write !== null) this.commit(object, checksum, nowMs);
    return ErrorCode.OK;
  }

  revoke(key: string, writer: Writer, nowMs: number): number {
    const stray = this.#stray(key, writer, nowMs);
    if (stray !== ErrorCode.OK) return stray;
    const object = this.objects.get(key)!;
    if (object.write === null) return ErrorCode.INVALID_WRITE;
    object.write = null;
    if (object.version === null) this.objects.delete(key);
    return ErrorCode.OK;
  }

  read(key: string, nowMs: number): number {
    const object = this.objects.get(key);
    if (object === undefined) return ErrorCode.OBJECT_NOT_FOUND;
    if (object.version === null) return ErrorCode.REPLICA_IS_NOT_READY;
    object.leaseUntilMs = Math.max(object.leaseUntilMs, nowMs + LEASE_MS);
    return ErrorCode.OK;
  }

  remove(key: string, force: boolean, nowMs: number): number {
    const object = this.objects.get(key);
    if (object === undefined) return ErrorCode.OBJECT_NOT_FOUND;
    if (!force && object.leaseUntilMs > nowMs) return ErrorCode.OBJECT_HAS_LEASE;
    if (object.write !== null) return ErrorCode.REPLICA_IS_NOT_READY;
    this.objects.delete(key);
    return ErrorCode.OK;
  }

  /** What the passing of time does once the core has come to rest at `nowMs`. */
  tick(nowMs: number): void {
    for (const [key, object] of this.objects) {
      const { write } = object;
      if (object.softUntilMs <= nowMs) object.softUntilMs = 0;
      if (write === null) continue;
      if (nowMs - write.startMs <= RELEASE_MS) continue;
      object.write = null;
      if (object.version === null) this.objects.delete(key);
    }
  }

  commit(object: Model, checksum: bigint | null, nowMs: number): void {
    const write = object.write!;
    object.version = { client: write.client, size: write.size, checksum };
    object.write = null;
    object.hardPin ||= write.hardPin;
    object.leaseUntilMs = Math.max(object.leaseUntilMs, nowMs);
    if (write.softAction === SoftPinAction.ENABLE) {
      object.softUntilMs = write.softTtlMs === 0 ? 0 : nowMs + write.softTtlMs;
    } else if (write.softAction === SoftPinAction.DISABLE || object.softUntilMs <= nowMs) {
      object.softUntilMs = 0;
    }
  }

  #begin(key: string, write: Write): void {
    const hardPin = write.hardPin;
    this.objects.set(key, { version: null, write, leaseUntilMs: 0, softUntilMs: 0, hardPin });
  }

  /** Whether an answer to an earlier write is missing without which this one could not be told apart. */
  #owes(key: string, { client, writeId }: Writer, nowMs: number): boolean {
    if (writeId !== 0) return false;
    const write = this.objects.get(key)?.write;
    if (write?.client === client) return nowMs - write.startMs <= RELEASE_MS;
    return (this.owed.get(`${client} ${key}`) ?? 0) > nowMs;
  }

  /** The write of a key is about to be replaced, without its writer's knowledge. */
  #replaceWrite(key: string): void {
    const write = this.objects.get(key)?.write;
    if (!write || write.writeId !== 0) return;
    this.owed.set(`${write.client} ${key}`, write.startMs + RELEASE_MS);
  }

  /** Answers an end or revoke that is about nothing that goes on; OK = it is. */
  #stray(key: string, { client, writeId }: Writer, nowMs: number): number {
    const object = this.objects.get(key);
    const write = object?.write;
    if (write && write.client === client && write.writeId === writeId) return ErrorCode.OK;
    const owed = writeId === 0 && (this.owed.get(`${client} ${key}`) ?? 0) > nowMs;
    if (owed) this.owed.delete(`${client} ${key}`);
    if (object === undefined) return ErrorCode.OBJECT_NOT_FOUND;
    if (owed || write || writeId !== 0) return ErrorCode.ILLEGAL_CLIENT;
    return object.version!.client === client ? ErrorCode.OK : ErrorCode.ILLEGAL_CLIENT;
  }
}

interface Claim {
  segment: number;
  from: number;
  to: number;
  untilMs: number;
  /** The writer's key; "" = a reader. */
  key: string;
}

/** Extents that somebody may still read or write, by the time until which they may. */
class Claims {
  #claims: Claim[] = [];

  /** Enters what a writer was given; throws when an extent is somebody else's still. */
  write(key: string, replicas: SeenReplica[], nowMs: number): void {
    this.#claims = this.#claims.filter(({ untilMs }) => untilMs > nowMs);
    for (const { segment, offset, size } of replicas) {
      const taken = this.#claims.some((claim) =>
        claim.segment === segment && claim.from < offset + size && offset < claim.to
      );
      assert(!taken, "nobody else may use the extent");
    }
    this.#add(key, replicas, nowMs + RELEASE_MS);
  }

  /** The writer of a key is done with what it was given last. */
  written(key: string): void {
    const starts = this.#claims.filter((claim) => claim.key === key);
    const last = Math.max(...starts.map(({ untilMs }) => untilMs));
    this.#claims = this.#claims.filter((claim) => claim.key !== key || claim.untilMs !== last);
  }

  read(replicas: SeenReplica[], nowMs: number): void {
    this.#add("", replicas, nowMs + LEASE_MS);
  }

  #add(key: string, replicas: SeenReplica[], untilMs: number): void {
    for (const { segment, offset, size } of replicas) {
      this.#claims.push({ segment, from: offset, to: offset + size, untilMs, key });
    }
  }
}

type LogLine = [timeMs: number, what: string, code: number];

function show(log: LogLine[]): string {
  const lines = log.slice(-60).map(([timeMs, what, code]) =>
    `${timeMs} ${what}: ${errorName(code)}`
  );
  return lines.join("\n");
}

function run(seed: number, operations: number): void {
  const random = new SeededRng(seed);
  const below = (n: number) => randomBelow(random, n);
  const driver = new CoreDriver({
    defaultKvLeaseTtlMs: LEASE_MS,
    putStartDiscardTimeoutMs: DISCARD_MS,
    putStartReleaseTimeoutMs: RELEASE_MS,
    evictionHighWatermarkRatio: 1,
  }, seed);
  for (let i = 1; i <= 3; i++) driver.mount(i, 256 * MIB, { client: i });
  const model = new ObjectModel();
  const claims = new Claims();
  const log: LogLine[] = [];
  const same = (what: string, actual: number, expected: number) => {
    log.push([driver.nowMs, what, actual]);
    if (actual !== expected) {
      assert.equal(errorName(actual), errorName(expected), `seed ${seed}\n${show(log)}`);
    }
  };
  let started = 0;
  for (let i = 0; i < operations; i++) {
    const key = `key-${below(KEYS)}`;
    const client = 1 + below(CLIENTS);
    const numbers = client === NUMBERING_CLIENT;
    // Mostly the write that goes on, sometimes one that is over.
    const going = model.objects.get(key)?.write?.writeId ?? 0;
    const said = !numbers ? 0 : going !== 0 && below(4) > 0 ? going : 1 + below(started + 1);
    const { nowMs } = driver;
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const upsert = below(2) === 0;
        const size = 1 + below(3 * 64);
        const replicaNum = 1 + below(2);
        const softPinAction = below(3);
        const enabled = softPinAction === SoftPinAction.ENABLE;
        const softPinTtlMs = enabled ? below(4) * 1500 : null;
        const withHardPin = below(20) === 0;
        const options = {
          ...{ client, writeId: numbers ? ++started : 0, softAction: softPinAction },
          ...{ softTtlMs: softPinTtlMs ?? 0, hardPin: withHardPin },
        };
        const actual = driver.start(key, size, {
          ...{
            client,
            writeId: options.writeId,
            upsert,
            replicaNum,
            softPinAction,
            softPinTtlMs,
            withHardPin,
          },
        });
        const expected = upsert
          ? model.upsert(key, size, nowMs, options)
          : model.start(key, size, nowMs, options);
        same(`${upsert ? "upsert" : "put"} ${key} ${size} by ${client}`, actual, expected);
        if (actual === ErrorCode.OK) {
          assert.equal(driver.sink.replicas.length, replicaNum);
          const segments = new Set(driver.sink.replicas.map(({ segment }) => segment));
          assert.equal(segments.size, replicaNum, "replicas lie in different segments");
          claims.write(key, driver.sink.replicas, nowMs);
        }
        break;
      }
      case 4:
      case 5:
      case 6:
      case 7: {
        const checksum = below(2) === 0 ? BigInt(below(1 << 30)) << 33n : null;
        const writing = model.objects.get(key)?.write;
        const actual = driver.end(key, client, 4, checksum, said);
        const expected = model.end(key, { client, writeId: said }, checksum, nowMs);
        same(`end ${key} by ${client}/${said}`, actual, expected);
        if (writing && !model.objects.get(key)?.write) claims.written(key);
        break;
      }
      case 8: {
        const writing = model.objects.get(key)?.write;
        const actual = driver.revoke(key, client, 4, said);
        const expected = model.revoke(key, { client, writeId: said }, nowMs);
        same(`revoke ${key} by ${client}/${said}`, actual, expected);
        if (writing && !model.objects.get(key)?.write) claims.written(key);
        break;
      }
      case 9:
      case 10:
      case 11: {
        same(`get ${key}`, driver.get(key), model.read(key, nowMs));
        const version = model.objects.get(key)?.version;
        if (!version) break;
        assert.deepEqual(
          driver.sink.replicas.map(({ size }) => size).filter((size) => size !== version.size),
          [],
        );
        assert.equal(driver.sink.sum, version.checksum);
        claims.read(driver.sink.replicas, nowMs);
        break;
      }
      case 12: {
        const expected = model.read(key, nowMs) === ErrorCode.OK ? 1 : 0;
        assert.equal(driver.exist(key), expected);
        break;
      }
      case 13: {
        const force = below(2) === 0;
        same(`remove ${key} ${force}`, driver.remove(key, force), model.remove(key, force, nowMs));
        break;
      }
      case 14:
        driver.nowMs += below(300);
        break;
      default: {
        driver.nowMs += below(40) === 0 ? below(RELEASE_MS) : below(700);
        for (let c = 1; c <= CLIENTS; c++) driver.ping(c);
        driver.settle();
        model.tick(driver.nowMs);
        log.push([driver.nowMs, "tick", 0]);
      }
    }
    if (i % 500 === 0) compare(driver, model, seed);
  }
  compare(driver, model, seed);
}

function compare(driver: CoreDriver, model: ObjectModel, seed: number): void {
  checkCore(driver.core.state);
  assert.deepEqual(driver.keys(), Array.from(model.objects.keys()).sort(), `seed ${seed}`);
  for (const [key, object] of model.objects) {
    const detail = driver.peek(key)!;
    assert.equal(detail.state, object.version === null ? "PROCESSING" : "COMPLETE");
    assert.equal(detail.hardPinned, object.hardPin);
    if (object.version !== null) {
      assert.equal(detail.size, object.version.size);
      assert.equal(detail.replacing, object.write !== null);
    }
  }
}

const OPERATIONS_PER_SEED = 30_000;
const given = Deno.env.get("SEED");
const total = Number(Deno.env.get("OPERATIONS") ?? 600_000);
const seeds = given === undefined
  ? Array.from({ length: Math.ceil(total / OPERATIONS_PER_SEED) }, (_, i) => i + 1)
  : [Number(given)];

Deno.test(`${total} random object calls answer what a plain model answers`, () => {
  for (const seed of seeds) run(seed, OPERATIONS_PER_SEED);
});

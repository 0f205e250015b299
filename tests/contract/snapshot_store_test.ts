// One contract for the places that snapshots go to; S3 against moto's server. Then what only a bucket
// can do: refuse the credentials, not be there, not answer.
import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { DirectoryStore } from "../../master/backup/directory_store.ts";
import { openS3Store, type S3Store } from "../../master/backup/s3_store.ts";
import type { S3Settings } from "../../master/backup/s3_settings.ts";
import { findMoto, MotoServer } from "../support/moto.ts";
import { type StorePlace, testSnapshotStore } from "./snapshot_store_suite.ts";

const PREFIX = "pool/a";
/** The least that S3 takes as a part. */
const PART_BYTES = 5 << 20;

const moto = await findMoto();
const absent = "python" in moto ? null : `moto: ${moto.reason}`;

class DirectoryPlace implements StorePlace, AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "snowskin-store-" });

  open(): Promise<DirectoryStore> {
    return Promise.resolve(new DirectoryStore(`${this.#directory}/pool`));
  }

  async clear(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#directory)) {
      await Deno.remove(`${this.#directory}/${name}`, { recursive: true });
    }
  }

  async damage(name: string): Promise<void> {
    const path = `${this.#directory}/pool/${name}`;
    await Deno.writeFile(path, flipped(await Deno.readFile(path)));
  }

  async abandon(name: string): Promise<void> {
    await Deno.writeFile(`${this.#directory}/pool/${name}.partial`, new Uint8Array(10));
  }

  async unfinished(): Promise<number> {
    let count = 0;
    for await (const { name } of Deno.readDir(`${this.#directory}/pool/a`)) {
      if (name.endsWith(".partial")) count++;
    }
    return count;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#directory, { recursive: true });
  }
}

class BucketPlace implements StorePlace, AsyncDisposable {
  readonly #server: MotoServer;

  private constructor(server: MotoServer) {
    this.#server = server;
  }

  static async start(): Promise<BucketPlace> {
    assert("python" in moto);
    return new BucketPlace(await MotoServer.start(moto.python));
  }

  open(): Promise<S3Store> {
    const { settings } = this.#server;
    return openS3Store({
      ...{ bucket: MotoServer.bucket, prefix: PREFIX, settings, partBytes: PART_BYTES },
    });
  }

  async clear(): Promise<void> {
    const store = await this.open();
    await store.remove((await store.list()).map(({ name }) => name));
    await store.removeUnfinished(Infinity);
    store.close();
  }

  async damage(name: string): Promise<void> {
    const store = await this.open();
    await store.write(name, flipped((await store.read(name, 1 << 20))!));
    store.close();
  }

  async abandon(name: string): Promise<void> {
    const { status } = await this.#request("POST", `/${PREFIX}/${name}?uploads`);
    assert.equal(status, 200);
  }

  async unfinished(): Promise<number> {
    return (await this.#request("GET", "?uploads")).text.split("<UploadId>").length - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  async #request(method: string, path: string): Promise<{ status: number; text: string }> {
    const answer = await fetch(`${this.#server.endpoint}/${MotoServer.bucket}${path}`, { method });
    return { status: answer.status, text: await answer.text() };
  }
}

function flipped(bytes: Uint8Array): Uint8Array {
  bytes[bytes.length >> 1] ^= 1;
  return bytes;
}

testSnapshotStore("directory", null, () => Promise.resolve(new DirectoryPlace()), 9 << 20);
testSnapshotStore("S3", absent, () => BucketPlace.start(), 12 << 20);

/** The line with which a bucket cannot be listed. */
async function failureOf(bucket: string, settings: S3Settings): Promise<string> {
  const store = await openS3Store({ bucket, prefix: "p", settings });
  try {
    await store.list();
  } catch (error) {
    return (error as Error).message;
  } finally {
    store.close();
  }
  return "none";
}

Deno.test({
  name: `S3: a wrong bucket and wrong keys are named${
    absent === null ? "" : ` (skipped: ${absent})`
  }`,
  ignore: absent !== null,
  fn: async () => {
    assert("python" in moto);
    await using server = await MotoServer.start(moto.python, { INITIAL_NO_AUTH_ACTION_COUNT: "1" });
    assert.equal(
      await failureOf(MotoServer.bucket, server.settings),
      "s3://snapshots/p: cannot be listed: the access key is not known there (InvalidAccessKeyId)",
    );
    await using open = await MotoServer.start(moto.python);
    assert.equal(
      await failureOf("elsewhere", open.settings),
      "s3://elsewhere/p: cannot be listed: there is no such bucket (NoSuchBucket)",
    );
  },
});

Deno.test("S3: a server that does not answer, or is not there, is given up in time", async () => {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const settings: S3Settings = {
    ...{ region: "us-east-1", endpoint: `http://127.0.0.1:${port}`, forcePathStyle: true },
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
    ...{ connectTimeoutMs: 100, requestTimeoutMs: 100 },
    ...{ requestChecksums: "WHEN_SUPPORTED", responseChecksums: "WHEN_SUPPORTED" },
  };
  const startedMs = performance.now();
  assert.equal(
    await failureOf("b", settings),
    "s3://b/p: cannot be listed: no answer in time (TimeoutError)",
  );
  assert(sockets.length > 1, "it was tried again");
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert.match(await failureOf("b", settings), /^s3:\/\/b\/p: cannot be listed: .*ECONNREFUSED/);
  assert(performance.now() - startedMs < 10_000);
});

/** Snapshots in a bucket. The AWS library is loaded when the first one is opened. */
import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import {
  type ObjectStore,
  ObjectStoreError,
  type StoredObject,
  type TransferListener,
} from "./object_store.ts";
import type { S3Settings } from "./s3_settings.ts";

/** A bucket takes at most 10,000 parts of one object, of at least 5 MiB each. */
const MOST_PARTS = 10_000;
const PART_BYTES = 16 << 20;
const PARTS_AT_ONCE = 3;
/** Tries of each request; the library waits longer before each. */
const ATTEMPTS = 4;

const SDK_PARTS = ["@aws-sdk/client-s3", "@aws-sdk/lib-storage"];
type Sdk = typeof import("@aws-sdk/client-s3") & typeof import("@aws-sdk/lib-storage");

/** What the server says about common mistakes, in words that tell what to change. */
const CAUSES: Readonly<Record<string, string>> = {
  NoSuchBucket: "there is no such bucket",
  InvalidAccessKeyId: "the access key is not known there",
  SignatureDoesNotMatch: "the secret key is wrong",
  AccessDenied: "access is denied to these credentials",
  Forbidden: "access is denied to these credentials",
  ExpiredToken: "the credentials have expired",
  PermanentRedirect: "the bucket is in another region",
  AuthorizationHeaderMalformed: "the bucket is in another region",
  CredentialsProviderError:
    "no credentials; set MOONCAKE_AWS_ACCESS_KEY_ID and MOONCAKE_AWS_SECRET_ACCESS_KEY, or AWS_*",
  TimeoutError: "no answer in time",
};

export interface S3Place {
  readonly bucket: string;
  /** Without slashes around it; may be empty. */
  readonly prefix: string;
  readonly settings: S3Settings;
  /** Default 16 MiB. */
  readonly partBytes?: number;
}

/** Opens a bucket; nothing is asked of the server yet. */
export async function openS3Store(place: S3Place): Promise<S3Store> {
  const { settings } = place;
  const sdk = await loadSdk(place.bucket);
  return new S3Store(
    place,
    sdk,
    new sdk.S3Client({
      region: settings.region,
      forcePathStyle: settings.forcePathStyle,
      maxAttempts: ATTEMPTS,
      retryMode: "standard",
      requestHandler: {
        connectionTimeout: settings.connectTimeoutMs,
        requestTimeout: settings.requestTimeoutMs,
        throwOnRequestTimeout: true,
      },
      requestChecksumCalculation: settings.requestChecksums,
      responseChecksumValidation: settings.responseChecksums,
      ...(settings.endpoint !== null && { endpoint: settings.endpoint }),
      ...(settings.credentials !== null && { credentials: settings.credentials }),
    }),
  );
}

/** Named by variables, so that masters without a bucket neither download nor load it. */
async function loadSdk(bucket: string): Promise<Sdk> {
  try {
    const [client, storage] = await Promise.all(SDK_PARTS.map((part) => import(part)));
    return { ...client, ...storage };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new ObjectStoreError(`s3://${bucket}: cannot load ${SDK_PARTS.join(", ")}: ${reason}`);
  }
}

/** Owns a client of one bucket. */
export class S3Store implements ObjectStore {
  readonly location: string;
  readonly #place: S3Place;
  readonly #sdk: Sdk;
  readonly #client: S3Client;

  constructor(place: S3Place, sdk: Sdk, client: S3Client) {
    const { bucket, prefix } = place;
    this.location = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.#place = place;
    this.#sdk = sdk;
    this.#client = client;
  }

  list(): Promise<StoredObject[]> {
    return this.#try("cannot be listed", async () => {
      const objects: StoredObject[] = [];
      const pages = this.#sdk.paginateListObjectsV2({ client: this.#client }, {
        Bucket: this.#place.bucket,
        Prefix: this.#key(""),
      });
      for await (const { Contents = [] } of pages) {
        for (const { Key = "", Size = 0 } of Contents) {
          const name = Key.slice(this.#key("").length);
          if (name.split("/").length === 2) objects.push({ name, bytes: Size });
        }
      }
      return objects;
    });
  }

  read(name: string, limit: number): Promise<Uint8Array | null> {
    return this.#try(`cannot read ${name}`, async () => {
      try {
        const command = new this.#sdk.GetObjectCommand({
          ...this.#object(name),
          Range: `bytes=0-${limit - 1}`,
        });
        const { Body } = await this.#client.send(command);
        return await Body?.transformToByteArray() ?? new Uint8Array(0);
      } catch (error) {
        if (error instanceof Error && error.name === "NoSuchKey") return null;
        if (error instanceof Error && error.name === "InvalidRange") return new Uint8Array(0);
        throw error;
      }
    });
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#try(`cannot write ${name}`, () => {
      const command = new this.#sdk.PutObjectCommand({ ...this.#object(name), Body: bytes });
      return this.#client.send(command);
    });
  }

  async upload(name: string, path: string, onProgress: TransferListener): Promise<void> {
    await this.#try(`cannot write ${name}`, async () => {
      const { size } = await stat(path);
      const { partBytes = PART_BYTES } = this.#place;
      const upload = new this.#sdk.Upload({
        client: this.#client,
        params: { ...this.#object(name), Body: createReadStream(path) },
        partSize: Math.max(partBytes, Math.ceil(size / MOST_PARTS)),
        queueSize: PARTS_AT_ONCE,
      });
      upload.on("httpUploadProgress", ({ loaded = 0 }) => onProgress(loaded));
      await upload.done();
    });
  }

  async download(name: string, path: string, onProgress: TransferListener): Promise<void> {
    await this.#try(`cannot read ${name}`, async () => {
      const { Body } = await this.#client.send(
        new this.#sdk.GetObjectCommand(this.#object(name)),
      );
      if (!(Body instanceof Readable)) throw new Error("the answer has no body");
      let done = 0;
      const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          done += chunk.length;
          onProgress(done);
          yield chunk;
        }
      };
      await pipeline(Body, counted, createWriteStream(path, { flags: "wx" }));
    });
  }

  async remove(names: readonly string[]): Promise<void> {
    await this.#try("cannot remove a snapshot", async () => {
      for (const name of names) {
        await this.#client.send(new this.#sdk.DeleteObjectCommand(this.#object(name)));
      }
    });
  }

  async removeUnfinished(untilMs: number): Promise<void> {
    const { bucket } = this.#place;
    await this.#try("cannot remove unfinished uploads", async () => {
      const command = new this.#sdk.ListMultipartUploadsCommand({
        Bucket: bucket,
        Prefix: this.#key(""),
      });
      const { Uploads = [] } = await this.#client.send(command);
      for (const { Key, UploadId, Initiated } of Uploads) {
        if ((Initiated?.getTime() ?? Infinity) >= untilMs) continue;
        const upload = { Bucket: bucket, Key, UploadId };
        await this.#client.send(new this.#sdk.AbortMultipartUploadCommand(upload));
      }
    });
  }

  close(): void {
    this.#client.destroy();
  }

  #object(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#place.bucket, Key: this.#key(name) };
  }

  #key(name: string): string {
    const { prefix } = this.#place;
    return prefix === "" ? name : `${prefix}/${name}`;
  }

  async #try<T>(what: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      throw new ObjectStoreError(`${this.location}: ${what}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

/** One line about what the server, the network or this machine said. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const first = error instanceof AggregateError ? error.errors[0] ?? error : error;
  const known = CAUSES[error.name];
  const message = first.message.split("\n")[0] || String((first as { code?: string }).code ?? "");
  if (known !== undefined) return `${known} (${error.name})`;
  return error.name === "Error" || message.includes(error.name)
    ? message
    : `${error.name}: ${message}`;
}

import type { Etcd3 } from "etcd3";
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import { errorText } from "./error_text.ts";
import { openEtcd } from "./etcd_client.ts";
import type { MetadataKv } from "./kv_metadata.ts";
import type { ServiceAccess } from "./service_access.ts";

const TIMEOUT_MS = 3000;

/** The reference ends each value with a newline, which is no part of the text. */
const END = "\n";

/** Texts in etcd, under plain keys. */
export class EtcdKv implements MetadataKv {
  readonly #endpoints: readonly string[];
  readonly #access: ServiceAccess;
  #opening: Promise<Etcd3> | null = null;

  constructor(endpoints: readonly string[], access: ServiceAccess) {
    this.#endpoints = endpoints;
    this.#access = access;
  }

  get(key: string): Promise<string | null> {
    return this.#ask(async (etcd) => {
      const value = await etcd.get(key);
      return value === null ? null : withoutEnd(value);
    });
  }

  put(key: string, text: string): Promise<void> {
    return this.#ask(async (etcd) => {
      await etcd.put(key).value(text + END);
    });
  }

  async claim(key: string, text: string): Promise<boolean> {
    const stored = await this.#ask((etcd) =>
      etcd.if(key, "Create", "==", 0).then(etcd.put(key).value(text + END)).commit()
    );
    return stored.succeeded || await this.get(key) === text;
  }

  delete(key: string): Promise<void> {
    return this.#ask(async (etcd) => {
      await etcd.delete().key(key);
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.#ask(async (etcd) => (await etcd.getAll().prefix(prefix).keys()).sort());
  }

  async close(): Promise<void> {
    const etcd = await this.#opening?.catch(() => null);
    etcd?.close();
  }

  async #ask<T>(call: (etcd: Etcd3) => Promise<T>): Promise<T> {
    try {
      return await call(
        await (this.#opening ??= openEtcd(this.#endpoints, this.#access, TIMEOUT_MS)),
      );
    } catch (cause) {
      const where = this.#endpoints.join(",");
      const message = `The etcd at ${where} cannot be asked: ${errorText(cause)}`;
      throw new StoreError(ErrorCode.RPC_FAIL, message, { cause });
    }
  }
}

function withoutEnd(value: string): string {
  return value.endsWith(END) ? value.slice(0, -END.length) : value;
}

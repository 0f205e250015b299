/**
 * API keys: `mk_`, 12 hexadecimal digits that name the key, `_`, and a secret of 256 random bits in
 * base64url, 59 characters in all. Of a secret only a salted SHA-256 is kept: there is nothing to
 * guess in 256 random bits, so a slow hash would protect nothing and cost everybody.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** Characters of a key. */
export const KEY_LENGTH = 59;
const ID_START = 3;
const ID_LENGTH = 12;
const FORM = /^mk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/;

/** What a key is for. */
export const ROLES = ["admin", "operator", "tenant-admin", "client", "read-only"] as const;
export type Role = (typeof ROLES)[number];

/** A key without its secret. Structured-cloneable; times are Unix milliseconds. */
export interface KeyRecord {
  readonly id: string;
  readonly role: Role;
  /** The tenant that the key is for, `null` = it is not for one alone. */
  readonly tenant: string | null;
  /** What people call it. */
  readonly label: string;
  /** Whose key it is, absent or `null` = nobody's in particular. */
  readonly user?: string | null;
  /** Whether its user is disabled; the key is not taken then. Default: no. */
  readonly isDisabled?: boolean;
  readonly createdMs: number;
  /** From then on the key is not taken any more, `null` = it does not end. */
  readonly expiresMs: number | null;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** What somebody who makes a key decides. */
export type KeyWish = Pick<KeyRecord, "role" | "tenant" | "label" | "user" | "expiresMs">;

/** Makes a key; its text is shown once and cannot be had again. */
export function createKey(wish: KeyWish, nowMs: number): { text: string; record: KeyRecord } {
  const id = randomBytes(ID_LENGTH / 2).toString("hex");
  const text = `mk_${id}_${randomBytes(32).toString("base64url")}`;
  const salt = new Uint8Array(randomBytes(16));
  const { role, tenant, label, user = null, expiresMs } = wish;
  return {
    text,
    record: {
      ...{ id, role, tenant, label, user, createdMs: nowMs, expiresMs },
      ...{ salt, hash: hashOf(text, salt) },
    },
  };
}

/** How the text of the key that a master makes by itself is told. */
export function firstKeyLine(text: string): string {
  return `the first admin key, shown only now: ${text}`;
}

/** The id in a key's text, or `null` when it is no key. */
export function keyId(text: string): string | null {
  return FORM.test(text) ? text.slice(ID_START, ID_START + ID_LENGTH) : null;
}

/** Whether a text is the key of a record. Takes as long for a wrong one as for the right one. */
export function isKeyOf(record: KeyRecord, text: string): boolean {
  return timingSafeEqual(hashOf(text, record.salt), record.hash);
}

function hashOf(text: string, salt: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(salt).update(text).digest());
}

/**
 * Where a key begins that a client has put behind the name of its tenant (`name:mk_...`, or the key
 * alone), or -1 when there is none.
 */
export function keyStart(bytes: Uint8Array, start: number, end: number): number {
  const at = end - KEY_LENGTH;
  if (at < start || bytes[at] !== 0x6d || bytes[at + 1] !== 0x6b || bytes[at + 2] !== 0x5f) {
    return -1;
  }
  return at === start || bytes[at - 1] === COLON ? at : -1;
}

const COLON = 0x3a;

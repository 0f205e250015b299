/** Keys on the admin port: who may call what, the keys themselves, and who has changed what. */
import { timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { ErrorCode } from "../../proto/error_code.ts";
import { type KeyRecord, type KeyWish, type Role, ROLES } from "../auth/api_key.ts";
import { AuditLog } from "../auth/audit_log.ts";
import { KeyRing } from "../auth/key_ring.ts";
import type { KeyTable } from "../auth/key_table.ts";
import {
  isDisabled,
  isUserName,
  MAX_USER_LENGTH,
  type User,
  userOf,
  usersOf,
} from "../auth/users.ts";
import { CHECKPOINT_PATH } from "../ha/checkpoint_fetch.ts";
import { isTenantText } from "../tenants/policy_yaml.ts";
import { textParameter } from "./query.ts";
import { type Peer, readBody } from "./request_guard.ts";
import { type AppContext, json, refusal, type Register } from "./route_answers.ts";
import { tenantParameter } from "./tenant_routes.ts";

/** Health checks and the look for a leader come from programs that have no key. */
const OPEN = /^\/(health(\/.*)?|role|ha_status|leader|ready|openapi\.json)$/;
/** What a key of one tenant may ask about that tenant, and which parameter names the tenant. */
const OF_TENANT = /^\/(query_key|batch_query_keys|get_all_keys|api\/v1\/tenant(s|_quotas))$/;
const WHY_OF_TENANT = /^\/v1\/(why|why-miss)$/;
/** A question that is a POST; its body names the tenant. */
const LOCATE = "/v1/route";
const KEYS = "/api/v1/keys";
const ROTATE = "/api/v1/keys/rotate";
const USERS = "/api/v1/users";
const BODY_LIMITS = { maxBytes: 16 * 1024, timeoutMs: 10_000 };
const MAX_LABEL = 256;
const MAX_KEYS = 10_000;
const MAX_SECONDS = 100 * 365 * 24 * 3600;
const DEFAULT_GRACE_SECONDS = 3600;

export interface AdminAuthOptions {
  /** Owned from now on. */
  keys: KeyTable;
  auditPath: string;
  /** What opens the checkpoint to the other masters of a cluster, `null` = nothing does. */
  checkpointToken: string | null;
  /** Unix milliseconds. */
  now: () => number;
  /** Hands the keys to the thread that serves RPCs, unless it has them already. */
  publish?: (records: KeyRecord[]) => Promise<void>;
}

export class AdminAuth implements AsyncDisposable {
  readonly #table: KeyTable;
  readonly #audit: AuditLog;
  readonly #options: AdminAuthOptions;
  readonly #ring: KeyRing;
  readonly #callers = new WeakMap<Request, KeyRecord>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: AdminAuthOptions) {
    this.#table = options.keys;
    this.#audit = new AuditLog(options.auditPath);
    this.#options = options;
    this.#ring = new KeyRing(() => options.now());
    this.keysChanged();
  }

  get records(): KeyRecord[] {
    return this.#table.records;
  }

  /** Makes an admin key when there is none that is taken, and returns its text. */
  async firstKey(): Promise<string | null> {
    const nowMs = this.#options.now();
    const isLive = (record: KeyRecord) =>
      record.role === "admin" && !isDisabled(record) &&
      (record.expiresMs === null || record.expiresMs > nowMs);
    if (this.records.some(isLive)) return null;
    const wish: KeyWish = { role: "admin", tenant: null, label: "first key", expiresMs: null };
    const { text } = await this.#table.create(wish, nowMs);
    this.keysChanged();
    return text;
  }

  /** The table holds other keys: from now on those are taken. */
  keysChanged(): void {
    this.#ring.replace(this.records);
  }

  /** Lets calls through whose key is for them, and notes the outcome of those that are no reads. */
  guard(): MiddlewareHandler<{ Bindings: Peer }> {
    return async (c, next) => {
      const { method, path } = c.req;
      if (method === "GET" && OPEN.test(path)) return await next();
      const token = /^Bearer (\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
      if (path === CHECKPOINT_PATH && this.#isOfCluster(token)) return await next();
      const nowMs = this.#options.now();
      this.#ring.tick(nowMs);
      const caller = token === undefined ? null : this.#ring.find(token);
      let refused: Response | null = null;
      if (caller === null) {
        refused = refusal(ErrorCode.UNAUTHENTICATED, "a key is missing or wrong");
      } else if (!mayCall(caller, method, path, c.req.url)) {
        refused = refusal(ErrorCode.PERMISSION_DENIED, `the key is not for this: ${caller.role}`);
      }
      refused?.headers.set("www-authenticate", "Bearer");
      if (refused === null) {
        this.#callers.set(c.req.raw, caller!);
        await next();
      }
      if (method !== "GET") {
        const url = new URL(c.req.url);
        this.#audit.append({
          ...{ timeMs: nowMs, key: caller?.id ?? null, role: caller?.role ?? null },
          user: caller?.user ?? null,
          ...{ peer: c.env.host, method, target: url.pathname + url.search },
          status: (refused ?? c.res).status,
        });
      }
      return refused ?? undefined;
    };
  }

  /** Whether the caller may ask about a tenant; for questions that name it in their body. */
  mayAskAbout(c: AppContext, tenant: string): boolean {
    const own = this.#caller(c).tenant;
    return own === null || own === tenant;
  }

  /** `/api/v1/keys`. */
  addRoutes(on: Register): void {
    const invalid = (message: string) => refusal(ErrorCode.INVALID_PARAMS, message);
    const change: Register = (id, handler) => on(id, (c) => this.#inTurn(() => handler(c)));
    on("apiKeys", (c) => {
      const caller = this.#caller(c);
      const shown = this.records.filter((record) => manages(caller, record));
      return json({ success: true, data: shown.map(keyDocument) });
    });
    change("createApiKey", async (c) => {
      const wish = await this.#readWish(c);
      if (typeof wish === "string") return invalid(wish);
      if (!manages(this.#caller(c), wish)) return refusal(ErrorCode.PERMISSION_DENIED);
      if (wish.user != null && userOf(this.records, wish.tenant, wish.user)?.isDisabled) {
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, `user ${wish.user} is disabled`);
      }
      if (this.records.length >= MAX_KEYS) {
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, `there are ${MAX_KEYS} keys`);
      }
      const { text, record } = await this.#table.create(wish, this.#options.now());
      await this.#publish();
      return json({ success: true, data: { key: text, ...keyDocument(record) } });
    });
    change("rotateApiKey", async (c) => {
      const old = this.#named(c);
      if (old === null) return refusal(ErrorCode.OBJECT_NOT_FOUND);
      const nowMs = this.#options.now();
      if (old.expiresMs !== null && old.expiresMs <= nowMs) {
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, "the key has ended");
      }
      if (isDisabled(old)) {
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, `user ${old.user} is disabled`);
      }
      const grace = secondsOf(c.req.query("grace_seconds") ?? String(DEFAULT_GRACE_SECONDS));
      if (grace === null) return invalid("grace_seconds is not a number of seconds");
      const { text, record } = await this.#table.create(old, nowMs);
      const endMs = Math.min(old.expiresMs ?? Infinity, nowMs + grace * 1000);
      await this.#table.set({ ...old, expiresMs: endMs });
      await this.#publish();
      return json({ success: true, data: { key: text, ...keyDocument(record) } });
    });
    change("deleteApiKey", async (c) => {
      const record = this.#named(c);
      if (record === null) return refusal(ErrorCode.OBJECT_NOT_FOUND);
      await this.#table.delete(record.id);
      await this.#publish();
      return json({ success: true, data: null });
    });
  }

  /** `/api/v1/users`. */
  addUserRoutes(on: Register): void {
    const invalid = (message: string) => refusal(ErrorCode.INVALID_PARAMS, message);
    const change: Register = (id, handler) => on(id, (c) => this.#inTurn(() => handler(c)));
    on("apiUsers", (c) => {
      const caller = this.#caller(c);
      const shown = this.records.filter((record) => manages(caller, record));
      return json({ success: true, data: usersOf(shown).map(userDocument) });
    });
    change("changeApiUser", async (c) => {
      const name = textParameter(c.req.url, "user");
      if (name === null || name === "") return invalid("user is missing");
      const disabled = await readDisabled(c);
      if (typeof disabled === "string") return invalid(disabled);
      const user = userOf(this.records, tenantParameter(c.req.url), name);
      const caller = this.#caller(c);
      if (!user?.keys.some((key) => manages(caller, key))) {
        return refusal(ErrorCode.OBJECT_NOT_FOUND, `user ${name} has no keys there`);
      }
      if (!user.keys.every((key) => manages(caller, key))) {
        const message = `user ${name} has keys that the caller does not manage`;
        return refusal(ErrorCode.PERMISSION_DENIED, message);
      }
      if (disabled && user.keys.some(({ id }) => id === caller.id)) {
        const message = `user ${name} makes this call: allowed: with a key of somebody else`;
        return refusal(ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS, message);
      }
      await this.#table.setAll(user.keys.map((key) => ({ ...key, isDisabled: disabled })));
      await this.#publish();
      return json({
        success: true,
        data: userDocument(userOf(this.records, user.tenant, user.name)!),
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#audit[Symbol.dispose]();
    await this.#table[Symbol.asyncDispose]();
  }

  /** Does `work` when no other change of keys is under way. */
  #inTurn<T>(work: () => Promise<T> | T): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Whether a token is the one that only the masters of this cluster can read. */
  #isOfCluster(token: string | undefined): boolean {
    const own = this.#options.checkpointToken;
    if (own === null || token === undefined || token.length !== own.length) return false;
    const encoder = new TextEncoder();
    return timingSafeEqual(encoder.encode(own), encoder.encode(token));
  }

  #caller(c: AppContext): KeyRecord {
    return this.#callers.get(c.req.raw)!;
  }

  /** The key that a call names by `id`, if the caller may know of it. */
  #named(c: AppContext): KeyRecord | null {
    const record = this.#table.get(c.req.query("id") ?? "");
    return record !== null && manages(this.#caller(c), record) ? record : null;
  }

  async #publish(): Promise<void> {
    this.keysChanged();
    await this.#options.publish?.(this.records);
  }

  /** What a key is to be like, or what is wrong with that. */
  async #readWish(c: AppContext): Promise<KeyWish | string> {
    const body = await readBody(c.req.raw, BODY_LIMITS);
    if (typeof body === "string") return `the body was not read: ${body}`;
    let wish: Record<string, unknown>;
    try {
      wish = JSON.parse(new TextDecoder().decode(body));
    } catch {
      return "the body is not JSON";
    }
    if (typeof wish !== "object" || wish === null) return "the body is not an object";
    const {
      role,
      tenant = null,
      label = "",
      user = null,
      expires_in_seconds: seconds = null,
      ...rest
    } = wish;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) return `${unknown} is unknown`;
    if (!ROLES.includes(role as Role)) return `role ${role}; allowed: ${ROLES.join(", ")}`;
    if (typeof label !== "string" || label.length > MAX_LABEL) {
      return `label is no text of at most ${MAX_LABEL} characters`;
    }
    if (user !== null && !isUserName(user)) {
      return `user is no text of 1 to ${MAX_USER_LENGTH} characters without control characters`;
    }
    if (tenant !== null && (typeof tenant !== "string" || !isTenantText(tenant))) {
      return "tenant is no name of a tenant";
    }
    const forAll = role === "admin" || role === "operator";
    if (forAll && tenant !== null) return `a key of the role ${role} is not for one tenant`;
    if (!forAll && role !== "read-only" && tenant === null) return `role ${role} needs a tenant`;
    const lasts = seconds === null ? null : secondsOf(String(seconds));
    if (seconds !== null && (lasts === null || lasts === 0)) {
      return "expires_in_seconds is not a number of seconds";
    }
    const expiresMs = lasts === null ? null : this.#options.now() + lasts * 1000;
    return { role: role as Role, tenant, label, user, expiresMs };
  }
}

/** Whether a key is for a call. */
function mayCall(
  { role, tenant: own }: KeyRecord,
  method: string,
  path: string,
  url: string,
): boolean {
  if (role === "admin") return true;
  if (path === KEYS || path === ROTATE || path === USERS) return role === "tenant-admin";
  if (role === "operator") return true;
  if (path === CHECKPOINT_PATH) return false;
  const isRead = method === "GET" || method === "POST" && path === LOCATE;
  if (own === null) return isRead;
  if (isRead && path === LOCATE) return true;
  if (isRead && WHY_OF_TENANT.test(path)) return textParameter(url, "tenant") === own;
  if (tenantParameter(url) !== own) return false;
  if (isRead) return OF_TENANT.test(path);
  return role === "tenant-admin" && method === "POST" && path === "/api/v1/remove_all";
}

/** Whether a caller may make, see and end a key. */
function manages(caller: KeyRecord, key: KeyWish): boolean {
  if (caller.role === "admin") return true;
  const lower = key.role === "client" || key.role === "read-only";
  return caller.role === "tenant-admin" && lower && key.tenant === caller.tenant;
}

function secondsOf(text: string): number | null {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_SECONDS ? Number(text) : null;
}

/** Whether a user is to be disabled, or what is wrong with the body that says so. */
async function readDisabled(c: AppContext): Promise<boolean | string> {
  const body = await readBody(c.req.raw, BODY_LIMITS);
  if (typeof body === "string") return `the body was not read: ${body}`;
  try {
    const { disabled, ...rest } = JSON.parse(new TextDecoder().decode(body));
    if (typeof disabled === "boolean" && Object.keys(rest).length === 0) return disabled;
  } catch {
    // It is no JSON, or `null`.
  }
  return 'the body is not {"disabled": true} or {"disabled": false}';
}

function keyDocument(
  { id, role, tenant, label, user = null, createdMs, expiresMs, ...rest }: KeyRecord,
) {
  const time = (ms: number | null) => ms === null ? null : new Date(ms).toISOString();
  const { isDisabled: disabled = false } = rest;
  return {
    ...{ id, role, tenant, label, user, disabled },
    ...{ created: time(createdMs), expires: time(expiresMs) },
  };
}

function userDocument({ name, tenant, isDisabled: disabled, keys }: User) {
  return { user: name, tenant, disabled, keys: keys.map(({ id }) => id) };
}

/** `/v1/config`: the settings in force, and changes of them. */
import { ErrorCode } from "../../proto/error_code.ts";
import { StoreError } from "../../proto/error.ts";
import type { AdminBackend } from "./backend.ts";
import { explained, readBodyOf } from "./answer_bodies.ts";
import type { ShownFlag } from "../live_config.ts";
import { oneOf } from "./hit_stats.ts";
import type { Json } from "./json_text.ts";
import { rawParameter } from "./query.ts";
import { json, type Register, standbyAnswer } from "./route_answers.ts";
import type { SettingsKeeper } from "./settings_table.ts";
import { standbyRefusal } from "./standby.ts";

const MAX_BYTES = 64 * 1024;

export interface ConfigRoutesOptions {
  backend: AdminBackend;
  version: string;
  /** `null` = nothing outlives the process. */
  settings: SettingsKeeper | null;
  /** Told the level from which on lines are logged, after every change. */
  onLogLevel: (level: number) => void;
}

export function addConfigRoutes(register: Register, options: ConfigRoutesOptions): void {
  const { backend, version, settings, onLogLevel } = options;
  const on: Register = (id, handler) => register(id, (c) => explained(() => handler(c)));
  const document = (flags: Record<string, ShownFlag>): Json => ({
    version,
    flags: new Map(Object.entries(flags).map(([name, shown]) => [name, { ...shown }])),
  });
  on("config", async () => json(document(await backend.config())));
  on("changeConfig", async (c) => {
    const body = await readBodyOf(c, MAX_BYTES);
    if (body instanceof Response) return body;
    const wanted = rawParameter(c.req.url, "persist") ?? "false";
    const persist = oneOf("persist", wanted, ["true", "false"]) === "true";
    if (persist && settings === null) {
      const message = "persist=true: nothing outlives this master; allowed: false";
      throw new StoreError(ErrorCode.UNAVAILABLE_IN_CURRENT_MODE, message);
    }
    const refused = persist ? await standbyRefusal(backend) : null;
    if (refused !== null) return standbyAnswer(refused);
    const changes = readChanges(body);
    const flags = await backend.changeConfig(changes, persist);
    onLogLevel(flags.minloglevel.value as number);
    if (persist) await keep(settings!, changes);
    return json(document(flags));
  });
}

async function keep(settings: SettingsKeeper, changes: Record<string, string | null>) {
  try {
    await settings.keep(changes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `the change is in force, but could not be kept: ${reason}`;
    throw new StoreError(ErrorCode.PERSISTENT_FAIL, message);
  }
}

/** Reads an object of flags; the values as the text that a flag would have. */
function readChanges(body: Uint8Array): Record<string, string | null> {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    document = null;
  }
  if (document === null || typeof document !== "object" || Array.isArray(document)) {
    throw new StoreError(ErrorCode.INVALID_PARAMS, "the body is not a JSON object of flags");
  }
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => {
      if (value === null) return [name, null];
      if (["string", "number", "boolean"].includes(typeof value)) return [name, String(value)];
      throw new StoreError(ErrorCode.INVALID_PARAMS, `${name}: not a single value`);
    }),
  );
}

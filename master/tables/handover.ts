/**
 * Where the small tables of a cluster begin, and where they go when one of its masters goes on alone.
 *
 * The first leader of a cluster takes its own files in: `tables.kv` and the quota file. Marks among
 * the entries say that this has happened, so that no later leader does it again.
 */
import { createKey, type KeyRecord } from "../auth/api_key.ts";
import { isDisabled } from "../auth/users.ts";
import type { MasterCore } from "../core/core.ts";
import { SmallTable, type TableChange } from "../core/small_tables.ts";
import { isSameRules, readRules, type TenantRules } from "../core/tenant_rules.ts";
import { applyPolicies, type LoadedPolicies, type Policies } from "../tenants/load_policies.ts";
import { replacePolicies } from "../tenants/policy_file.ts";
import { entryText, keyChange, keyRecord, settingChange } from "./entries.ts";
import { type LocalTables, replaceLocalTables } from "./local_tables.ts";

const encoder = new TextEncoder();
/** Keys, documents and settings were taken in. */
const TABLES_MARK = encoder.encode("tables");
/** Quotas and rules were taken in, by the first leader with tenants. */
const QUOTAS_MARK = encoder.encode("quotas");
const SET = new Uint8Array([1]);

/** Whether the cluster of a core has taken in what its first leader had. */
export function hasTakenIn(core: MasterCore): boolean {
  return core.tables.view.get(SmallTable.MARK, TABLES_MARK) !== null;
}

/** What a leader has beside the log. */
export interface OwnTables {
  readonly local: LocalTables & { readonly offlineKeys: readonly KeyRecord[] };
  /** `null` = multi-tenancy is off. */
  readonly policies: LoadedPolicies | null;
  /** Whether there must be an admin key. */
  readonly requireAuth: boolean;
  readonly info: (line: string) => void;
  readonly warn: (line: string) => void;
}

/**
 * Lets a core that has begun to lead take in what the cluster has not got yet. Returns the text of the
 * admin key that was made because there was none, and its id. Throws what `applyPolicies` throws.
 */
export function takeIn(core: MasterCore, own: OwnTables, nowMs: number) {
  const { local, policies, info } = own;
  if (!hasTakenIn(core)) {
    const { keys, documents, settings } = local;
    keys.forEach((record) => set(core, keyChange(record)));
    for (const { key, value } of documents) set(core, { table: SmallTable.DOCUMENT, key, value });
    for (const [name, text] of Object.entries(settings)) set(core, settingChange(name, text));
    set(core, { table: SmallTable.MARK, key: TABLES_MARK, value: SET });
    const count = keys.length + documents.length + Object.keys(settings).length;
    if (count > 0) {
      info(
        `the cluster takes over ${keys.length} keys, ${documents.length} metadata documents and ` +
          `${Object.keys(settings).length} settings of this master`,
      );
    }
  }
  if (policies !== null) takePolicies(core, policies, own);
  for (const record of local.offlineKeys) set(core, keyChange(record));
  return own.requireAuth ? firstKey(core, nowMs) : null;
}

function takePolicies(core: MasterCore, policies: LoadedPolicies, { info, warn }: OwnTables): void {
  const view = core.tables.view;
  if (view.get(SmallTable.MARK, QUOTAS_MARK) === null) {
    applyPolicies(core, policies);
    set(core, { table: SmallTable.MARK, key: QUOTAS_MARK, value: SET });
    if (policies.quotas.size > 0) {
      info(`the cluster takes over ${policies.quotas.size} quotas from ${policies.path}`);
    }
    return;
  }
  const { quotas, rules } = policiesOf(core);
  const differing = Array.from(policies.quotas).filter(([name, bytes]) =>
    quotas.get(name) !== bytes || !isSameRules(rules.get(name), policies.rules.get(name))
  );
  if (differing.length === 0) return;
  const names = differing.slice(0, 3).map(([name]) => `"${name}"`).join(", ");
  const more = differing.length > 3 ? ` and ${differing.length - 3} more` : "";
  warn(
    `the quota file ${policies.path} differs from what the cluster has, which holds: tenants ` +
      `${names}${more}; change them with PUT /api/v1/tenant_quotas and /api/v1/tenants`,
  );
}

/** Makes an admin key when there is none that is taken. */
function firstKey(core: MasterCore, nowMs: number): { text: string; id: string } | null {
  for (const { value } of core.tables.view.each(SmallTable.KEY)) {
    const record = keyRecord(value);
    const { role, expiresMs } = record;
    const lasts = expiresMs === null || expiresMs > nowMs;
    if (role === "admin" && lasts && !isDisabled(record)) return null;
  }
  const wish = { role: "admin", tenant: null, label: "first key", expiresMs: null } as const;
  const { text, record } = createKey(wish, nowMs);
  set(core, keyChange(record));
  return { text, id: record.id };
}

export interface BringHomeOptions {
  tablesPath: string;
  /** Path of the quota file, `null` = multi-tenancy is off. */
  policyPath: string | null;
  /** Keeps what the core has told; `false` = it cannot be kept. */
  commit: () => boolean;
  info: (line: string) => void;
}

/**
 * Moves the small tables of the cluster that a lone master was in into the files of a lone master,
 * which they replace. Returns quotas and rules, `null` = there are none to move. Throws an `Error` when a
 * file cannot be written; the next start tries again.
 */
export async function bringHome(
  core: MasterCore,
  { tablesPath, policyPath, commit, info }: BringHomeOptions,
): Promise<Policies | null> {
  const view = core.tables.view;
  const tables = hasTakenIn(core);
  const movesQuotas = policyPath !== null && view.get(SmallTable.MARK, QUOTAS_MARK) !== null;
  const policies = movesQuotas ? policiesOf(core) : null;
  if (tables) {
    const keys = Array.from(view.each(SmallTable.KEY), ({ value }) => keyRecord(value));
    const documents = Array.from(view.each(SmallTable.DOCUMENT));
    const settings = Object.fromEntries(
      Array.from(
        view.each(SmallTable.SETTING),
        ({ key, value }) => [entryText(key), entryText(value)],
      ),
    );
    await replaceLocalTables(tablesPath, { keys, documents, settings });
    info(`took over ${keys.length} keys and ${documents.length} documents of the cluster`);
  }
  if (policies !== null) {
    const { quotas, rules } = policies;
    await replacePolicies(policyPath!, quotas, rules);
    info(`took over ${quotas.size} quotas of the cluster; they are in ${policyPath}`);
  }
  if (!tables && policies === null) return null;
  // Quotas are dropped last: with tenants switched off they wait for a later start.
  const stays = ({ table, key }: TableChange) =>
    !movesQuotas &&
    (table === SmallTable.QUOTA || table === SmallTable.RULES ||
      table === SmallTable.MARK && isSame(key, QUOTAS_MARK));
  core.tables.drop((entry) => !stays(entry));
  if (!commit()) throw new Error("the tables of the cluster could not be moved");
  return policies;
}

function policiesOf(core: MasterCore): Policies {
  const quotas = new Map<string, bigint>();
  for (const { key, value } of core.tables.view.each(SmallTable.QUOTA)) {
    const view = new DataView(value.buffer, value.byteOffset, value.length);
    quotas.set(entryText(key), view.getBigUint64(0, true));
  }
  const rules = new Map<string, TenantRules>();
  for (const { key, value } of core.tables.view.each(SmallTable.RULES)) {
    rules.set(entryText(key), readRules(value)!);
  }
  return { quotas, rules };
}

function set(core: MasterCore, { table, key, value }: TableChange): void {
  core.tables.set(table as SmallTable, key, value);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

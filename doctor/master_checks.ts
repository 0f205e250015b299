/** The master that a node or client is to join: whether it answers, its version and its time. */
import { openConnector } from "../client/connection/open_connector.ts";
import { parseMasterAddress } from "../client/leader/address.ts";
import { openMaster, withAdvice } from "../client/setup.ts";
import { formatHostPort } from "../client/transfer/address.ts";
import { systemClock } from "../client/transfer/clock.ts";
import { errorText } from "../client/transfer/error_text.ts";
import { keyHeaders } from "../master/cli/admin_key.ts";
import { VERSION } from "../master/version.ts";
import { type Check, type Finding, note, ok, problem } from "./finding.ts";
import type { DoctorOptions } from "./flags.ts";

const ADMIN_PORT = 9003;
/** The answer tells whole seconds. */
const SKEW_MS = 2000;
const MUCH_SKEW_MS = 60_000;

const rpc: Check = {
  name: "master",
  roles: ["store", "client"],
  async run(_machine, { node }) {
    const { masterServerAddress: given } = node.settings;
    if (!node.given.has("masterServerAddress")) {
      return ok("not asked: --master=HOST:PORT names one");
    }
    const connector = openConnector("off");
    const { rpc, client } = openMaster(node.settings, systemClock, () => {}, connector);
    try {
      await client.checkVersion();
      return ok(`the master at ${given} answers and speaks this protocol`);
    } catch (error) {
      return problem(errorText(withAdvice(error, node.settings, rpc)));
    } finally {
      await rpc.close();
      await connector[Symbol.asyncDispose]();
    }
  },
};

/** Where the admin server is; `null` = it is not known. */
function adminOf({ admin, node }: DoctorOptions): string | null {
  if (admin !== null) return admin;
  if (!node.given.has("masterServerAddress")) return null;
  const address = parseMasterAddress(node.settings.masterServerAddress);
  return address?.kind === "one" ? formatHostPort(address.host, ADMIN_PORT) : null;
}

const admin: Check = {
  name: "versions and time",
  roles: ["master", "store", "client"],
  async run(machine, options) {
    const at = adminOf(options);
    if (at === null) return ok("not compared: --admin=HOST:PORT names a master's admin server");
    let response: Response, text: string;
    const before = machine.wall();
    try {
      response = await machine.fetch(`http://${at}/v1/config`, keyHeaders());
      text = await response.text();
    } catch (error) {
      return note(
        `the admin server at ${at} cannot be asked: ${errorText(error)}`,
        "--admin=HOST:PORT",
      );
    }
    const after = machine.wall();
    return [
      ...timeFindings(response, before, after),
      ...versionFindings(at, response, text),
    ];
  },
};

function timeFindings(response: Response, before: number, after: number): Finding[] {
  const told = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(told)) return note("the master does not tell its time");
  // What it says is up to a second old, and was said between the two moments.
  const late = Math.max(0, before - (told + 1000));
  const early = Math.max(0, told - after);
  const skew = Math.max(late, early);
  if (skew <= SKEW_MS) return ok("the clocks of this machine and of the master agree");
  const text = `the clock of this machine is ${(skew / 1000).toFixed(0)} s ` +
    `${late > early ? "ahead of" : "behind"} that of the master`;
  const fix = "NTP on both machines: timedatectl set-ntp true";
  return skew > MUCH_SKEW_MS
    ? problem(`${text}: certificates and pins suffer`, fix)
    : note(text, fix);
}

function versionFindings(at: string, response: Response, text: string): Finding[] {
  if (response.status === 401 || response.status === 403) {
    return note(`the admin server at ${at} asks for a key`, "export SNOWSKIN_ADMIN_KEY=...");
  }
  let version: unknown;
  try {
    version = (JSON.parse(text) as { version?: unknown }).version;
  } catch {
    version = undefined;
  }
  if (typeof version !== "string") return note(`${at} is no admin server of Snowskin`);
  return version === VERSION
    ? ok(`both are version ${VERSION}`)
    : note(`the master is version ${version}, this is ${VERSION}`, "the same version on both");
}

export const masterChecks: readonly Check[] = [rpc, admin];

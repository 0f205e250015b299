/** `snowskin why`: asks a master's admin server what became of a key, or why lookups miss. */
import { parseArgs } from "node:util";
import { keyHeaders } from "./cli/admin_key.ts";

const USAGE = `snowskin why: what became of a key, and why lookups miss

Usage: snowskin why KEY [FLAGS]
       snowskin why --misses [FLAGS]

  --admin=HOST:PORT  admin server of the master (127.0.0.1:9003); its key: SNOWSKIN_ADMIN_KEY
  --tenant=NAME      tenant of the key; with --misses only the misses of that tenant
  --misses           count the causes of misses instead of explaining one key
  --last=WINDOW      1m, 5m or 1h, with --misses (5m)
  --json             print the answer as it comes

Exit codes: 0 answered, 1 the master cannot be asked, 2 bad flags.
`;

// deno-lint-ignore no-explicit-any -- answers of the admin server, described in docs/admin-api.md
type Document = any;

/** Runs the command; `fetcher` asks the server. */
export async function main(args: string[], fetcher: typeof fetch = fetch): Promise<number> {
  const options = readOptions(args);
  if (typeof options === "string") {
    console.error(`snowskin why: ${options}. See snowskin why --help`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const { admin, json, misses, parameters } = options;
  const url = `http://${admin}/v1/${misses ? "why-miss" : "why"}?${parameters}`;
  let document: Document;
  try {
    document = await (await fetcher(url, { headers: keyHeaders() })).json();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`snowskin why: --admin=${admin}: cannot be asked: ${reason}`);
    return 1;
  }
  if (document.success === false) {
    console.error(`snowskin why: ${document.error_message}`);
    return 1;
  }
  console.log(json ? JSON.stringify(document) : misses ? missesText(document) : keyText(document));
  return 0;
}

function readOptions(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        admin: { type: "string", default: "127.0.0.1:9003" },
        tenant: { type: "string" },
        last: { type: "string" },
        misses: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const { admin, tenant, last, misses, json, help } = values;
    const parameters = new URLSearchParams();
    if (help) return { admin, misses, json, help, parameters: "" };
    if (positionals.length !== (misses ? 0 : 1)) {
      return misses ? "--misses takes no key" : "exactly one key is needed";
    }
    if (last !== undefined && !misses) return `--last=${last}: only with --misses`;
    if (!misses) parameters.set("key", positionals[0]);
    if (tenant !== undefined) parameters.set("tenant", tenant);
    if (last !== undefined) parameters.set("last", last);
    // Keys are percent-encoded bytes, in which "+" stands for itself.
    return { admin, misses, json, help, parameters: `${parameters}`.replaceAll("+", "%20") };
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
}

function keyText({ key, state, answer, now, events }: Document): string {
  const lines = [`${key}: ${state}. ${answer}`];
  if (now !== null) {
    const used = now.last_used_ms === 0 ? "" : `, last used ${time(now.last_used_ms)}`;
    lines.push(`  now       ${now.bytes} bytes, ${now.replicas} replicas${used}`);
    if (now.put_ms > 0) lines.push(`  put       ${time(now.put_ms)} by ${now.client}`);
  }
  for (const { event, at_s, put_s, bytes } of events) {
    const put = put_s > 0 ? `, put ${time(put_s * 1000)}` : "";
    lines.push(`  ${time(at_s * 1000)}  ${event.replaceAll("_", " ")} (${bytes} bytes${put})`);
  }
  return lines.join("\n");
}

function missesText({ last, lookups, misses, explained, causes, advice }: Document): string {
  const share = lookups === 0 ? "" : ` (${(100 * misses / lookups).toFixed(1)} %)`;
  const found = Object.entries(causes as Record<string, number>)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([cause, count]) => `  ${cause.replaceAll("_", " ").padEnd(16)} ${count}`);
  const rest = misses > explained ? [`  not explained    ${misses - explained}`] : [];
  const head = `last ${last}: ${misses} of ${lookups} lookups missed${share}`;
  return [head, ...found, ...rest, advice].join("\n");
}

function time(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19) + "Z";
}

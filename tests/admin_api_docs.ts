/** Writes `docs/admin-api.md` from the table of routes: `deno task docs`. */
import type { Parameter, Route, Schema } from "../master/http/route_types.ts";
import { ROUTES } from "../master/http/routes.ts";

const FILE = new URL("../docs/admin-api.md", import.meta.url);

const INTRODUCTION = `# Admin API

The HTTP server on \`--metrics_port\` (9003). \`GET /openapi.json\` describes it as OpenAPI 3.1, with the
bodies of all answers. This page is made from the same table: \`deno task docs\`.

Reads are open. What is marked **change** is taken from this machine only, unless the master has
\`--insecure\`, and never from pages of other sites. Every call can be answered 503 when the master
does not answer, and 500 when it failed.

A refusal is \`{"success": false, "error_code": -600, "error_message": "..."}\`; the message names what
is wrong and what is allowed.

## What the answers know

- **\`POST /v1/route\`** takes no lease and counts nothing, so a router may ask as often as it likes.
  With \`"touch": true\` it is a read. At most 10,000 keys; more are answered 413. \`seq_hashes\` and
  \`token_ids\` are refused. The prefix of a host counts keys from the first one on without a gap.
- **\`GET /v1/stats/hits\`** counts what the master knows: the tier of the first readable replica, the
  tenant, the call, the data type of the object, and the model and layer that its key tells by
  \`--key_format\` (see [operations](operations.md#models-and-layers)); what a key does not tell is
  \`unknown\`. No request tells the host of its reader. The first 64 tenants and 256 models, and layers
  below 1024, are counted by name, others together. A window begins up to 5 s (with \`1h\` up to 60 s)
  before what was asked for; by model or layer at the last change of the format, if that is later.
- **\`GET /v1/why\`** remembers the last \`--life_events\` ends and changes of all keys (131,072 by
  default, 33 bytes each) by a 32-bit hash and the length of the key: about one in 30,000 keys that
  were never stored is taken for another one. Times are exact to a second. Calls that remove do not
  say which client they come from. What happened before a restart is not known.
- **\`GET /v1/why-miss\`** explains up to 8192 misses between two ticks (half a second at most); the
  others are counted only.
- **\`PATCH /v1/config\`** changes all flags of its body or none. With \`persist=true\` the change is made
  again at the next start; it then stands above configuration files and the environment, and below the
  command line.
`;

/** The page, as \`deno fmt\` leaves it. */
export async function adminApiPage(): Promise<string> {
  const routes: [string, Route][] = Object.entries(ROUTES);
  const tags = [...new Set(routes.map(([, { tag }]) => tag))];
  const sections = tags.map((tag) => {
    const own = routes.filter(([, route]) => route.tag === tag);
    return `## ${tag[0].toUpperCase()}${tag.slice(1)}\n\n${own.map(routeText).join("\n")}`;
  });
  return await formatted([INTRODUCTION, ...sections].join("\n"));
}

function routeText([, route]: [string, Route]): string {
  const { method, path, access, summary, parameters, body, answers } = route;
  const mark = access === "change" ? " **change**" : "";
  const lines = [`### ${method.toUpperCase()} ${path}`, "", `${summary}${mark}`, ""];
  for (const parameter of parameters) lines.push(`- ${parameterText(parameter)}`);
  if (body !== null) lines.push(`- body: ${schemaText(body)}`);
  for (const [status, { description }] of Object.entries(answers)) {
    if (status !== "500" && status !== "503" || description.startsWith("Not ")) {
      lines.push(`- ${status}: ${description}`);
    }
  }
  return lines.join("\n") + "\n";
}

function parameterText({ name, description, schema, required }: Parameter): string {
  const kind = schemaText(schema);
  return `\`${name}\`${required ? "" : " (optional)"}: ${description} ${kind}`.trim();
}

function schemaText(schema: Schema): string {
  if (typeof schema === "boolean") return "";
  const { enum: values, properties } = schema as { enum?: unknown[]; properties?: object };
  if (values !== undefined) return `One of ${values.map((value) => `\`${value}\``).join(", ")}.`;
  if (properties !== undefined) return `JSON object of \`${Object.keys(properties).join("`, `")}\``;
  return schema.type === "object" ? "JSON object of flag names to values" : "";
}

async function formatted(text: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "--line-width", "100", "-"],
    ...{ stdin: "piped", stdout: "piped", stderr: "null" },
  });
  await using process = command.spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  return new TextDecoder().decode((await process.output()).stdout);
}

if (import.meta.main) await Deno.writeTextFile(FILE, await adminApiPage());

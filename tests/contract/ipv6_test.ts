/** Masters, nodes and clients that reach each other over IPv6. */
import assert from "node:assert/strict";
import { StoreClient } from "../../client/store_client.ts";
import { freePort, LocalProcess, startMaster, startNode } from "../../examples/local_cluster.ts";
import { namespacesAbsent } from "../faults/namespaces.ts";
import { listenersOf } from "../support/listening_ports.ts";
import { type LoopMode, loopModes } from "../support/master_process.ts";
import { findWheel } from "../support/wheel.ts";

const MIB = 1 << 20;
const support = new URL("../support/", import.meta.url).pathname;
const value = new Uint8Array(300_000).map((_, i) => i * 5);
const loopback = Deno.networkInterfaces().some(({ address }) => address === "::1")
  ? null
  : "there is no IPv6 loopback";
const wheel = await findWheel();

function test(missing: string | null, name: string, fn: () => Promise<void>): void {
  const why = missing === null ? "" : ` (skipped: ${missing})`;
  Deno.test({ name: `${name}${why}`, ignore: missing !== null, fn });
}

function testEach(name: string, fn: (mode: LoopMode) => Promise<void>): void {
  for (const mode of loopModes) {
    test(mode.absent ?? loopback, `${mode.name}: ${name}`, () => fn(mode));
  }
}

/** Master and node at `host`, one node for each kind of metadata. */
async function cluster(
  host: string,
  { env = {}, launcher = [] }: { env?: Record<string, string>; launcher?: readonly string[] },
) {
  const metadataPort = await freePort();
  const { process: master, address } = await startMaster([
    ...[`--http_metadata_server_host=${host}`, `--http_metadata_server_port=${metadataPort}`],
  ], { env, host, launcher });
  const shown = host.includes(":") ? `[${host}]` : host;
  const url = `http://${shown}:${metadataPort}/metadata`;
  const start = async (metadataServer: string, at: string) =>
    await startNode(address, 32 * MIB, {
      ...{ env, launcher, host: at, flags: [`--metadata_server=${metadataServer}`] },
    });
  return { master, address, url, shown, start };
}

async function prints(same: string, command: string, args: string[], env = {}): Promise<void> {
  const process = new LocalProcess("client", command, args, { env });
  await process.line(new RegExp(`^${same}$`), 30_000);
  await process.stop();
}

for (const metadata of ["p2p", "http"] as const) {
  testEach(`everything over ::1 with ${metadata} metadata`, async ({ env }) => {
    const at = await cluster("::1", { env });
    await using _master = at.master;
    const server = metadata === "p2p" ? "P2PHANDSHAKE" : at.url;
    const host = metadata === "p2p" ? "[::1]" : `[::1]:${await freePort()}`;
    await using node = await at.start(server, host);
    assert(node.lines.some((line) => line.includes("segment [::1]:")), node.lines.join("\n"));
    for (const { family, everywhere } of listenersOf(node.pid)) {
      assert.deepEqual([family, everywhere], ["IPv6", false]);
    }
    await using client = await StoreClient.connect({
      ...{ masterServerAddress: at.address, metadataServer: server, forceTcp: true },
    });
    assert.equal(await client.put("k", value), "stored");
    assert.deepEqual(await client.get("k"), value);
    if ("reason" in wheel) return;
    // Without the variable it cannot read an IPv6 address of a handshake.
    const variables = { MC_USE_IPV6: "1" };
    const args = [`${support}wheel_put_get.py`, "[::1]", server, at.address];
    await prints("same", wheel.python, args, variables);
  });
}

testEach("a master is reached over both families unless it is told otherwise", async (mode) => {
  const port = await freePort();
  const { process: master } = await startMaster(["--rpc_address=::"], {
    ...{ env: mode.env, rpcPort: port },
  });
  await using _master = master;
  for (const masterServerAddress of [`127.0.0.1:${port}`, `[::1]:${port}`, `localhost:${port}`]) {
    await using client = await StoreClient.connect({
      masterServerAddress,
      globalSegmentSize: "4mb",
    });
    const host = masterServerAddress.startsWith("[") ? "[::1]" : "127.0.0.1";
    assert(client.hostname.startsWith(`${host}:`), client.hostname);
    assert.equal(await client.put(masterServerAddress, value), "stored");
  }
});

/** A network with nothing but IPv6, in which `only6.example` has an AAAA address alone. */
class SixOnly implements AsyncDisposable {
  static readonly host = "only6.example";
  readonly #name = `snowskin-six-${Deno.pid}`;

  get launcher(): string[] {
    return ["ip", "netns", "exec", this.#name];
  }

  async create(): Promise<this> {
    await this.#ip("netns", "add", this.#name);
    await this.#ip("-n", this.#name, "link", "set", "lo", "up");
    await this.#ip("-n", this.#name, "addr", "del", "127.0.0.1/8", "dev", "lo");
    await this.#ip("-n", this.#name, "addr", "add", "fd00:51::1/128", "dev", "lo");
    await Deno.mkdir(`/etc/netns/${this.#name}`, { recursive: true });
    await Deno.writeTextFile(`/etc/netns/${this.#name}/hosts`, `fd00:51::1 ${SixOnly.host}\n`);
    return this;
  }

  async #ip(...args: string[]): Promise<void> {
    const { success, stderr } = await new Deno.Command("ip", { args }).output();
    assert(success, new TextDecoder().decode(stderr));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ip("netns", "delete", this.#name);
    await Deno.remove(`/etc/netns/${this.#name}`, { recursive: true });
  }
}

const noNamespace = loopback ?? await namespacesAbsent();

test(noNamespace, "a network without IPv4, by a name with an AAAA address alone", async () => {
  await using network = await new SixOnly().create();
  const { launcher } = network;
  const [command, ...before] = [...launcher, Deno.execPath()];
  for (const engine of ["native", "typescript"]) {
    const env: Record<string, string> = engine === "native" ? {} : { SNOWSKIN_NATIVE: "off" };
    const at = await cluster(SixOnly.host, { env, launcher });
    await using _master = at.master;
    for (const server of ["P2PHANDSHAKE", at.url]) {
      await using node = await at.start(server, SixOnly.host);
      assert(node.lines.some((line) => line.includes(`segment ${SixOnly.host}:`)));
      const run = [...before, "run", "-A", `${support}put_get_client.ts`, at.address, server];
      await prints("same", command, [...run, engine === "native" ? "auto" : engine], env);
    }
  }
});

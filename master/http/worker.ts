/**
 * Entry of the Worker that serves HTTP, so that the thread that owns the core serves nothing but
 * RPC. It holds the metadata documents itself and asks that thread for everything else.
 */
import { eventfdWaker } from "../../ffi/wake.ts";
import { Logger } from "../logger.ts";
import { firstKeyLine } from "../auth/api_key.ts";
import { KeyTable } from "../auth/key_table.ts";
import { PolicyFile, sharedPolicies } from "../tenants/policy_file.ts";
import { VERSION } from "../version.ts";
import { adminApp } from "./admin_app.ts";
import { AdminAuth } from "./admin_auth.ts";
import type { AdminBackend } from "./backend.ts";
import { coreClient } from "./core_client.ts";
import { DocumentTable } from "./document_table.ts";
import { probeHandshake } from "./handshake_probe.ts";
import { addressOf, type HttpServer, listen, ListenError } from "./listen.ts";
import { metadataApp } from "./metadata_app.ts";
import { MetadataStore } from "./metadata_store.ts";
import { SettingsTable } from "./settings_table.ts";
import { SharedTables } from "./shared_tables.ts";
import { standbyRefusal } from "./standby.ts";
import { SummaryReporter } from "./summary_reporter.ts";
import type { ControlMessage, HttpWorkerConfig, WorkerMessage } from "./worker_protocol.ts";

/** Time for a probe of a name's present owner; its successor waits 3 s for the answer. */
const PROBE_TIMEOUT_MS = 1000;
/** Time that open requests get when the Worker stops. */
const DRAIN_TIMEOUT_MS = 500;

/** The servers and the reporter of one Worker. */
class HttpSide {
  readonly #config: HttpWorkerConfig;
  readonly #logger: Logger;
  readonly #backend: AdminBackend;
  readonly #reporter: SummaryReporter;
  readonly #metadata: MetadataStore;
  readonly #servers: HttpServer[] = [];
  #documents: DocumentTable | null = null;
  #settings: SettingsTable | null = null;
  #wake = () => {};
  #auth: AdminAuth | null = null;
  /** What a master of a cluster shares with the others. */
  #shared: SharedTables | null = null;

  constructor(config: HttpWorkerConfig, port: MessagePort) {
    const { format, minLevel, prefix } = config.log;
    this.#config = config;
    if (config.wakeFd !== null) this.wakeBy(config.wakeFd);
    this.#logger = new Logger({
      ...{ source: "master_admin", json: format === "json", minLevel, prefix, pid: Deno.pid },
      now: () => performance.timeOrigin + performance.now(),
      write: writeToStderr,
    });
    this.#metadata = new MetadataStore((host, at) => probeHandshake(host, at, PROBE_TIMEOUT_MS));
    this.#backend = coreClient({
      port,
      wake: () => this.#wake(),
      timeoutMs: config.coreTimeoutMs,
      onTables: (changes) => {
        if (this.#shared?.take(changes, this.#metadata)) this.#auth?.keysChanged();
      },
    });
    if (config.haPath !== null) {
      this.#shared = new SharedTables(this.#backend);
      this.#metadata.shareThrough(this.#shared.documents);
    }
    this.#reporter = new SummaryReporter({
      ...{ backend: this.#backend, logger: this.#logger, format },
    });
  }

  /** Opens the servers; throws `ListenError` with none left open. */
  async start(): Promise<WorkerMessage> {
    const { admin, metadata, log } = this.#config;
    if (metadata !== null) await this.#openTables();
    const settings = await this.#openSettings();
    if (this.#config.auth !== null) await this.#openAuth(this.#config.auth);
    const onFault = (error: unknown) => this.#logger.error(`HTTP request failed: ${error}`);
    const adminRoutes = this.#adminApp();
    const metadataRoutes = metadataApp({
      store: this.#metadata,
      changeRefusal: () =>
        this.#shared === null ? Promise.resolve(null) : standbyRefusal(this.#backend),
    });
    try {
      this.#servers.push(
        listen("admin", admin, (request, peer) => adminRoutes.fetch(request, peer), onFault),
      );
      if (metadata) {
        const fetch = (request: Request) => metadataRoutes.fetch(request);
        this.#servers.push(listen("metadata", metadata, fetch, onFault));
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    void this.#reporter.start(log.summaryIntervalMs);
    for (const signal of this.#config.signals) {
      Deno.addSignalListener(signal, () => void this.#backend.shutDown(signal).catch(onFault));
    }
    const [adminServer, metadataServer] = this.#servers;
    return {
      type: "listening",
      listening: {
        admin: addressOf(adminServer),
        metadata: metadataServer ? addressOf(metadataServer) : null,
        settings,
      },
      keys: this.#shared === null ? this.#auth?.records ?? [] : null,
    };
  }

  /** Tells the core's thread of messages by this descriptor from now on. */
  wakeBy(fd: number): void {
    this.#wake = eventfdWaker(fd);
    this.#wake();
  }

  forgetSegment(name: string): void {
    this.#metadata.forgetSegment(name);
  }

  async stop(): Promise<void> {
    this.#reporter.stop();
    const drained = Promise.all(this.#servers.map((server) => server.shutdown()));
    const expired = new Promise((resolve) => setTimeout(resolve, DRAIN_TIMEOUT_MS));
    await Promise.race([drained, expired]);
    await this.#documents?.[Symbol.asyncDispose]();
    this.#settings?.[Symbol.dispose]();
    this.#settings = null;
    await this.#auth?.[Symbol.asyncDispose]();
  }

  async #openTables(): Promise<void> {
    const { tablesPath } = this.#config;
    if (tablesPath === null) return;
    if (!DocumentTable.isAvailable) {
      return this.#logger.warning(
        "metadata documents are lost with the process: start the master with --unstable-kv",
      );
    }
    this.#documents = await DocumentTable.open(
      tablesPath,
      (key, value) => this.#metadata.restore(key, value),
    );
    this.#metadata.keepWith(this.#documents);
    const { size } = this.#metadata;
    if (size > 0) this.#logger.info(`recovered ${size} metadata documents`);
  }

  /** Opens the table of settings, if there is one, and reads it. */
  async #openSettings(): Promise<Record<string, string>> {
    const { tablesPath } = this.#config;
    if (tablesPath === null || !DocumentTable.isAvailable) return {};
    this.#settings = await SettingsTable.open(tablesPath);
    return await this.#settings.load();
  }

  async #openAuth({ auditPath }: NonNullable<HttpWorkerConfig["auth"]>): Promise<void> {
    const { tablesPath, checkpointToken } = this.#config;
    const now = () => Date.now();
    if (this.#shared !== null) {
      const { keys } = this.#shared;
      this.#auth = new AdminAuth({ keys, auditPath, checkpointToken, now });
      return;
    }
    if (!DocumentTable.isAvailable) throw new Error("--require_auth needs --unstable-kv");
    this.#auth = new AdminAuth({
      ...{ keys: await KeyTable.open(tablesPath!), auditPath, checkpointToken: null, now },
      publish: (records) => this.#backend.setKeys(records),
    });
    const first = await this.#auth.firstKey();
    if (first !== null) this.#logger.always(firstKeyLine(first));
  }

  #adminApp() {
    const { admin, clusterId, policies, startedAtMs, snapshots, tablesPath } = this.#config;
    return adminApp({
      backend: this.#backend,
      insecure: admin.insecure,
      auth: this.#auth,
      policies: policies === null
        ? null
        : this.#shared !== null
        ? sharedPolicies
        : new PolicyFile(policies.path, policies.quotas, policies.rules),
      haPath: this.#config.haPath,
      version: VERSION,
      settings: this.#shared?.settings ?? this.#settings,
      onLogLevel: (level) => this.#logger.minLevel = level,
      processInfo: () => ({
        version: VERSION,
        clusterId,
        rssBytes: Deno.memoryUsage().rss,
        uptimeSeconds: (Date.now() - startedAtMs) / 1000,
      }),
      snapshots: {
        ...{ places: snapshots?.places ?? null, timeoutMs: snapshots?.timeoutMs ?? 0 },
        ...{ clusterId, version: VERSION, tablesPath },
      },
      summary: (current, status) => this.#reporter.summary(current, status),
      onFault: (error) => this.#logger.error(`Admin request failed: ${error.stack ?? error}`),
    });
  }
}

function writeToStderr(line: string): void {
  const bytes = new TextEncoder().encode(line);
  for (let sent = 0; sent < bytes.length;) sent += Deno.stderr.writeSync(bytes.subarray(sent));
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<ControlMessage>) => void;
  postMessage(message: WorkerMessage): void;
};
let side: HttpSide | null = null;

scope.onmessage = async ({ data: message, ports }) => {
  switch (message.type) {
    case "start":
      scope.postMessage(await start(message.config, ports[0]));
      break;
    case "forget_segment":
      side?.forgetSegment(message.name);
      break;
    case "wake_by":
      side?.wakeBy(message.fd);
      break;
    case "stop":
      await side?.stop();
      scope.postMessage({ type: "stopped" });
  }
};

async function start(config: HttpWorkerConfig, port: MessagePort): Promise<WorkerMessage> {
  try {
    side = new HttpSide(config, port);
    return await side.start();
  } catch (error) {
    if (error instanceof ListenError) return { type: "listen_failed", failure: error.failure };
    return { type: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}

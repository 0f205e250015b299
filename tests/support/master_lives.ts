/** One master across its lives: killed, frozen and started again on its port and its directory. */
import { freePort, type LocalProcess, startMaster } from "../../examples/local_cluster.ts";

export class MasterLives implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "snowskin-lives-" });
  adminUrl = "";
  #process: LocalProcess | null = null;

  private constructor(readonly port: number, readonly flags: string[]) {}

  static async start(...flags: string[]): Promise<MasterLives> {
    const master = new MasterLives(await freePort(), flags);
    await master.revive();
    return master;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Lines of the present life. */
  get lines(): string[] {
    return this.#process!.lines;
  }

  async kill(): Promise<void> {
    await this.#process?.stop("SIGKILL");
  }

  /** SIGSTOP or SIGCONT. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  async revive(): Promise<void> {
    const flags = [`--data_dir=${this.directory}`, "--default_kv_lease_ttl=500", ...this.flags];
    const { process, adminUrl } = await startMaster(flags, { rpcPort: this.port });
    this.#process = process;
    this.adminUrl = adminUrl;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGCONT");
    await this.#process?.stop();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

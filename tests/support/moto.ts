/** An S3 server for tests: PyPI's moto, in a virtual environment of the project's own. */
import { freePort, LocalProcess } from "../../examples/local_cluster.ts";
import { type S3Settings } from "../../master/backup/s3_settings.ts";
import { findVenv } from "./python_venv.ts";
import { until } from "./until.ts";

const MOTO_VERSION = "5.2.5";

/** The Python that has moto, or why there is none. */
export function findMoto(
  options: { install?: boolean } = {},
): Promise<{ python: string } | { reason: string }> {
  return findVenv({
    folder: "moto-venv",
    requirement: `moto[server,s3]==${MOTO_VERSION}`,
    probe: `import moto, moto.server; assert moto.__version__ == "${MOTO_VERSION}"`,
  }, options.install ?? false);
}

/** A running server with one bucket. It knows every key, unless a test has it check them. */
export class MotoServer implements AsyncDisposable {
  static readonly bucket = "snapshots";
  static readonly accessKeyId = "AKIDEXAMPLE";
  static readonly secretAccessKey = "example-secret";

  private constructor(readonly process: LocalProcess, readonly endpoint: string) {}

  /** `env` is for the server's own settings. */
  static async start(python: string, env: Record<string, string> = {}): Promise<MotoServer> {
    const port = await freePort();
    const process = new LocalProcess("moto", python, [
      ...["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", String(port)],
    ], { env });
    const endpoint = `http://127.0.0.1:${port}`;
    await until(async () => {
      try {
        const answer = await fetch(`${endpoint}/${MotoServer.bucket}`, { method: "PUT" });
        await answer.text();
        return answer.ok;
      } catch {
        return false;
      }
    }, 30_000);
    return new MotoServer(process, endpoint);
  }

  get settings(): S3Settings {
    const { accessKeyId, secretAccessKey } = MotoServer;
    return {
      ...{ region: "us-east-1", endpoint: this.endpoint, forcePathStyle: true },
      credentials: { accessKeyId, secretAccessKey },
      ...{ connectTimeoutMs: 2000, requestTimeoutMs: 10_000 },
      ...{ requestChecksums: "WHEN_SUPPORTED", responseChecksums: "WHEN_SUPPORTED" },
    };
  }

  /** What a process needs to reach it. */
  get env(): Record<string, string> {
    return {
      MOONCAKE_AWS_S3_ENDPOINT: this.endpoint,
      MOONCAKE_AWS_BUCKET_NAME: MotoServer.bucket,
      MOONCAKE_AWS_ACCESS_KEY_ID: MotoServer.accessKeyId,
      MOONCAKE_AWS_SECRET_ACCESS_KEY: MotoServer.secretAccessKey,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop();
  }
}

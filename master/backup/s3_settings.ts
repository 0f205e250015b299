/** How a bucket is reached, from the reference's variables and the standard ones of AWS. */

/** Structured-cloneable. */
export interface S3Settings {
  readonly region: string;
  /** URL of a server that is not AWS's, `null` = AWS. */
  readonly endpoint: string | null;
  /** `null` = what the AWS library finds: variables, profiles, roles. */
  readonly credentials: { accessKeyId: string; secretAccessKey: string } | null;
  /** The bucket stands in the path, not in the host name. */
  readonly forcePathStyle: boolean;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestChecksums: ChecksumUse;
  readonly responseChecksums: ChecksumUse;
}

type ChecksumUse = "WHEN_SUPPORTED" | "WHEN_REQUIRED";
type Environment = Readonly<Record<string, string | undefined>>;

const CHECKSUMS = ["when_supported", "when_required"];
const TRUE = ["1", "true", "yes", "on"];
const FALSE = ["0", "false", "no", "off"];

/** Throws a `RangeError` whose message names the variable and what it may be. */
export function readS3Settings(env: Environment): S3Settings {
  const text = (...names: string[]) =>
    names.map((name) => env[name]).find((value) => value) ?? null;
  const key = text("MOONCAKE_AWS_ACCESS_KEY_ID");
  const secret = text("MOONCAKE_AWS_SECRET_ACCESS_KEY");
  if ((key === null) !== (secret === null)) {
    const [given, missing] = key === null ? ["SECRET_ACCESS_KEY", "ACCESS_KEY_ID"] : [
      "ACCESS_KEY_ID",
      "SECRET_ACCESS_KEY",
    ];
    throw new RangeError(`MOONCAKE_AWS_${given}: needs MOONCAKE_AWS_${missing}, too`);
  }
  const endpoint = readEndpoint(
    env,
    text(
      "MOONCAKE_AWS_S3_ENDPOINT",
      "AWS_ENDPOINT_URL_S3",
      "AWS_ENDPOINT_URL",
    ),
  );
  const virtual = readBool(env, "MOONCAKE_AWS_USE_VIRTUAL_ADDRESSING");
  return {
    region: text("MOONCAKE_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") ?? "us-east-1",
    endpoint: endpoint?.href ?? null,
    credentials: key === null || secret === null
      ? null
      : { accessKeyId: key, secretAccessKey: secret },
    forcePathStyle: virtual === null ? endpoint !== null && isBare(endpoint) : !virtual,
    connectTimeoutMs: readMs(env, "MOONCAKE_AWS_CONNECT_TIMEOUT_MS", 10_000),
    requestTimeoutMs: readMs(env, "MOONCAKE_AWS_REQUEST_TIMEOUT_MS", 30_000),
    requestChecksums: readChecksums(env, "MOONCAKE_AWS_REQUEST_CHECKSUM_CALCULATION"),
    responseChecksums: readChecksums(env, "MOONCAKE_AWS_RESPONSE_CHECKSUM_VALIDATION"),
  };
}

function readEndpoint(env: Environment, text: string | null): URL | null {
  if (text === null) return null;
  const scheme = readBool(env, "MOONCAKE_AWS_USE_HTTPS") === false ? "http" : "https";
  const href = /^https?:\/\//.test(text) ? text : `${scheme}://${text}`;
  if (URL.canParse(href)) return new URL(href);
  throw new RangeError(
    `MOONCAKE_AWS_S3_ENDPOINT=${text}: not an address; allowed: host[:port], URL`,
  );
}

/** Whether a host cannot have the name of a bucket in front. */
function isBare({ hostname }: URL): boolean {
  return /^[\d.]+$|^\[/.test(hostname) || !hostname.includes(".");
}

function readBool(env: Environment, name: string): boolean | null {
  const text = env[name]?.toLowerCase() ?? "";
  if (text === "") return null;
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new RangeError(`${name}=${env[name]}: not a boolean; allowed: true, false`);
}

function readMs(env: Environment, name: string, otherwise: number): number {
  const text = env[name] ?? "";
  if (text === "") return otherwise;
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new RangeError(`${name}=${text}: not a time; allowed: milliseconds, 1 to 999999999`);
}

function readChecksums(env: Environment, name: string): ChecksumUse {
  const text = env[name]?.toLowerCase() ?? "";
  if (text === "" || CHECKSUMS.includes(text)) {
    return text === "when_required" ? "WHEN_REQUIRED" : "WHEN_SUPPORTED";
  }
  throw new RangeError(`${name}=${env[name]}: unknown; allowed: ${CHECKSUMS.join(", ")}`);
}

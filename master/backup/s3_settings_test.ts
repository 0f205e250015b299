import assert from "node:assert/strict";
import { parsePlace, s3Place } from "./places.ts";
import { readS3Settings } from "./s3_settings.ts";

Deno.test("without variables it is AWS, with the credentials that its library finds", () => {
  assert.deepEqual(readS3Settings({}), {
    ...{ region: "us-east-1", endpoint: null, credentials: null, forcePathStyle: false },
    ...{ connectTimeoutMs: 10_000, requestTimeoutMs: 30_000 },
    ...{ requestChecksums: "WHEN_SUPPORTED", responseChecksums: "WHEN_SUPPORTED" },
  });
});

Deno.test("the reference's variables stand over the standard ones", () => {
  const settings = readS3Settings({
    ...{ MOONCAKE_AWS_REGION: "eu-1", AWS_REGION: "eu-2", AWS_ENDPOINT_URL: "http://standard:1" },
    ...{ MOONCAKE_AWS_S3_ENDPOINT: "https://s3.example.com:9000" },
    ...{ MOONCAKE_AWS_ACCESS_KEY_ID: "id", MOONCAKE_AWS_SECRET_ACCESS_KEY: "secret" },
    ...{ MOONCAKE_AWS_CONNECT_TIMEOUT_MS: "5", MOONCAKE_AWS_REQUEST_TIMEOUT_MS: "6" },
    MOONCAKE_AWS_REQUEST_CHECKSUM_CALCULATION: "WHEN_REQUIRED",
    MOONCAKE_AWS_RESPONSE_CHECKSUM_VALIDATION: "when_required",
  });
  assert.deepEqual(settings, {
    ...{ region: "eu-1", endpoint: "https://s3.example.com:9000/", forcePathStyle: false },
    credentials: { accessKeyId: "id", secretAccessKey: "secret" },
    ...{ connectTimeoutMs: 5, requestTimeoutMs: 6 },
    ...{ requestChecksums: "WHEN_REQUIRED", responseChecksums: "WHEN_REQUIRED" },
  });
  const standard = { AWS_DEFAULT_REGION: "eu-3", AWS_ENDPOINT_URL_S3: "http://s3.local.net" };
  const { region, endpoint } = readS3Settings(standard);
  assert.deepEqual([region, endpoint], ["eu-3", "http://s3.local.net/"]);
});

Deno.test("the bucket stands in the path where no host name can carry it, or where asked", () => {
  const style = (endpoint: string, virtual?: string) =>
    readS3Settings({
      MOONCAKE_AWS_S3_ENDPOINT: endpoint,
      MOONCAKE_AWS_USE_VIRTUAL_ADDRESSING: virtual,
    }).forcePathStyle;
  assert.deepEqual(
    ["127.0.0.1:9000", "http://[::1]:9000", "minio:9000", "oss.example.com"].map((at) => style(at)),
    [true, true, true, false],
  );
  assert.deepEqual([style("minio", "true"), style("oss.example.com", "0")], [false, true]);
});

Deno.test("a host without a scheme is reached as MOONCAKE_AWS_USE_HTTPS says", () => {
  const endpoint = (https?: string) =>
    readS3Settings({ MOONCAKE_AWS_S3_ENDPOINT: "h:1", MOONCAKE_AWS_USE_HTTPS: https }).endpoint;
  assert.deepEqual([endpoint(), endpoint("true"), endpoint("false")], [
    ...["https://h:1/", "https://h:1/", "http://h:1/"],
  ]);
});

Deno.test("a malformed variable is refused by name, with what is allowed", () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ MOONCAKE_AWS_ACCESS_KEY_ID: "x" }, /ACCESS_KEY_ID: needs MOONCAKE_AWS_SECRET_ACCESS_KEY/],
    [{ MOONCAKE_AWS_SECRET_ACCESS_KEY: "x" }, /SECRET_ACCESS_KEY: needs MOONCAKE_AWS_ACCESS_KEY/],
    [{ MOONCAKE_AWS_USE_HTTPS: "ja", MOONCAKE_AWS_S3_ENDPOINT: "h" }, /HTTPS=ja.*true, false/],
    [{ MOONCAKE_AWS_CONNECT_TIMEOUT_MS: "1s" }, /TIMEOUT_MS=1s: .*milliseconds/],
    [{ MOONCAKE_AWS_REQUEST_TIMEOUT_MS: "0" }, /TIMEOUT_MS=0: .*milliseconds/],
    [{ MOONCAKE_AWS_REQUEST_CHECKSUM_CALCULATION: "x" }, /=x: .*when_supported, when_required/],
    [{ MOONCAKE_AWS_S3_ENDPOINT: "http://a b" }, /ENDPOINT=http:\/\/a b: not an address/],
  ];
  for (const [env, message] of cases) {
    assert.throws(() => readS3Settings(env), (error) => {
      return error instanceof RangeError && message.test(error.message);
    });
  }
});

Deno.test("places are directories or s3://bucket/prefix", () => {
  assert.deepEqual(parsePlace("/a/b", {}), { kind: "directory", path: "/a/b" });
  assert.deepEqual(parsePlace("file:///a/b", {}), { kind: "directory", path: "/a/b" });
  assert.deepEqual(parsePlace("b", {}), { kind: "directory", path: `${Deno.cwd()}/b` });
  const place = parsePlace("s3://bucket//a/b/", {});
  assert.deepEqual(place, s3Place("bucket", "a/b", {}));
  assert.throws(() => parsePlace("", {}), /allowed: a directory, s3:\/\/bucket\/prefix/);
  assert.throws(() => parsePlace("gs://bucket", {}), /gs:\/\/ is unknown; allowed: /);
  assert.throws(() => parsePlace("s3:///a", {}), /"" is no bucket; allowed: /);
});

/** Certificates of a test's own authority. */
import assert from "node:assert/strict";

/** Runs a program to its end; fails with what it said when it failed. */
export async function run(command: string, args: string[], env: Record<string, string> = {}) {
  const { success, stderr } = await new Deno.Command(command, { args, env }).output();
  assert(success, `${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
/** What `node.pem` covers. */
const NODE_NAMES = "IP:127.0.0.1,IP:::1,DNS:localhost";

/**
 * Makes, each with its `.key`: `ca.pem` and of it `node.pem`, which covers this machine, `elsewhere.pem`,
 * which does not, and `expired.pem`; and `other-ca.pem` with `other.pem`.
 */
export async function makeNodeCertificates(directory: string): Promise<void> {
  const path = (name: string) => `${directory}/${name}`;
  for (const name of ["ca", "other-ca"]) {
    await run("openssl", [
      ...["req", "-x509", ...KEY, "-keyout", path(`${name}.key`), "-out", path(`${name}.pem`)],
      ...["-subj", `/CN=${name}`, "-days", "2"],
    ]);
  }
  const nodes: [string, string, string, number][] = [
    ["node", "ca", NODE_NAMES, 2],
    ["elsewhere", "ca", "DNS:elsewhere.example", 2],
    ["expired", "ca", NODE_NAMES, -1],
    ["other", "other-ca", NODE_NAMES, 2],
  ];
  for (const [name, ca, names, days] of nodes) {
    const request = path(`${name}.csr`);
    await run("openssl", [
      ...["req", ...KEY, "-keyout", path(`${name}.key`), "-out", request, "-subj", `/CN=${name}`],
    ]);
    await Deno.writeTextFile(path("extensions"), `subjectAltName=${names}\n`);
    await run("openssl", [
      ...["x509", "-req", "-in", request, "-out", path(`${name}.pem`), "-days", String(days)],
      ...["-CA", path(`${ca}.pem`), "-CAkey", path(`${ca}.key`), "-CAcreateserial"],
      ...["-extfile", path("extensions")],
    ]);
  }
}

/** Makes `ca.pem` and, signed by it, `server.pem` and `client.pem`, each with its `.key`. */
export async function makeCertificates(directory: string): Promise<void> {
  const path = (name: string) => `${directory}/${name}`;
  await run("openssl", [
    ...["req", "-x509", ...KEY, "-keyout", path("ca.key"), "-out", path("ca.pem")],
    ...["-subj", "/CN=test authority", "-days", "2"],
  ]);
  const usage = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n";
  await Deno.writeTextFile(path("extensions"), usage);
  for (const name of ["server", "client"]) {
    await run("openssl", [
      ...["req", ...KEY, "-keyout", path(`${name}.key`), "-out", path(`${name}.csr`)],
      ...["-subj", `/CN=${name}`],
    ]);
    await run("openssl", [
      ...["x509", "-req", "-in", path(`${name}.csr`), "-out", path(`${name}.pem`), "-days", "2"],
      ...["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"],
      ...["-extfile", path("extensions")],
    ]);
  }
}

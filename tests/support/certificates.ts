/** Certificates of a test's own authority. */
import assert from "node:assert/strict";

/** Runs a program to its end; fails with what it said when it failed. */
export async function run(command: string, args: string[], env: Record<string, string> = {}) {
  const { success, stderr } = await new Deno.Command(command, { args, env }).output();
  assert(success, `${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Makes `ca.pem` and, signed by it, `server.pem` and `client.pem`, each with its `.key`. */
export async function makeCertificates(directory: string): Promise<void> {
  const path = (name: string) => `${directory}/${name}`;
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await run("openssl", [
    ...["req", "-x509", ...key, "-keyout", path("ca.key"), "-out", path("ca.pem")],
    ...["-subj", "/CN=test authority", "-days", "2"],
  ]);
  const usage = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n";
  await Deno.writeTextFile(path("extensions"), usage);
  for (const name of ["server", "client"]) {
    await run("openssl", [
      ...["req", ...key, "-keyout", path(`${name}.key`), "-out", path(`${name}.csr`)],
      ...["-subj", `/CN=${name}`],
    ]);
    await run("openssl", [
      ...["x509", "-req", "-in", path(`${name}.csr`), "-out", path(`${name}.pem`), "-days", "2"],
      ...["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"],
      ...["-extfile", path("extensions")],
    ]);
  }
}

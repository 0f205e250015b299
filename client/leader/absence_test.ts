import assert from "node:assert/strict";
import { ErrorCode } from "../../proto/error_code.ts";
import { CallError } from "../rpc_client.ts";
import { absenceText, callFailure, connectionFailure, NobodyLeadsError } from "./absence.ts";
import { parseMasterAddress } from "./address.ts";

function unsent(cause: Error): CallError {
  return new CallError(ErrorCode.RPC_FAIL, "Cannot call ServiceReady", "unsent", { cause });
}

function textFor(given: string, cause: Error, leader: string | null = null): string {
  const address = parseMasterAddress(given)!;
  return absenceText({ given, address, clusterId: "prod", leader }, unsent(cause));
}

Deno.test("why there is no connection is said in words, whoever met it", () => {
  const withCode = Object.assign(new Error(""), { code: "ECONNREFUSED" });
  const rows: [unknown, string][] = [
    [withCode, "connection refused"],
    [new Error("connect ECONNREFUSED 10.0.0.1:5"), "connection refused"],
    [new Error("getaddrinfo ENOTFOUND nowhere"), "there is no such host"],
    [new Error("getaddrinfo EAI_AGAIN nowhere"), "its name cannot be looked up"],
    [new Error("14 UNAVAILABLE: Last error: connect EHOSTUNREACH"), "no way leads there"],
    [new Error("no connection within 1000 ms"), "no connection within 1000 ms"],
    ["ERROR is no name of one", "ERROR is no name of one"],
  ];
  for (const [error, text] of rows) assert.equal(connectionFailure(error), text);
});

Deno.test("one that takes connections and is no master is told from one that is not there", () => {
  const { RPC_FAIL, RPC_TIMEOUT } = ErrorCode;
  const silent = new CallError(RPC_TIMEOUT, "late", "unanswered");
  assert.equal(callFailure(silent), "it takes connections, and answers nothing");
  const cause = new Error("the server hung up");
  assert.equal(
    callFailure(new CallError(RPC_FAIL, "lost", "unanswered", { cause })),
    "the server hung up (is that the RPC port of a master?)",
  );
  assert.equal(callFailure(unsent(new Error("connect ECONNREFUSED"))), "connection refused");
});

Deno.test("an absent master is one line with what was tried and what to do next", () => {
  const refused = new Error("connect ECONNREFUSED");
  const other = "or name another with --master (masterServerAddress)";
  assert.equal(
    textFor("127.0.0.1:50051", refused),
    "No master answers at 127.0.0.1:50051: connection refused; start one with " +
      `"deno run -A master/main.ts --rpc_port=50051", ${other}`,
  );
  assert.match(textFor("kv.example:50052", refused), /; start one there with ".*=50052", or /);
  assert.equal(
    textFor("a:1,b:2", new NobodyLeadsError("a:1: connection refused, b:2: connection refused")),
    "No master answers at a:1,b:2: a:1: connection refused, b:2: connection refused; " +
      `start them with "deno run -A master/main.ts", ${other}`,
  );
  assert.equal(
    textFor("etcd://e1:2379,e2:2379", new NobodyLeadsError("etcd has no key k")),
    "No master leads by etcd://e1:2379,e2:2379: etcd has no key k; start one with " +
      '"deno run -A master/main.ts --enable_ha=true --etcd_endpoints=e1:2379;e2:2379 ' +
      `--cluster_id=prod", ${other}; MC_STORE_CLUSTER_ID (clusterId) names the cluster`,
  );
  assert.match(
    textFor("redis://r:6379/1", new NobodyLeadsError("Redis has no key k")),
    /--ha_backend_type=redis --ha_backend_connstring=redis:\/\/r:6379\/1 --cluster_id=prod"/,
  );
  assert.match(
    textFor("k8s://kv", new NobodyLeadsError("nobody holds the Lease prod in kv")),
    /: nobody holds the Lease prod in kv; .*--ha_backend_type=k8s --pod_namespace=kv /,
  );
});

Deno.test("an engine that cannot be asked, and a leader that is gone, are told apart", () => {
  assert.equal(
    textFor("etcd://e1:2379", new Error("etcd cannot be asked: connection refused")),
    "No master leads by etcd://e1:2379: etcd cannot be asked: connection refused; see that it " +
      "runs and lets you in, or name another with --master (masterServerAddress)",
  );
  assert.match(
    textFor("etcd://e1:2379", new Error("connect ECONNREFUSED"), "10.0.0.5:50051"),
    /: the leader is 10\.0\.0\.5:50051: connection refused; start one with "/,
  );
});

/**
 * Runs contract suites under Node, bundled: `node BUNDLE store MASTER METADATA`, `node BUNDLE
 * te METADATA` or `node BUNDLE transfer`. Prints one JSON line per test, `{ name, error }`, where `error` is `null` or its text.
 */
import process from "node:process";
import { TsTransferEngine } from "../../client/transfer/ts_engine.ts";
import { onePortSuite } from "./one_port_suite.ts";
import { storeSuite } from "./store_suite.ts";
import { teSuite } from "./te_suite.ts";
import { transferEngineSuite } from "./transfer_engine_suite.ts";
import { transferClientFaultSuite, transferServerFaultSuite } from "./transfer_faults_suite.ts";

const TEST_LIMIT_MS = 60_000;

interface Test {
  name: string;
  run: () => Promise<void>;
}

function collect(suite: string, tests: Test[]): void {
  const register = (name: string, run: () => Promise<void>) => void tests.push({ name, run });
  if (suite === "store") {
    const [masterAddress, metadataServer] = process.argv.slice(3);
    const target = () => Promise.resolve({ masterAddress, metadataServer });
    return storeSuite(register, { target, engine: "auto" });
  }
  if (suite === "te") {
    const options = () => Promise.resolve({ metadata: process.argv[3] });
    return teSuite(register, options, { addresses: false });
  }
  const kind = {
    name: "typescript",
    open: (options?: ConstructorParameters<typeof TsTransferEngine>[0]) =>
      new TsTransferEngine(options),
  };
  for (const version of [2, 1] as const) {
    const titled = (name: string, run: () => Promise<void>) =>
      register(`version ${version}: ${name}`, run);
    transferEngineSuite(titled, { client: kind, server: kind, version });
    transferClientFaultSuite(titled, kind, version);
  }
  onePortSuite((name, run) => register(`one port: ${name}`, run), kind);
  transferServerFaultSuite(register, kind);
}

async function limited(run: () => Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const fail = () => reject(new Error(`not done after ${TEST_LIMIT_MS} ms`));
    timer = setTimeout(fail, TEST_LIMIT_MS);
  });
  try {
    await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const tests: Test[] = [];
collect(process.argv[2], tests);
for (const { name, run } of tests) {
  let error: string | null = null;
  try {
    await limited(run);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
  }
  console.log(JSON.stringify({ name, error }));
}

import assert from "node:assert/strict";
import { DataDirectory, DataDirectoryError, defaultDataDirectory } from "./data_directory.ts";

const holder = { pid: 7, host: "here", since: "2026-01-01T00:00:00.000Z" };

Deno.test("the default directory follows XDG_STATE_HOME, then HOME", () => {
  const home = "/h";
  assert.equal(defaultDataDirectory({ XDG_STATE_HOME: "/x", HOME: home }), "/x/snowskin/master");
  assert.equal(defaultDataDirectory({ HOME: home }), "/h/.local/state/snowskin/master");
  assert.equal(defaultDataDirectory({}), null);
});

Deno.test("a directory has one user at a time, who is named, and the next may follow", () => {
  const parent = Deno.makeTempDirSync({ prefix: "snowskin-data-" });
  try {
    const path = `${parent}/new/master`;
    const first = DataDirectory.open(path, holder);
    assert(Deno.statSync(first.journalPath).isDirectory);
    const other = { ...holder, pid: 8 };
    assert.throws(() => DataDirectory.open(path, other), (error: Error) => {
      assert(error instanceof DataDirectoryError);
      const who = "in use by process 7 on here since 2026-01-01T00:00:00.000Z";
      assert.equal(error.message, `--data_dir=${path}: ${who}; choose another`);
      return true;
    });
    first[Symbol.dispose]();
    DataDirectory.open(path, other)[Symbol.dispose]();
    assert.match(Deno.readTextFileSync(`${path}/LOCK`), /"pid":8/);
  } finally {
    Deno.removeSync(parent, { recursive: true });
  }
});

Deno.test("a directory that cannot be made is refused by the name of its flag", () => {
  const file = Deno.makeTempFileSync();
  try {
    assert.throws(
      () => DataDirectory.open(`${file}/below`, holder),
      (error: Error) => error.message.startsWith(`--data_dir=${file}/below: cannot be used: `),
    );
  } finally {
    Deno.removeSync(file);
  }
});

import assert from "node:assert/strict";
import { buildLibrary, compile, isFile, libraryPath, nativeFolder } from "./build.ts";
import { openLibrary } from "./library.ts";
import { checked, NativeError } from "./native_error.ts";

const opened = openLibrary();
const reason = "unavailable" in opened ? opened.unavailable : null;
const title = (name: string) => reason ? `${name} (skipped: ${reason})` : name;

Deno.test("SNOWSKIN_NATIVE=off refuses the shim with that reason", () => {
  assert.deepEqual(openLibrary("off"), { unavailable: "SNOWSKIN_NATIVE is off" });
});

Deno.test("a library that does not exist is refused in one line that names it", () => {
  const result = openLibrary("/nowhere/libsnowskin.so");
  assert("unavailable" in result);
  assert.match(result.unavailable, /^cannot load \/nowhere\/libsnowskin\.so: [^\n]+$/);
});

Deno.test({
  name: title("whoever opens the shim can use it until he closes it, whatever others do"),
  ignore: reason !== null,
  fn() {
    const [one, other] = [openLibrary(), openLibrary()];
    assert(!("unavailable" in one) && !("unavailable" in other));
    one.close();
    one.close();
    assert(other.symbols.mc_abi_version() > 0);
    other.close();
    using again = openLibrary() as Disposable & typeof one;
    assert(again.symbols.mc_abi_version() > 0);
  },
});

Deno.test({
  name: title("a library without the expected functions is refused"),
  ignore: reason !== null,
  fn() {
    const folder = Deno.makeTempDirSync();
    try {
      Deno.writeTextFileSync(`${folder}/other.c`, "int other(void) { return 1; }\n");
      const failure = compile(["-shared", "-fPIC", "-o", `${folder}/o.so`, `${folder}/other.c`]);
      assert.equal(failure, null);
      const result = openLibrary(`${folder}/o.so`);
      assert("unavailable" in result);
      assert.match(result.unavailable, /mc_/);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: title("a compiler's error becomes one line"),
  ignore: reason !== null,
  fn() {
    const failure = compile(["-c", "-o", "/dev/null", "/nowhere/missing.c"]);
    assert.match(failure ?? "", /^\S+ failed: .*missing\.c/);
    assert(!failure?.includes("\n"));
  },
});

Deno.test({
  name: title("a second build finds the first one by its name"),
  ignore: reason !== null,
  fn() {
    const native = nativeFolder();
    assert(native !== null);
    assert(isFile(libraryPath(native)));
    assert.deepEqual(buildLibrary(), { path: libraryPath(native) });
  },
});

Deno.test("a negative result throws an error with the symbol and the number's name", () => {
  assert.equal(checked("mc_engine_listen", 4), 4);
  assert.throws(
    () => checked("mc_engine_listen", -98),
    (error) =>
      error instanceof NativeError && error.errno === 98 && error.symbol === "mc_engine_listen" &&
      error.message === "mc_engine_listen failed: EADDRINUSE",
  );
});

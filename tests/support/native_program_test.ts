// Goal: a program of kept objects is the one that its sources, headers and flags make now.
import assert from "node:assert/strict";
import { compile } from "../../ffi/build.ts";
import { buildProgram } from "./native_program.ts";

const absent = compile(["--version"]);

Deno.test({
  name: `objects are kept and made anew when a source, a header or a flag changes${
    absent === null ? "" : ` (skipped: ${absent})`
  }`,
  ignore: absent !== null,
  async fn() {
    const folder = `${await Deno.makeTempDir()}/`;
    try {
      const write = (name: string, text: string) => Deno.writeTextFileSync(folder + name, text);
      const objects = () =>
        Array.from(Deno.readDirSync(`${folder}kept`), ({ name }) => name).sort();
      const run = async (...flags: string[]) => {
        await buildProgram({
          ...{ output: `${folder}program`, flags, headers: [folder], kept: `${folder}kept/` },
          sources: [`${folder}main.c`, `${folder}part.c`],
        });
        return new Deno.Command(`${folder}program`).outputSync().code;
      };
      write("part.h", "#define FIRST 1\nint part(void);\n");
      write("part.c", "int part(void) { return 2; }\n");
      write(
        "main.c",
        '#include "part.h"\n#ifndef MORE\n#define MORE 0\n#endif\n' +
          "int main(void) { return FIRST + part() + MORE; }\n",
      );
      assert.equal(await run(), 3);
      const first = objects();
      assert.equal(first.length, 2);
      assert.equal(await run(), 3);
      assert.deepEqual(objects(), first, "nothing was compiled");
      write("part.c", "int part(void) { return 4; }\n");
      assert.equal(await run(), 5);
      assert.equal(objects().length, 3, "one file was compiled");
      write("part.h", "#define FIRST 10\nint part(void);\n");
      assert.equal(await run(), 14);
      assert.equal(await run("-DMORE=100"), 114);
      assert.equal(objects().length, 7, "all was compiled twice");
      write("kept/old.o", "");
      Deno.utimeSync(`${folder}kept/old.o`, 0, 0);
      write("part.c", "int part(void) { return; }\n");
      await assert.rejects(run("-Werror"), /part\.c:1/);
      write("part.c", "int part(void) { return 5; }\n");
      assert.equal(await run(), 15);
      assert(!objects().includes("old.o"), "what nobody has used for long is deleted");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

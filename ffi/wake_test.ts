import assert from "node:assert/strict";
import { eventfdWaker } from "./wake.ts";

const linux = Deno.build.os === "linux";

Deno.test({
  name: linux ? "a wake adds 1 to the eventfd" : "a wake adds 1 to the eventfd (skipped: no Linux)",
  ignore: !linux,
  fn() {
    const libc = Deno.dlopen(
      "libc.so.6",
      {
        eventfd: { parameters: ["u32", "i32"], result: "i32" },
        read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
        close: { parameters: ["i32"], result: "i32" },
      } as const,
    );
    const fd = libc.symbols.eventfd(0, 0);
    const wake = eventfdWaker(fd);
    wake();
    wake();
    const value = new BigUint64Array(1);
    assert.equal(libc.symbols.read(fd, new Uint8Array(value.buffer), 8n), 8n);
    assert.equal(value[0], 2n);
    libc.symbols.close(fd);
    libc.close();
  },
});

import assert from "node:assert/strict";
import { ErrorCode } from "../proto/error_code.ts";
import { StoreError } from "../proto/error.ts";
import { type Rpc, rpcByName } from "../proto/messages.ts";
import { MasterClient, type RpcCaller, valueOf } from "./master_client.ts";

/** Answers every call with one value and remembers what was called. */
class Recorder implements RpcCaller {
  readonly calls: { rpc: string; request: unknown }[] = [];

  constructor(readonly answer: unknown) {}

  call<Request, Response>(rpc: Rpc<Request, Response>, request: Request): Promise<Response> {
    this.calls.push({ rpc: rpc.name, request });
    return Promise.resolve(this.answer as Response);
  }
}

Deno.test("every call of the protocol has a method of its name", async () => {
  for (const [name, rpc] of rpcByName) {
    const recorder = new Recorder(name);
    const client = new MasterClient(recorder);
    const method = name[0].toLowerCase() + name.slice(1);
    const request = rpc.request === null ? null : { some: name };
    const call = client as unknown as Record<string, (request: unknown) => Promise<unknown>>;
    assert.equal(typeof call[method], "function", method);
    assert.equal(await call[method](request), name);
    assert.deepEqual(recorder.calls, [{ rpc: name, request }]);
  }
});

Deno.test("the version is checked word for word", async () => {
  const check = (answer: unknown) => new MasterClient(new Recorder(answer)).checkVersion();
  await check({ code: 0, value: "2.0.0" });
  await assert.rejects(check({ code: 0, value: "2.0.1" }), (error: StoreError) => {
    return error.code === ErrorCode.INVALID_VERSION && /"2\.0\.1"/.test(error.message);
  });
  await assert.rejects(check({ code: -1010, value: null }), (error: StoreError) => {
    return error.code === ErrorCode.UNAVAILABLE_IN_CURRENT_STATUS;
  });
});

Deno.test("valueOf hands the value on or throws the answer's code", () => {
  assert.equal(valueOf({ code: 0, value: 7 }, "x"), 7);
  assert.throws(() => valueOf({ code: -704, value: null }, 'Cannot remove "a"'), (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, ErrorCode.OBJECT_NOT_FOUND);
    assert.equal(error.message, 'Cannot remove "a" (OBJECT_NOT_FOUND -704)');
    return true;
  });
});

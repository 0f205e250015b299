import assert from "node:assert/strict";
import { type AddressSystem, addressToBind } from "./bind_address.ts";

function system(hasIPv6: boolean): AddressSystem {
  return {
    hasIPv6: () => hasIPv6,
    lookup(name) {
      if (name === "six.example") return Promise.resolve(["fd00::2"]);
      if (name === "both.example") return Promise.resolve(["10.0.0.2", "fd00::2"]);
      return Promise.reject(new Error("ENOTFOUND"));
    },
  };
}

Deno.test("an address to bind is the one given, or the first of a name", async () => {
  for (const host of ["0.0.0.0", "127.0.0.1", "::1", "fd00::2"]) {
    assert.equal(await addressToBind("rpc_address", host, system(true)), host);
  }
  assert.equal(await addressToBind("rpc_address", "six.example", system(true)), "fd00::2");
  assert.equal(await addressToBind("rpc_address", "both.example", system(true)), "10.0.0.2");
  await assert.rejects(
    addressToBind("metrics_host", "no.example", system(true)),
    { message: /^--metrics_host=no\.example: the name has no address; allowed: / },
  );
});

Deno.test(":: is all of both families, or of the one that there is", async () => {
  assert.equal(await addressToBind("rpc_address", "::", system(true)), "::");
  assert.equal(await addressToBind("rpc_address", "::", system(false)), "0.0.0.0");
});

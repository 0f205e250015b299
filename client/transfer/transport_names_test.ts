import assert from "node:assert/strict";
import {
  chooseTransport,
  NO_CHOICE,
  TRANSPORT_NAMES,
  TransportAbsentError,
} from "./transport_names.ts";

const bare = { path: "/opt/lib", exists: () => false };

Deno.test("every transport that the reference names is known, and each absence is one line", () => {
  const reference = [
    ...["tcp", "rdma", "rdma_twosided", "shm", "efa", "cxi", "barex", "nvlink", "nvlink_intra"],
    ...["mnnvl", "ascend", "ascend_direct", "ubshmem", "hip", "musa", "maca", "mlu", "ub", "tpu"],
    ...["sunrise_link", "mpcomm", "nccl", "flagcx", "gds", "io_uring", "nvmeof", "cxl", "rpc_only"],
  ];
  for (const name of reference) {
    assert(TRANSPORT_NAMES.includes(name), name);
    try {
      chooseTransport(name, NO_CHOICE, bare);
    } catch (error) {
      assert(error instanceof TransportAbsentError, name);
      assert(error.message.startsWith(`${name} (`), error.message);
      assert(!error.message.includes("\n"), error.message);
    }
  }
});

Deno.test("an absence names the library, where it was looked for, or where it is", () => {
  assert.throws(
    () => chooseTransport("barex", NO_CHOICE, bare),
    /^TransportAbsentError: barex \(Alibaba's Barex, whose library is not public\) needs libaccl_barex\.so, which is not on this machine \(neither in LD_LIBRARY_PATH nor in the system's folders\).*transport_library \(docs\/transports\.md\)$/,
  );
  const exists = (path: string) => path === "/opt/lib/libhccl.so";
  assert.throws(
    () => chooseTransport("ascend", NO_CHOICE, { ...bare, exists }),
    /ascend \(Huawei's Ascend \(HCCL\)\) is not in this build: \/opt\/lib\/libhccl\.so is there, but no hardware has been had/,
  );
  assert.throws(() => chooseTransport("mpcomm", NO_CHOICE, bare), /no hardware and no library/);
  assert.throws(
    () => chooseTransport("cxl", NO_CHOICE, bare),
    /DAX device is lent with memory_file/,
  );
});

Deno.test("libfabric carries its names, and a plugin any name", () => {
  const fabric = { ...NO_CHOICE, fabricProvider: "shm" };
  const library = "";
  const plugin = { kind: "plugin", library };
  assert.deepEqual(chooseTransport("efa"), { ...plugin, parameters: "efa" });
  assert.deepEqual(chooseTransport("libfabric"), { ...plugin, parameters: "tcp" });
  assert.deepEqual(chooseTransport("libfabric", fabric), { ...plugin, parameters: "shm" });
  const choice = { ...NO_CHOICE, transportLibrary: "/l.so", transportOptions: "a=1" };
  for (const name of ["barex", "mine"]) {
    const chosen = { kind: "plugin", library: "/l.so", parameters: "a=1" };
    assert.deepEqual(chooseTransport(name, choice), chosen);
  }
  assert.deepEqual(chooseTransport("rdma"), { kind: "rdma" });
});

Deno.test("what does not fit is refused with its name, its value and what is allowed", () => {
  const cases: [string, Partial<typeof NO_CHOICE>, RegExp][] = [
    [
      "bogus",
      {},
      /^RangeError: protocol="bogus" is refused; allowed: tcp, rdma, .*or any name with/,
    ],
    ["tcp", { transportLibrary: "/l.so" }, /transportLibrary="\/l\.so" is refused; allowed: none/],
    ["efa", { transportLibrary: "/l.so" }, /none with efa, which is built in/],
    ["tcp", { transportOptions: "x" }, /transportOptions="x" is refused; allowed: none without/],
    ["efa", { fabricProvider: "tcp" }, /fabricProvider="tcp" is refused; allowed: none with efa/],
  ];
  for (const [name, choice, expected] of cases) {
    assert.throws(() => chooseTransport(name, { ...NO_CHOICE, ...choice }), expected);
  }
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { chosenSeed } from "../tests/support/random.ts";
import { toHex } from "../tests/support/wire_vectors.ts";
import { ProtocolError } from "./error.ts";
import {
  readTransferStatus,
  splitAddress,
  TRANSFER_REQUEST_BYTES,
  TRANSFER_STATUS_BYTES,
  TransferRequest,
  TransferStatus,
  writeTransferRequest,
  writeTransferStatus,
} from "./transfer_tcp.ts";

function view(bytes: number): DataView<ArrayBuffer> {
  return new DataView(new ArrayBuffer(bytes));
}

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);

Deno.test("a request is laid out as size, address, opcode and zeros", () => {
  const header = view(TRANSFER_REQUEST_BYTES);
  const request = { opcode: 1, version: 2, address: 0x5eed00000001n, size: 0x1_0000_0002 } as const;
  writeTransferRequest(header, 0, request);
  assert.equal(
    toHex(new Uint8Array(header.buffer)),
    "0200000001000000" + "01000000ed5e0000" + "8100000000000000",
  );
});

Deno.test("requests are read back with every opcode and version", () => {
  const request = new TransferRequest();
  fc.assert(
    fc.property(
      u64,
      fc.maxSafeNat(),
      fc.constantFrom(0 as const, 1 as const),
      fc.constantFrom(1 as const, 2 as const),
      (address, size, opcode, version) => {
        const header = view(TRANSFER_REQUEST_BYTES + 3);
        writeTransferRequest(header, 3, { opcode, version, address, size });
        request.read(header, 3);
        assert.equal(request.size, size);
        assert.equal(request.opcode, opcode);
        assert.equal(request.version, version);
        assert.deepEqual(splitAddress(address), {
          high: request.addressHigh,
          low: request.addressLow,
        });
      },
    ),
    { seed: chosenSeed(), numRuns: 500 },
  );
});

Deno.test("padding is not looked at and other opcodes are refused", () => {
  const header = view(TRANSFER_REQUEST_BYTES);
  const request = new TransferRequest();
  for (let i = 17; i < TRANSFER_REQUEST_BYTES; i++) header.setUint8(i, 0xff);
  request.read(header, 0);
  for (const code of [2, 3, 0x7f, 0x82, 0xff]) {
    header.setUint8(16, code);
    assert.throws(() => request.read(header, 0), ProtocolError);
  }
});

Deno.test("the range check agrees with exact arithmetic", () => {
  const request = new TransferRequest();
  const near = fc.tuple(u64, fc.bigInt(-5n, 5n), fc.nat(10), fc.nat(20));
  const far = fc.tuple(u64, fc.bigInt(-(1n << 64n), 1n << 64n), fc.maxSafeNat(), fc.maxSafeNat());
  fc.assert(
    fc.property(fc.oneof(near, far), ([base, offset, size, length]) => {
      const address = BigInt.asUintN(64, base + offset);
      const header = view(TRANSFER_REQUEST_BYTES);
      writeTransferRequest(header, 0, { opcode: 0, version: 2, address, size });
      request.read(header, 0);
      const start = address - base;
      const inside = size > 0 && start >= 0n && start + BigInt(size) <= BigInt(length);
      assert.equal(request.within(splitAddress(base), length), inside);
      if (start > -(1n << 53n) && start < 1n << 53n) {
        assert.equal(request.distanceFrom(splitAddress(base)), Number(start));
      }
    }),
    { seed: chosenSeed(), numRuns: 2000 },
  );
});

Deno.test("a status is a code and a magic number", () => {
  const status = view(TRANSFER_STATUS_BYTES);
  writeTransferStatus(status, 0, TransferStatus.ADDRESS_REFUSED);
  assert.equal(toHex(new Uint8Array(status.buffer)), "010000005654434d");
  assert.equal(readTransferStatus(status, 0), TransferStatus.ADDRESS_REFUSED);
  status.setUint8(5, 0);
  assert.throws(() => readTransferStatus(status, 0), ProtocolError);
});

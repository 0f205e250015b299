/**
 * Encoding and decoding of the calls that carry the load. The baseline of each group moves the same
 * number of bytes without looking at them.
 */
import { beginRequest, beginResponse, endRequest, endResponse } from "../proto/coro_rpc/header.ts";
import { RequestSplitter } from "../proto/coro_rpc/splitter.ts";
import {
  BatchExistKey,
  BatchGetReplicaList,
  ExistKey,
  PutStart,
  type Rpc,
  type StartRequest,
} from "../proto/messages.ts";
import { Reader } from "../proto/struct_pack/reader.ts";
import { Writer } from "../proto/struct_pack/writer.ts";

const WITH_LITERAL = { literal: true };
const utf8 = new TextEncoder();
const tenantId = utf8.encode("default");
const key = utf8.encode("llama-70b/layer-17/block-00000000000000000000000000004711/tp0");

const writer = new Writer(1 << 16);
const reader = new Reader();
const borrower = new Reader(undefined, 0, 0, { borrow: true });

function bodyOf<T>(
  encode: (out: Writer, value: T, options: { literal: boolean }) => void,
  value: T,
) {
  const out = new Writer();
  encode(out, value, WITH_LITERAL);
  return out.bytes.slice();
}

const answer = Array.from({ length: 128 }, (_, i) => ({
  code: 0,
  value: {
    replicas: [{
      id: 1000 + i,
      location: {
        kind: "memory" as const,
        buffer: {
          size: 65536,
          bufferAddress: 0x7f00_0000_0000n + BigInt(i * 65536),
          protocol: "tcp",
          transportEndpoint: "10.20.30.40:15733",
        },
      },
      status: 3,
    }],
    leaseTtlMs: 10_000,
    objectChecksum: null,
  },
}));
const answerBody = bodyOf((out, value: typeof answer, options) => {
  BatchGetReplicaList.response.encode(out, value, options);
}, answer);

const copied = new Uint8Array(1 << 20);

Deno.bench("copy its bytes", { group: "128-key GetReplicaList answer", baseline: true }, () => {
  copied.set(answerBody);
});
Deno.bench("encode", { group: "128-key GetReplicaList answer" }, () => {
  writer.reset();
  BatchGetReplicaList.response.encode(writer, answer, WITH_LITERAL);
});
Deno.bench("decode", { group: "128-key GetReplicaList answer" }, () => {
  reader.reset(answerBody);
  BatchGetReplicaList.response.decode(reader);
});

function benchRequest<T>(group: string, rpc: Rpc<T, unknown>, value: T): void {
  const codec = rpc.request!;
  const body = bodyOf((out, item: T, options) => codec.encode(out, item, options), value);
  Deno.bench("copy its bytes", { group, baseline: true }, () => {
    copied.set(body);
  });
  Deno.bench("encode with header", { group }, () => {
    writer.reset();
    const start = beginRequest(writer, 1, rpc.functionId);
    codec.encode(writer, value, WITH_LITERAL);
    endRequest(writer, start);
  });
  Deno.bench("decode", { group }, () => {
    reader.reset(body);
    codec.decode(reader);
  });
  Deno.bench("decode, borrowing bytes", { group }, () => {
    borrower.reset(body);
    codec.decode(borrower);
  });
}

const start: StartRequest = {
  clientId: "1171251872967892938-9688467992843222952",
  key,
  sliceLength: 65536,
  config: {
    replicaNum: 1,
    nofReplicaNum: 0,
    dfsReplicaNum: 0,
    softPinAction: 0,
    softPinTtlMs: null,
    withHardPin: false,
    preferredSegments: [],
    preferredSegment: "",
    preferredNofSegments: [],
    preferAllocInSameNode: false,
    dataType: 0,
    hostId: "",
    groupIds: null,
  },
  tenantId,
};

benchRequest("ExistKey request", ExistKey, { key, tenantId });
benchRequest("PutStart request", PutStart, start);
benchRequest("128-key BatchExistKey request", BatchExistKey, {
  keys: Array.from({ length: 128 }, (_, i) => key.map((byte) => byte ^ (i & 1))),
  tenantId,
});

const existAnswer = bodyOf((out, value: { code: number; value: boolean }, options) => {
  ExistKey.response.encode(out, value, options);
}, { code: 0, value: true });
Deno.bench("copy its bytes", { group: "ExistKey answer", baseline: true }, () => {
  copied.set(existAnswer);
});
Deno.bench("encode with header", { group: "ExistKey answer" }, () => {
  writer.reset();
  const at = beginResponse(writer, 1);
  ExistKey.response.encode(writer, { code: 0, value: true }, WITH_LITERAL);
  endResponse(writer, at);
});

Deno.bench("decode", { group: "ExistKey answer" }, () => {
  reader.reset(existAnswer);
  ExistKey.response.decode(reader);
});

const stream = (() => {
  const out = new Writer();
  for (let seq = 0; seq < 64; seq++) {
    const at = beginRequest(out, seq, ExistKey.functionId);
    ExistKey.request!.encode(out, { key, tenantId }, WITH_LITERAL);
    endRequest(out, at);
  }
  return out.bytes.slice();
})();
const splitter = new RequestSplitter();

function splitIn(chunkBytes: number): number {
  let bytes = 0;
  for (let at = 0; at < stream.length; at += chunkBytes) {
    splitter.feed(stream, at, Math.min(stream.length, at + chunkBytes));
    while (splitter.next()) bytes += splitter.bodyEnd - splitter.bodyStart;
  }
  return bytes;
}

const splitGroup = "split a stream of 64 ExistKey requests";
Deno.bench("copy its bytes", { group: splitGroup, baseline: true }, () => {
  copied.set(stream);
});
Deno.bench("in one chunk", { group: splitGroup }, () => {
  splitIn(stream.length);
});
Deno.bench("in chunks of 1000 bytes", { group: splitGroup }, () => {
  splitIn(1000);
});

import assert from "node:assert/strict";
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  snapshotId,
  snapshotTime,
} from "./manifest.ts";

const manifest: Manifest = {
  ...{ id: "20260102-030405-006", clusterId: "c", createdAt: "2026-01-02T03:04:05.006Z" },
  ...{ master: "1.2.3", group: 2 ** 40, keys: 7, segments: 1 },
  files: [{ name: "index.snap", bytes: 5, crc32c: 0x00ab_cdef }, {
    ...{ name: "documents.json", bytes: 0, crc32c: 0xffff_ffff },
  }],
};

Deno.test("an id is the time of the snapshot and sorts in its order", () => {
  const times = [0, 1, 999, 1000, Date.UTC(1999, 11, 31, 23, 59, 59, 999), Date.UTC(2026, 0, 2)];
  const ids = times.map(snapshotId);
  assert.equal(ids[1], "19700101-000000-001");
  assert.deepEqual(ids.map(snapshotTime), times);
  assert.deepEqual(ids.toSorted(), ids);
  for (const text of ["", "latest", "20260102-030405", "20261302-030405-006", "../x"]) {
    assert.equal(snapshotTime(text), null);
  }
});

Deno.test("a manifest is read as it was written", () => {
  assert.deepEqual(decodeManifest(encodeManifest(manifest), manifest.id), manifest);
});

Deno.test("a manifest with any byte changed, or cut anywhere, is refused", () => {
  const whole = encodeManifest(manifest);
  for (let at = 0; at < whole.length; at++) {
    const damaged = whole.slice();
    damaged[at] ^= 1;
    const read = decodeManifest(damaged, manifest.id);
    const blank = /\s/.test(String.fromCharCode(whole[at]));
    if (typeof read !== "string") assert(blank, `byte ${at}`);
    if (at < whole.length - 2) {
      assert.equal(typeof decodeManifest(whole.subarray(0, at), manifest.id), "string");
    }
  }
});

Deno.test("what is no manifest of this snapshot and this version is refused in words", () => {
  const changed = (changes: object) => {
    const { crc32c: _, ...document } = JSON.parse(
      new TextDecoder().decode(encodeManifest({ ...manifest, ...changes } as Manifest)),
    );
    return document;
  };
  const read = (bytes: Uint8Array) => decodeManifest(bytes, manifest.id);
  assert.equal(read(new Uint8Array(0)), "the manifest is damaged");
  assert.equal(read(new TextEncoder().encode("null")), "the manifest is damaged");
  assert.equal(read(new TextEncoder().encode("[]")), "the manifest is damaged");
  assert.equal(
    read(new TextEncoder().encode(JSON.stringify(changed({})))),
    "the manifest is damaged",
    "without its checksum",
  );
  assert.equal(
    read(encodeManifest({ ...manifest, id: "20260102-030405-007" })),
    "the manifest is that of 20260102-030405-007",
  );
  assert.equal(
    read(encodeManifest({ ...manifest, files: [] })),
    "it has no index.snap",
  );
  const strange = [...manifest.files, { name: "../x", bytes: 1, crc32c: 1 }];
  assert.equal(
    read(encodeManifest({ ...manifest, files: strange })),
    "the manifest names a strange file",
  );
  const newer = { ...manifest, version: 2 } as Manifest;
  assert.equal(
    read(encodeManifest(newer)),
    "it was written in format 2; this version reads 1",
  );
});

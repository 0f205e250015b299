import assert from "node:assert/strict";
import { AVOID_MS, PeerReports, REPORT_MS } from "./peer_reports.ts";

const STORE = "10.0.0.9:1";

Deno.test("one client of several cannot have a store avoided, two of three can", () => {
  const reports = new PeerReports();
  for (const client of ["1-1", "2-2", "3-3"]) reports.take(client, STORE, false, 0);
  for (let i = 0; i < 9; i++) {
    assert(!reports.take("1-1", STORE, true, i), "however often it says so");
  }
  assert(!reports.isAvoided(STORE, 10));
  assert(reports.take("2-2", STORE, true, 10));
  assert(!reports.take("2-2", STORE, true, 11), "it is avoided already");
  assert(reports.isAvoided(STORE, 12) && !reports.isAvoided("10.0.0.8:1", 12));
  assert.deepEqual(reports.opinion(STORE, 20), {
    ...{ users: 3, votes: 2, suspectedForMs: 20, avoidedForMs: 10 },
  });
});

Deno.test("half of the users are no majority, and others who use other stores do not count", () => {
  const reports = new PeerReports();
  for (const client of ["1-1", "2-2", "3-3", "4-4"]) reports.take(client, STORE, false, 0);
  for (const client of ["5-5", "6-6", "7-7"]) reports.take(client, "other:1", false, 0);
  for (const client of ["1-1", "2-2"]) reports.take(client, STORE, true, 1);
  assert(!reports.isAvoided(STORE, 2));
  reports.take("3-3", STORE, true, 2);
  assert(reports.isAvoided(STORE, 3));
});

Deno.test("the only client that says anything is believed, until there is another one", () => {
  const reports = new PeerReports();
  assert(reports.take("1-1", STORE, true, 0));
  reports.take("2-2", "other:1", false, 1);
  reports.take("1-1", STORE, true, 2);
  assert(!reports.isAvoided(STORE, 3));
  const later = 1 + REPORT_MS;
  assert(reports.take("1-1", STORE, true, later), "who has fallen silent is not counted");
});

Deno.test("votes expire, and who works again is used again at once", () => {
  const reports = new PeerReports();
  for (const client of ["1-1", "2-2"]) reports.take(client, STORE, true, 100);
  assert(reports.isAvoided(STORE, 100 + AVOID_MS - 1));
  assert(!reports.isAvoided(STORE, 100 + AVOID_MS), "nobody has repeated it");
  assert.deepEqual(reports.opinion(STORE, 100 + REPORT_MS), {
    ...{ users: 0, votes: 0, suspectedForMs: null, avoidedForMs: null },
  });
  for (const client of ["1-1", "2-2"]) reports.take(client, STORE, true, 30_000);
  assert(reports.isAvoided(STORE, 30_001));
  reports.take("1-1", STORE, false, 30_002);
  assert(!reports.isAvoided(STORE, 30_003));
  assert.equal(reports.opinion(STORE, 30_004).votes, 1);
});

Deno.test("stores that are gone can be forgotten", () => {
  const reports = new PeerReports();
  for (let i = 0; i < 10; i++) reports.take("1-1", `gone-${i}:1`, true, 0);
  reports.keepOnly((endpoint) => endpoint === "gone-3:1");
  assert.equal(reports.size, 1);
});

/** Metrics of the thread that owns the core. */
import type { Family } from "./family.ts";
import type { ServerStats } from "./registry.ts";

function server(
  name: string,
  type: "counter" | "gauge",
  field: keyof ServerStats,
  help: string,
): Family {
  return { name, type, help, collect: (snapshot, emit) => emit(snapshot.server[field]) };
}

export const serverFamilies: readonly Family[] = [
  server("snowskin_put_waits_total", "counter", "writeWaits", "Writes that waited for space."),
  server(
    "snowskin_held_waits_total",
    "counter",
    "heldWaits",
    "Changes that waited for readers who held what they change.",
  ),
  server("snowskin_read_holds_total", "counter", "readHolds", "Holds given to readers."),
  server("master_snapshot_success", "counter", "snapshots", "Snapshots made."),
  server("master_snapshot_fail", "counter", "snapshotFailures", "Snapshots that failed."),
  server(
    "snowskin_last_snapshot_timestamp_seconds",
    "gauge",
    "lastSnapshotSeconds",
    "Unix time of the newest snapshot of this process, 0 = none.",
  ),
  server(
    "snowskin_waiting_puts",
    "gauge",
    "waitingWrites",
    "Requests that wait for space, or for readers, now.",
  ),
  server("snowskin_rpc_connections", "gauge", "connections", "Open RPC connections."),
  server(
    "snowskin_loop_lag_seconds",
    "gauge",
    "loopLagSeconds",
    "Longest turn of the loop that owns the metadata, since the last scrape or summary.",
  ),
];

import type { Library } from "../../ffi/library.ts";
import type { NativeEngine } from "../../ffi/native_engine.ts";
import { NativeRdma, type NativeRdmaOptions, RdmaAbsentError } from "../../ffi/native_rdma.ts";
import { formatGid } from "../../proto/rdma_handshake.ts";
import type { RdmaSide } from "./engine.ts";
import { ANY_LOCATION, devicesFor, onlyDevices, type PriorityMatrix } from "./topology.ts";
import type { EnginePeers } from "./native_peers.ts";
import { RdmaLinks } from "./rdma_links.ts";
import { RdmaPeers } from "./rdma_peers.ts";

export { RdmaAbsentError };

/** How an engine uses RDMA. */
export interface RdmaOptions extends NativeRdmaOptions {
  /** Until memory is published: a name that no other engine has. */
  serverName: string;
  /** Queue pairs of a link that we dial, 1 to 16; 4, and 2 to peers of the reference. */
  qpsPerLink?: number;
  /** Links kept; 4096. */
  maxLinks?: number;
  /** Devices by location of memory. */
  matrix: PriorityMatrix;
  /** Where memory lies that the engine allocates. */
  location: string;
  /** Receives lines about links that cannot be made. */
  log: (line: string) => void;
}

/** {@linkcode RdmaSide} with what the engine itself needs. */
interface OpenedRdma extends RdmaSide {
  /** Peers of the engine; those without RDMA are left to `sockets`. */
  peers(sockets: EnginePeers): EnginePeers;
}

/** Opens the devices. {@linkcode RdmaAbsentError} when the library or a device is missing. */
export function openRdma(
  library: Library,
  engine: NativeEngine,
  options: RdmaOptions,
): OpenedRdma {
  const { serverName, qpsPerLink, maxLinks = 4096, log, matrix, location, ...tunables } = options;
  const rdma = new NativeRdma(library.symbols, engine, tunables);
  const links = new RdmaLinks(rdma, serverName, { maxLinks });
  const names = rdma.devices.map(({ name }) => name);
  const priorities = onlyDevices(matrix, names);
  priorities.set(ANY_LOCATION, devicesFor(priorities, ANY_LOCATION, names));
  const { preferred } = devicesFor(priorities, location, names);
  const near = names.map((name) => preferred.includes(name));
  return {
    priorities,
    location,
    devices: rdma.devices.map(({ name, lid, gid }) => ({ name, lid, gid: formatGid(gid) })),
    get serverName() {
      return links.serverName;
    },
    set serverName(name) {
      links.serverName = name;
    },
    keysOf: (region) => rdma.keysOf(region.id),
    accept: (body) => links.accept(body),
    peers: (sockets) => new RdmaPeers(engine, rdma, links, sockets, { near, qpsPerLink, log }),
  };
}

import type { SysfsTree } from "./sysfs.ts";

/** An address of a port. */
export interface RdmaGid {
  readonly index: number;
  readonly gid: string;
  /** As the kernel names it, such as `RoCE v2`; empty when it does not. */
  readonly type: string;
}

/** A port of an RDMA device, as the kernel shows it. */
export interface RdmaPort {
  /** Such as `ACTIVE`, `DOWN`; `unknown` when it does not tell. */
  readonly state: string;
  /** `Ethernet`, `InfiniBand`, or empty. */
  readonly linkLayer: string;
  /** Those that are set, by their indices. */
  readonly gids: readonly RdmaGid[];
}

/** Reads what there is of a port out of sysfs. */
export function rdmaPort(tree: SysfsTree, device: string, port: number): RdmaPort {
  const folder = `class/infiniband/${device}/ports/${port}`;
  const indices = tree.list(`${folder}/gids`).filter((name) => /^\d+$/.test(name)).map(Number);
  return {
    state: /:\s*(.*)$/.exec(tree.text(`${folder}/state`))?.[1] ?? "unknown",
    linkLayer: tree.text(`${folder}/link_layer`),
    gids: indices.sort((a, b) => a - b).map((index) => ({
      index,
      gid: tree.text(`${folder}/gids/${index}`),
      type: tree.text(`${folder}/gid_attrs/types/${index}`),
    })).filter(({ gid }) => /[1-9a-f]/.test(gid)),
  };
}

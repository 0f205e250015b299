import type { SysfsTree } from "./sysfs.ts";

/** Memory that is a device: CXL or persistent memory that is not given to the system. */
export interface DaxDevice {
  /** As in `/dev`, such as `dax0.0`. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** What is mapped of it is a multiple of this many bytes; 0 = the kernel does not say. */
  readonly align: number;
  /** NUMA node that it lies on; -1 = not known. */
  readonly numa: number;
}

const FOLDER = "bus/dax/devices";

/** The DAX devices of a machine that have some size, in the order of their names. */
export function daxDevices(tree: SysfsTree): DaxDevice[] {
  const number = (name: string, entry: string, fallback: number) => {
    const text = tree.text(`${FOLDER}/${name}/${entry}`);
    return /^-?\d+$/.test(text) ? Number(text) : fallback;
  };
  return tree.list(FOLDER).map((name) => ({
    name,
    size: number(name, "size", 0),
    align: number(name, "align", 0),
    numa: number(name, "numa_node", -1),
  })).filter(({ size }) => size > 0);
}

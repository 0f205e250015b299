/**
 * Which network devices lie close to which memory. Found in sysfs, or written down by an operator in
 * the reference's form of a priority matrix: `{location: [[preferred], [others]]}`, where a location
 * is `cpu:N` (memory of NUMA node N), `cuda:N` (memory of a GPU), or `*` (any).
 */
import { parseJsonExact } from "../../proto/json_exact.ts";
import { asObject } from "../../proto/metadata/fields.ts";
import type { DevicePreference } from "../../proto/metadata/segment_document.ts";
import { errorText } from "./error_text.ts";
import type { SysfsTree } from "./sysfs.ts";

/** Devices by location of memory. */
export type PriorityMatrix = Map<string, DevicePreference>;

/** Location of memory for which all devices are equal. */
export const ANY_LOCATION = "*";

/** Memory and processors that lie together. */
export interface NumaNode {
  readonly id: number;
  /** As the kernel lists them, such as `0-7,16-23`; empty when there are none. */
  readonly cpus: string;
  /** To each node, in order of `Topology.nodes`; 10 = itself. Empty when it is not known. */
  readonly distances: readonly number[];
}

/** A device on the PCI tree, or a virtual one. */
export interface Placed {
  readonly name: string;
  /** Such as `0000:17:00.0`; empty for a virtual device. */
  readonly pci: string;
  /** NUMA node; -1 = not known. */
  readonly numa: number;
  /** Path in sysfs; what two of them share is the way that bytes need not go. */
  readonly path: string;
}

/** A machine's memory, GPUs and RDMA devices. */
export interface Topology {
  readonly nodes: readonly NumaNode[];
  /** RDMA devices. */
  readonly nics: readonly Placed[];
  /** Named `cuda:N`, numbered by bus address. */
  readonly gpus: readonly Placed[];
  readonly matrix: PriorityMatrix;
}

const NVIDIA = "0x10de";
/** PCI classes of display controllers: VGA, 3D. */
const GPU_CLASSES = ["0x0300", "0x0302"];
const FAR = 255;

/**
 * Reads a machine's topology. Memory of a node prefers the devices of that node; memory of a GPU the
 * ones with the fewest PCI bridges between, of its node first. `usable` leaves devices out.
 */
export function discoverTopology(
  tree: SysfsTree,
  usable: (device: string) => boolean = () => true,
): Topology {
  const nodes = readNodes(tree);
  const nics = tree.list("class/infiniband").filter(usable)
    .map((name) => placed(tree, name, `class/infiniband/${name}`, "/device"));
  const gpus = readGpus(tree);
  const matrix: PriorityMatrix = new Map();
  for (const node of nodes) {
    const remoteness = ({ numa }: Placed) => numa === node.id ? 0 : distance(nodes, node, numa);
    matrix.set(`cpu:${node.id}`, preference(nics, remoteness, 0));
  }
  for (const gpu of gpus) {
    const remoteness = (nic: Placed) => gpuRemoteness(gpu, nic);
    const nearest = Math.min(...nics.map(remoteness));
    matrix.set(gpu.name, preference(nics, remoteness, nearest));
  }
  return { nodes, nics, gpus, matrix };
}

/**
 * Bridges and devices on the way from one device to another through the PCI tree: the parts of their
 * paths that they do not share. `Infinity` when one of them is not on the tree.
 */
export function pciDistance(a: Placed, b: Placed): number {
  if (a.pci === "" || b.pci === "") return Infinity;
  const [left, right] = [a.path.split("/"), b.path.split("/")];
  let shared = 0;
  while (shared < left.length && left[shared] === right[shared]) shared++;
  return left.length + right.length - 2 * shared;
}

/** Parses a custom matrix. `RangeError` with one line that names `where` and what is wrong. */
export function parsePriorityMatrix(text: string, where: string): PriorityMatrix {
  const refuse = (why: string): never => {
    throw new RangeError(
      `${where} is refused: ${why}; allowed: {"cpu:0": [["preferred"], ["others"]], ...}`,
    );
  };
  const names = (value: unknown, location: string): string[] => {
    const fits = Array.isArray(value) &&
      value.every((name) => typeof name === "string" && name !== "");
    return fits ? value : refuse(`${JSON.stringify(location)} has no two lists of device names`);
  };
  let entries: [string, unknown][] = [];
  try {
    entries = Object.entries(asObject(parseJsonExact(text), "it"));
  } catch (error) {
    refuse(errorText(error));
  }
  if (entries.length === 0) refuse("it names no location");
  return new Map(entries.map(([location, value]) => {
    if (!Array.isArray(value) || value.length !== 2) {
      return refuse(`${JSON.stringify(location)} has no two lists of device names`);
    }
    const [preferred, others] = value.map((list) => names(list, location));
    return [location, { preferred, others }];
  }));
}

/** The matrix in the reference's form, on one line. */
export function formatPriorityMatrix(matrix: PriorityMatrix): string {
  return JSON.stringify(
    Object.fromEntries(
      Array.from(matrix, ([location, { preferred, others }]) => [location, [preferred, others]]),
    ),
  );
}

/** The matrix without devices that are not `kept`, and without locations that are left none. */
export function onlyDevices(matrix: PriorityMatrix, kept: readonly string[]): PriorityMatrix {
  const of = (names: string[]) => names.filter((name) => kept.includes(name));
  return new Map(
    Array.from(matrix, ([location, { preferred, others }]): [string, DevicePreference] => [
      location,
      { preferred: of(preferred), others: of(others) },
    ]).filter(([, { preferred, others }]) => preferred.length + others.length > 0),
  );
}

/** Every device that a matrix names. */
export function devicesOf(matrix: PriorityMatrix): string[] {
  const lists = Array.from(matrix.values(), ({ preferred, others }) => [...preferred, ...others]);
  return [...new Set(lists.flat())];
}

/**
 * Devices for memory at a location, those to try first and the others; a location that the matrix does
 * not name, or names without a preferred device, prefers what `*` does, or else all.
 */
export function devicesFor(
  matrix: ReadonlyMap<string, DevicePreference>,
  location: string,
  all: readonly string[],
): DevicePreference {
  const entry = [location, ANY_LOCATION].map((name) => matrix.get(name))
    .find((entry) => entry?.preferred.some((name) => all.includes(name)));
  const preferred = entry?.preferred.filter((name) => all.includes(name)) ?? [...all];
  const rest = all.filter((name) => !preferred.includes(name));
  const known = entry?.others.filter((name) => rest.includes(name)) ?? [];
  return { preferred, others: [...known, ...rest.filter((name) => !known.includes(name))] };
}

/**
 * Where memory that this process allocates lies: `cpu:N` when it may use the memory of one NUMA node
 * only, else `*`. `status` is the text of `/proc/self/status`.
 */
export function memoryLocation(status: string): string {
  const allowed = /^Mems_allowed_list:\s*(\d+)\s*$/m.exec(status);
  return allowed === null ? ANY_LOCATION : `cpu:${allowed[1]}`;
}

function readNodes(tree: SysfsTree): NumaNode[] {
  const folder = "devices/system/node";
  return tree.list(folder)
    .flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((id) => ({
      id,
      cpus: tree.text(`${folder}/node${id}/cpulist`),
      distances: tree.text(`${folder}/node${id}/distance`).split(/\s+/).flatMap((text) =>
        text === "" ? [] : Number(text)
      ),
    }));
}

function readGpus(tree: SysfsTree): Placed[] {
  return tree.list("bus/pci/devices")
    .map((bus) => `bus/pci/devices/${bus}`)
    .filter((path) =>
      tree.text(`${path}/vendor`) === NVIDIA &&
      GPU_CLASSES.includes(tree.text(`${path}/class`).slice(0, 6)) &&
      tree.real(`${path}/driver`).endsWith("/nvidia")
    )
    .map((path, i) => placed(tree, `cuda:${i}`, path, ""));
}

function placed(tree: SysfsTree, name: string, entry: string, device: string): Placed {
  const path = tree.real(entry + device);
  const numa = Number(tree.text(`${entry}${device}/numa_node`) || -1);
  const pci = /[^/]+$/.exec(path)?.[0] ?? "";
  const onTree = /^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(pci);
  return { name, pci: onTree ? pci : "", numa: Number.isInteger(numa) ? numa : -1, path };
}

/** NUMA distance from a node to another one, which may not be known. */
function distance(nodes: readonly NumaNode[], from: NumaNode, to: number): number {
  const at = nodes.findIndex(({ id }) => id === to);
  return at < 0 ? FAR : Math.max(1, from.distances[at] ?? FAR);
}

/** The node counts for more than any number of bridges. */
function gpuRemoteness(gpu: Placed, nic: Placed): number {
  const sameNode = gpu.numa >= 0 && gpu.numa === nic.numa;
  return (sameNode ? 0 : 1e6) + Math.min(pciDistance(gpu, nic), 1e5);
}

function preference(
  nics: readonly Placed[],
  remoteness: (nic: Placed) => number,
  near: number,
): DevicePreference {
  const ranked = nics.map((nic) => ({ name: nic.name, far: remoteness(nic) }))
    .sort((a, b) => a.far - b.far);
  const names = (keep: (far: number) => boolean) =>
    ranked.filter(({ far }) => keep(far)).map(({ name }) => name);
  return { preferred: names((far) => far <= near), others: names((far) => far > near) };
}

/** `snowskin topology`: shows which RDMA devices lie close to which memory, and DAX devices. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { formatSize } from "../size.ts";
import { daxDevices } from "../transfer/dax_devices.ts";
import { errorText } from "../transfer/error_text.ts";
import { type SysfsTree, sysfsTree } from "../transfer/sysfs.ts";
import {
  discoverTopology,
  formatPriorityMatrix,
  parsePriorityMatrix,
  pciDistance,
  type PriorityMatrix,
  type Topology,
} from "../transfer/topology.ts";
import { rdmaPort } from "../transfer/rdma_ports.ts";
import { usableDevices } from "../transfer/device_nodes.ts";

const USAGE = `snowskin topology: which RDMA devices lie close to which memory, and DAX devices

Usage: snowskin topology [FLAGS]

  --json         print the priority matrix only, in the form that MC_CUSTOM_TOPO_JSON takes
  --sysfs=DIR    read this tree instead of /sys
  --custom=FILE  check this matrix and show it instead of the one found (MC_CUSTOM_TOPO_JSON)

GPUs are numbered by bus address, as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID.

Exit codes: 0 shown, 1 there is no such tree or file, 2 bad flags.
`;

const SYSFS = "/sys";

/** Runs the command; resolves with the exit code. */
// deno-lint-ignore require-await -- all commands are called alike
export async function main(
  args: string[],
  env: Readonly<Record<string, string | undefined>> = Deno.env.toObject(),
): Promise<number> {
  let options;
  try {
    options = parseArgs({
      args,
      options: {
        json: { type: "boolean", default: false },
        sysfs: { type: "string", default: SYSFS },
        custom: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return fail(`${errorText(error).split("\n")[0]}. See snowskin topology --help`, 2);
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const { sysfs, json } = options;
  if (!existsSync(`${sysfs}/devices`) && !existsSync(`${sysfs}/class`)) {
    return fail(`--sysfs=${sysfs} is no sysfs tree: it has neither devices nor class`, 1);
  }
  const custom = options.custom ?? env.MC_CUSTOM_TOPO_JSON ?? "";
  const tree = sysfsTree(sysfs);
  const usable = sysfs === SYSFS ? usableDevices(tree) : () => true;
  const topology = discoverTopology(tree, usable);
  let { matrix } = topology;
  if (custom !== "") {
    try {
      matrix = parsePriorityMatrix(readFileSync(custom, "utf8"), custom);
    } catch (error) {
      return fail(errorText(error), 1);
    }
  }
  console.log(json ? formatPriorityMatrix(matrix) : text(tree, topology, matrix, custom));
  return 0;
}

function text(tree: SysfsTree, topology: Topology, matrix: PriorityMatrix, custom: string): string {
  const { nodes, nics, gpus } = topology;
  const lines: string[] = [];
  for (const { id, cpus, distances } of nodes) {
    lines.push(`node ${id}   CPUs ${cpus || "none"}, distances ${distances.join(" ")}`);
  }
  for (const { name, pci, numa } of nics) {
    lines.push(`${name}   RDMA, ${where(pci, numa)}, port 1 ${rdmaPort(tree, name, 1).state}`);
  }
  if (nics.length === 0) lines.push("no RDMA devices");
  for (const gpu of gpus) {
    const near = nics.filter((nic) => pciDistance(gpu, nic) < Infinity)
      .map((nic) => `${nic.name} ${pciDistance(gpu, nic)}`);
    const steps = near.length === 0 ? "" : `, PCI steps to ${near.join(", ")}`;
    lines.push(`${gpu.name}   GPU, ${where(gpu.pci, gpu.numa)}${steps}`);
  }
  for (const { name, size, align, numa } of daxDevices(tree)) {
    const pages = align > 0 ? ` in pages of ${formatSize(align)}` : "";
    lines.push(`${name}   DAX, ${formatSize(size)}${pages}, ${onNode(numa)}`);
  }
  lines.push("", custom === "" ? "memory     preferred | others" : `from ${custom}:`);
  for (const [location, { preferred, others }] of matrix) {
    const lists = [preferred, others].map((names) => names.join(" ") || "-").join(" | ");
    lines.push(`${location.padEnd(10)} ${lists}`);
  }
  return lines.join("\n");
}

function where(pci: string, numa: number): string {
  return `${pci === "" ? "virtual" : `PCI ${pci}`}, ${onNode(numa)}`;
}

function onNode(numa: number): string {
  return `node ${numa < 0 ? "unknown" : numa}`;
}

function fail(why: string, code: number): number {
  console.error(`snowskin topology: ${why}`);
  return code;
}

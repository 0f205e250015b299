/**
 * Makes DAX devices of the emulated persistent memory that the machine of `main.ts dax` has: ranges of
 * its RAM which the kernel was told to take for that (`memmap=SIZE!START`).
 */
import { command } from "./guest.ts";

const ND = "/sys/bus/nd";
/** Drivers of persistent memory and DAX, and the checksum that ext4 asks for. */
const MODULES = ["nd_e820", "nd_pmem", "device_dax", "dax_pmem", "crc32c_generic", "ext4"];

/** Alignment of the device. */
export const DEVICE_PAGE = 2 << 20;

/** Memory without a page cache in both of its forms. */
export interface DaxMemory {
  /** A folder whose files are mapped without a page cache. */
  readonly folder: string;
  /** One of the same file system whose files have one. */
  readonly cached: string;
  /** A device such as `/dev/dax1.0`. */
  readonly device: string;
}

/** The memory, or what the machine's kernel lacks for it. */
export function makeDaxMemory(): DaxMemory | { reason: string } {
  for (const module of MODULES) {
    const { success } = new Deno.Command("busybox", { args: ["modprobe", module] }).outputSync();
    if (!success) return { reason: `the machine's kernel has no module ${module}` };
  }
  const mounted = Deno.makeTempDirSync({ prefix: "dax-" });
  const [folder, cached] = [`${mounted}/dax`, `${mounted}/cached`];
  command(`mkfs.ext4 -q -b 4096 /dev/pmem0 && mount -o dax=inode /dev/pmem0 ${mounted}`);
  command(`mkdir ${folder} ${cached} && chattr +x ${folder}`);
  return { folder, cached, device: makeDevice(1) };
}

/** Gives the memory of a region to a DAX device, as `ndctl create-namespace --mode=devdax` does. */
function makeDevice(region: number): string {
  const seed = Deno.readTextFileSync(`${ND}/devices/region${region}/dax_seed`).trim();
  const namespace = `namespace${region}.0`;
  const steps: [string, string][] = [
    [`${ND}/drivers/nd_pmem/unbind`, namespace],
    [`${ND}/devices/${seed}/uuid`, crypto.randomUUID()],
    [`${ND}/devices/${seed}/mode`, "ram"],
    [`${ND}/devices/${seed}/align`, String(DEVICE_PAGE)],
    [`${ND}/devices/${seed}/namespace`, namespace],
    [`${ND}/drivers/dax_pmem/bind`, seed],
  ];
  for (const [path, text] of steps) Deno.writeTextFileSync(path, text);
  return `/dev/${seed}`;
}

import { dirname } from "node:path";

/** A machine that a test describes: nodes, RDMA devices and GPUs. */
export interface MachineSketch {
  /** Distances from each NUMA node to each. */
  distances: number[][];
  /** Path of the PCI device below `devices/`, or empty for a virtual one; its NUMA node. */
  nics?: Record<string, { at: string; numa: number }>;
  gpus?: { at: string; numa: number; driver?: string }[];
}

/** Writes a tree as sysfs would show it, in a folder that is removed with it. */
export class SysfsFixture implements Disposable {
  readonly root = Deno.makeTempDirSync({ prefix: "sysfs-" });

  constructor({ distances, nics = {}, gpus = [] }: MachineSketch) {
    distances.forEach((row, id) => {
      this.file(`devices/system/node/node${id}/distance`, `${row.join(" ")}\n`);
      this.file(`devices/system/node/node${id}/cpulist`, `${id * 4}-${id * 4 + 3}\n`);
    });
    this.file("devices/system/node/has_memory", "0\n");
    for (const [name, { at, numa }] of Object.entries(nics)) {
      const home = at === "" ? `devices/virtual/infiniband/${name}` : `${at}/infiniband/${name}`;
      this.file(`${home}/ports/1/state`, "4: ACTIVE\n");
      if (at !== "") {
        this.file(`${at}/numa_node`, `${numa}\n`);
        this.link(`${home}/device`, at);
      }
      this.link(`class/infiniband/${name}`, home);
    }
    for (const { at, numa, driver = "nvidia" } of gpus) {
      this.file(`${at}/vendor`, "0x10de\n");
      this.file(`${at}/class`, "0x030200\n");
      this.file(`${at}/numa_node`, `${numa}\n`);
      Deno.mkdirSync(`${this.root}/bus/pci/drivers/${driver}`, { recursive: true });
      this.link(`${at}/driver`, `bus/pci/drivers/${driver}`);
      this.link(`bus/pci/devices/${at.slice(at.lastIndexOf("/") + 1)}`, at);
    }
  }

  file(path: string, text: string): void {
    Deno.mkdirSync(`${this.root}/${dirname(path)}`, { recursive: true });
    Deno.writeTextFileSync(`${this.root}/${path}`, text);
  }

  link(path: string, target: string): void {
    Deno.mkdirSync(`${this.root}/${dirname(path)}`, { recursive: true });
    Deno.symlinkSync(`${this.root}/${target}`, `${this.root}/${path}`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.root, { recursive: true });
  }
}

/** Two sockets; on each a switch with a GPU and a NIC below it, and a NIC on a port of its own. */
export const TWO_SOCKETS: MachineSketch = {
  distances: [[10, 21], [21, 10]],
  nics: {
    mlx5_0: { at: "devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0", numa: 0 },
    mlx5_1: { at: "devices/pci0000:00/0000:00:02.0/0000:05:00.0", numa: 0 },
    mlx5_2: { at: "devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:82:00.0", numa: 1 },
    rxe0: { at: "", numa: -1 },
  },
  gpus: [
    { at: "devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:03:00.0", numa: 0 },
    { at: "devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:83:00.0", numa: 1 },
    { at: "devices/pci0000:80/0000:80:03.0/0000:90:00.0", numa: 1, driver: "vfio-pci" },
  ],
};

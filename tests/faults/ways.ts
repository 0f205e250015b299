/** The ways in which bytes travel between clients and nodes of ours. */
import { openLibrary } from "../../ffi/library.ts";

/** How the bytes travel. */
export interface Way {
  readonly name: "tcp" | "typescript" | "shm" | "rdma";
  readonly what: string;
  readonly engine: "native" | "typescript";
  readonly forceTcp: boolean;
  readonly protocol: "tcp" | "rdma";
  /** Why it cannot be had here, or `null`. */
  readonly missing: string | null;
}

function nativeAbsent(): string | null {
  const library = openLibrary();
  if ("unavailable" in library) return `the C shim: ${library.unavailable}`;
  library.close();
  return null;
}

function rdmaAbsent(): string | null {
  try {
    if (Array.from(Deno.readDirSync("/sys/class/infiniband")).length > 0) return noShim;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "there is no RDMA device";
}

const noShim = nativeAbsent();
const tcp = { engine: "native", forceTcp: true, protocol: "tcp", missing: noShim } as const;

export const ways: readonly Way[] = [
  { ...tcp, name: "tcp", what: "TCP, the C shim" },
  { ...tcp, name: "typescript", what: "TCP, TypeScript", engine: "typescript", missing: null },
  { ...tcp, name: "shm", what: "memory of one host", forceTcp: false },
  { ...tcp, name: "rdma", what: "RDMA", forceTcp: false, protocol: "rdma", missing: rdmaAbsent() },
];

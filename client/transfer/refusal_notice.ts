import type { NativeEngine } from "../../ffi/native_engine.ts";

const LINE =
  "memory of a process on this host is reached over TCP: the system does not let one of " +
  "the two read the other's (process_vm_readv; see /proc/sys/kernel/yama/ptrace_scope)";

/** Says once that memory of another process of the host may not be read. */
export class RefusalNotice {
  readonly #engine: NativeEngine;
  readonly #log: (line: string) => void;

  constructor(engine: NativeEngine, log: (line: string) => void) {
    this.#engine = engine;
    this.#log = log;
  }

  /** Whether it has been said. */
  tell(): boolean {
    if (this.#engine.refusals === 0) return false;
    this.#log(LINE);
    return true;
  }
}

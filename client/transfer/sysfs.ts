import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";

/** What is read of a tree such as `/sys`. Paths are relative to its root, without a leading `/`. */
export interface SysfsTree {
  /** Names in a folder, sorted; empty when there is no such folder. */
  list(path: string): string[];
  /** The text of a file without the white space around it; empty when it cannot be read. */
  text(path: string): string;
  /** The path without links, from the root of the tree; empty when there is no such file. */
  real(path: string): string;
}

/** The tree at a folder of this machine; `/sys` is that of the machine itself. */
export function sysfsTree(root: string): SysfsTree {
  const base = existsSync(root) ? realpathSync(root) : root;
  const orElse = <T>(read: () => T, fallback: T): T => {
    try {
      return read();
    } catch {
      return fallback;
    }
  };
  return {
    list: (path) => orElse(() => readdirSync(`${base}/${path}`).sort(), []),
    text: (path) => orElse(() => readFileSync(`${base}/${path}`, "utf8").trim(), ""),
    real(path) {
      const real = orElse(() => realpathSync(`${base}/${path}`), "");
      return real.startsWith(`${base}/`) ? real.slice(base.length + 1) : "";
    },
  };
}

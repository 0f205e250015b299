import type { Machine } from "./machine.ts";
import type { DoctorOptions } from "./flags.ts";

/** For what a machine is looked at. */
export type Role = "master" | "store" | "client";

/** What a check found. */
export interface Finding {
  /** `note`: it works, and could be better; `problem`: what was asked for does not work. */
  readonly status: "ok" | "note" | "problem";
  /** One line: what is so, and what that means. */
  readonly text: string;
  /** What to do, such as a command; absent where there is nothing to do. */
  readonly fix?: string;
}

/** One thing that is looked at. */
export interface Check {
  readonly name: string;
  readonly roles: readonly Role[];
  run(machine: Machine, options: DoctorOptions): Finding[] | Promise<Finding[]>;
}

export function ok(text: string): Finding[] {
  return [{ status: "ok", text }];
}

export function note(text: string, fix?: string): Finding[] {
  return [{ status: "note", text, ...(fix !== undefined && { fix }) }];
}

export function problem(text: string, fix?: string): Finding[] {
  return [{ status: "problem", text, ...(fix !== undefined && { fix }) }];
}

import type { Wheel } from "../../tests/support/wheel.ts";
import type { Figure } from "./figure.ts";

/** The wheel's programs. */
export type InstalledWheel = Extract<Wheel, { python: string }>;

/** What one section found, and lines on how. */
export interface Section {
  notes: string[];
  figures: Figure[];
}

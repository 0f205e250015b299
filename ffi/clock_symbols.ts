/** Functions of `mc/clock.h`. */
export const clockSymbols = {
  mc_clock_ms: { parameters: [], result: "f64" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of `mc/memory.h`. */
export const memorySymbols = {
  mc_memory_reserve: { parameters: ["u64"], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of `mc/memory.h`. */
export const memorySymbols = {
  mc_memory_reserve: { parameters: ["u64"], result: "pointer" },
  mc_file_memory_map: {
    parameters: ["buffer", "u64", "buffer", "buffer", "u32"],
    result: "i32",
  },
  mc_file_view_map: {
    parameters: ["buffer", "u64", "buffer", "buffer", "u32"],
    result: "i32",
  },
  mc_file_memory_unmap: { parameters: ["buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

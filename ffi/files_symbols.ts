/** Functions of `mc/files.h`. */
export const filesSymbols = {
  mc_files_measure: { parameters: ["buffer", "buffer", "buffer", "u32"], result: "i32" },
  mc_files_add: {
    parameters: ["pointer", "u32", "buffer", "u64", "buffer", "u32"],
    result: "i32",
  },
  mc_files_failure: { parameters: ["pointer", "u32", "buffer", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

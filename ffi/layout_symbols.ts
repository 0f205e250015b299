/** Functions of `mc/layout.h`. */
export const layoutSymbols = {
  mc_abi_version: { parameters: [], result: "i32" },
  mc_layout: { parameters: ["buffer", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The version of the shim's public structs and functions that this code is written for. */
export const ABI_VERSION = 9;

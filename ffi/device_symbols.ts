/** Functions of `mc/device.h`. */
export const deviceSymbols = {
  mc_device_open: { parameters: ["buffer", "buffer", "buffer", "u32"], result: "i32" },
  mc_region_load: { parameters: ["pointer", "u32", "u64", "u64", "buffer"], result: "i32" },
  mc_region_store: { parameters: ["pointer", "u32", "u64", "u64", "buffer"], result: "i32" },
  mc_region_crc32c: { parameters: ["pointer", "u32", "u64", "u64", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

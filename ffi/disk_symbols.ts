/** Functions of `mc/disk.h`, `mc/tail.h` and `mc/crc32c.h`. */
export const diskSymbols = {
  mc_disk_syncer_open: { parameters: ["buffer"], result: "i32" },
  mc_disk_sync_begin: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_disk_sync_result: { parameters: ["pointer"], result: "i32" },
  mc_disk_sync_wait: { parameters: ["pointer"], result: "i32" },
  mc_disk_syncer_close: { parameters: ["pointer"], result: "void" },
  mc_tail_open: { parameters: ["buffer", "u64", "buffer"], result: "i32" },
  mc_tail_descriptor: { parameters: ["pointer"], result: "i32" },
  mc_tail_append: { parameters: ["pointer", "buffer", "u32", "f64"], result: "i32" },
  mc_tail_close: { parameters: ["pointer"], result: "void" },
  mc_crc32c: { parameters: ["u32", "buffer", "u64"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Files of one round. */
export const DISK_MAX_FILES = 16;

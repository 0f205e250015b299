/** Functions of `mc/engine.h`, `mc/region.h`, `mc/peer.h` and `mc/op.h`. */
export const engineSymbols = {
  mc_engine_open: { parameters: ["buffer", "buffer"], result: "i32" },
  mc_engine_listen: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_engine_local_name: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_engine_shutdown: { parameters: ["pointer"], result: "i32" },
  mc_engine_destroy: { parameters: ["pointer"], result: "i32" },
  mc_engine_stats: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_engine_set_identity: { parameters: ["pointer", "buffer"], result: "i32" },
  mc_engine_fence: {
    parameters: ["pointer", "u64", "u64", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  mc_region_register: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  mc_region_populate: { parameters: ["pointer", "u32"], result: "i32", nonblocking: true },
  mc_region_unregister: { parameters: ["pointer", "u32"], result: "i32" },
  mc_peer_open: { parameters: ["pointer", "buffer"], result: "i32" },
  mc_peer_close: { parameters: ["pointer", "u32"], result: "i32" },
  mc_submit: { parameters: ["pointer", "buffer", "u32", "u32"], result: "i32" },
  mc_wait: { parameters: ["pointer", "buffer", "u32", "u32", "u32", "u32"], result: "i32" },
  mc_poll: { parameters: ["pointer", "buffer", "u32", "u32"], result: "i32", nonblocking: true },
  mc_wake: { parameters: ["pointer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of `mc/rdma.h`. */
export const rdmaSymbols = {
  mc_rdma_open: { parameters: ["pointer", "buffer", "buffer", "u32"], result: "i32" },
  mc_rdma_devices: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_rdma_region_keys: { parameters: ["pointer", "u32", "buffer", "buffer"], result: "i32" },
  mc_rdma_link_open: { parameters: ["pointer", "u32", "u32", "buffer"], result: "i32" },
  mc_rdma_link_connect: {
    parameters: ["pointer", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  mc_rdma_link_state: { parameters: ["pointer", "u32"], result: "i32" },
  mc_rdma_link_close: { parameters: ["pointer", "u32"], result: "i32" },
  mc_rdma_peer_set: {
    parameters: ["pointer", "u32", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

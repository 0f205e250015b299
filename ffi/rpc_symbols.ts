/** Functions of `mc/rpc.h`. */
export const rpcSymbols = {
  mc_rpc_open: { parameters: ["buffer", "buffer"], result: "i32" },
  mc_rpc_port: { parameters: ["pointer"], result: "i32" },
  mc_rpc_wake_fd: { parameters: ["pointer"], result: "i32" },
  mc_rpc_poll: {
    parameters: ["pointer", "buffer", "u32", "buffer", "u32", "u32"],
    result: "i32",
  },
  mc_rpc_send: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_rpc_is_open: { parameters: ["pointer", "u32"], result: "i32" },
  mc_rpc_close: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Byte offsets of the structs in `mc/rpc.h`; `layout_test.ts` compares them with the library. */
export const RPC_OPTIONS_BYTES = 96;
export const RPC_OPTIONS_HOST = 32;
export const RPC_BATCH_BYTES = 16;
export const RPC_REQUEST_BYTES = 24;
export const RPC_REPLY_BYTES = 8;
export const RPC_WOKEN = 1;

/** What a request record holds. */
export const RpcKind = { REQUEST: 0, TOO_LARGE: 1 } as const;

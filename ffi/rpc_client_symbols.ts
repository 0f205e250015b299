/** Functions of `mc/rpc_client.h`. */
export const rpcClientSymbols = {
  mc_rpc_client_open: { parameters: ["buffer", "buffer"], result: "i32" },
  mc_rpc_client_send: { parameters: ["pointer", "buffer", "u32"], result: "i32" },
  mc_rpc_client_flush: { parameters: ["pointer"], result: "i32" },
  mc_rpc_client_receive: { parameters: ["pointer", "buffer", "u32", "u32"], result: "i32" },
  mc_rpc_client_watch: { parameters: ["pointer", "u32"], result: "void" },
  mc_rpc_client_poll: { parameters: ["pointer"], result: "i32", nonblocking: true },
  mc_rpc_client_shutdown: { parameters: ["pointer"], result: "void" },
  mc_rpc_client_close: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

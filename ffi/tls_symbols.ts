/** Functions of `mc/tls.h`. */
export const tlsSymbols = {
  mc_tls_open: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
  mc_tls_renew: {
    parameters: ["pointer", "buffer", "buffer", "buffer", "buffer", "u32"],
    result: "i32",
  },
  mc_tls_take_report: { parameters: ["pointer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

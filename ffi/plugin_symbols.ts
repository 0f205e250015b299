/** Functions of `mc/plugin.h`. */
export const pluginSymbols = {
  mc_plugin_open: { parameters: ["pointer", "buffer", "buffer", "u32"], result: "i32" },
  mc_plugin_info: { parameters: ["pointer", "buffer"], result: "i32" },
  mc_plugin_region_key: { parameters: ["pointer", "u32", "buffer"], result: "i32" },
  mc_plugin_peer_set: {
    parameters: ["pointer", "u32", "buffer", "u32", "buffer", "u32"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

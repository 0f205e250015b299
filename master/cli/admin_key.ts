/** Where commands take the key for the admin port from. */
export const KEY_VARIABLE = "SNOWSKIN_ADMIN_KEY";

/** The header that shows the key of the environment; empty without one. */
export function keyHeaders(): Record<string, string> {
  const key = Deno.env.get(KEY_VARIABLE) ?? "";
  return key === "" ? {} : { authorization: `Bearer ${key}` };
}

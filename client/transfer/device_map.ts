import { asObject } from "../../proto/metadata/fields.ts";
import { parseJsonExact } from "../../proto/json_exact.ts";
import { errorText } from "./error_text.ts";
import { ANY_LOCATION, type PriorityMatrix } from "./topology.ts";

/** What {@linkcode parseDeviceMap} takes, for messages. */
export const DEVICE_MAP_FORM =
  '{"0": "NAME,NAME", "cpu:0": ["NAME"], ...} with the numbers of GPUs or cpu:N, cuda:N, npu:N, *';

/** Whether a list of devices is a map of them instead. */
export function isDeviceMap(text: string): boolean {
  return text.trimStart().startsWith("{");
}

/**
 * Which RDMA devices are close to which memory, from a map of locations to devices, as text such as
 * `{"0": "mlx5_0,mlx5_1", "1": "mlx5_2"}`. A bare number is a GPU, as in SGLang's maps. Memory of
 * which it says nothing is close to all of its devices, unless it names `*`. `RangeError` for
 * anything else.
 */
export function parseDeviceMap(text: string): PriorityMatrix {
  const refuse = (why: string): never => {
    throw new RangeError(`${text} is refused: ${why}; allowed: ${DEVICE_MAP_FORM}`);
  };
  let entries: [string, unknown][] = [];
  try {
    entries = Object.entries(asObject(parseJsonExact(text), "it"));
  } catch (error) {
    refuse(errorText(error));
  }
  if (entries.length === 0) refuse("it names no device");
  const lists = new Map(entries.map(([key, value]): [string, string[]] => {
    const location = /^\d{1,4}$/.test(key) ? `cuda:${key}` : key;
    if (location !== ANY_LOCATION && !/^(cpu|cuda|npu):\d{1,4}$/.test(location)) {
      refuse(`${JSON.stringify(key)} is no location`);
    }
    const names = typeof value === "string" ? value.split(",") : value;
    const fits = Array.isArray(names) && names.length > 0 &&
      names.every((name) => typeof name === "string" && /^[\w.-]+$/.test(name.trim()));
    if (!fits) refuse(`${JSON.stringify(key)} names no devices`);
    return [location, (names as string[]).map((name) => name.trim())];
  }));
  const all = Array.from(new Set(Array.from(lists.values()).flat()));
  if (!lists.has(ANY_LOCATION)) lists.set(ANY_LOCATION, all);
  return new Map(Array.from(lists, ([location, preferred]) => [
    location,
    { preferred, others: all.filter((name) => !preferred.includes(name)) },
  ]));
}

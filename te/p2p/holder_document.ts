/** What a process that has pieces of a name tells others, as JSON in the metadata service. */
import { parseJsonExact, stringifyJsonExact } from "../../proto/json_exact.ts";
import {
  addressField,
  asArray,
  asObject,
  integerField,
  nameField,
} from "../../proto/metadata/fields.ts";

/** One holder of a name. */
export interface HolderDocument {
  /** Of the manifest that its pieces belong to. */
  readonly digest: string;
  /** The name of its engine. */
  readonly segment: string;
  /** Where it shows which pieces it has. */
  readonly piecesAddress: bigint;
  /** Where each file that has bytes begins. */
  readonly addresses: readonly bigint[];
  /** Grows while it lives. */
  readonly beat: number;
}

const VERSION = 1;

/** The document as text. */
export function formatHolder(holder: HolderDocument): string {
  return stringifyJsonExact({
    ...{ version: VERSION, digest: holder.digest, segment: holder.segment, beat: holder.beat },
    pieces: holder.piecesAddress,
    files: [...holder.addresses],
  });
}

/** Reads a document. `ProtocolError` for a text that is none. */
export function parseHolder(text: string): HolderDocument {
  const what = "a holder's document";
  const json = asObject(parseJsonExact(text), what);
  integerField(json, "version", what, { low: VERSION, high: VERSION });
  const addresses = asArray(json.files, `files of ${what}`);
  return {
    digest: nameField(json, "digest", what),
    segment: nameField(json, "segment", what),
    piecesAddress: addressField(json, "pieces", what),
    addresses: addresses.map((address) => addressField({ address }, "address", what)),
    beat: integerField(json, "beat", what, { low: 0, high: Number.MAX_SAFE_INTEGER }),
  };
}

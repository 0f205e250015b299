import { ProtocolError } from "../../proto/error.ts";
import { type DescribedFact, describeFact } from "../core/fact_text.ts";
import { FactReader } from "../core/fact_reader.ts";
import { FACT_HEADER_BYTES } from "../journal/group_format.ts";
import type { FactPosition } from "./fact_line.ts";
import type { ReadGroup } from "./sources.ts";

/** One change of a group, or why its bytes are none. */
export type ReadFact =
  & { readonly position: FactPosition }
  & ({ readonly fact: DescribedFact } | { readonly malformed: string });

/** Takes groups apart, and numbers the changes of each group or checkpoint. */
export class FactStream {
  #group = -1;
  #isCheckpoint = false;
  #number = 0;

  /** The changes of one group; the parts of a checkpoint go on counting. */
  *of({ sequence, bytes, start, end }: ReadGroup, isCheckpoint: boolean): Generator<ReadFact> {
    if (sequence !== this.#group || isCheckpoint !== this.#isCheckpoint) this.#number = 0;
    this.#group = sequence;
    this.#isCheckpoint = isCheckpoint;
    const reader = new FactReader(bytes, start, end, 0);
    for (let at = start; at < end;) {
      const position = { group: sequence, isCheckpoint, number: ++this.#number };
      let next = end;
      try {
        reader.moveTo(at, end);
        const length = reader.u32();
        if (at + FACT_HEADER_BYTES + length > end) throw reader.malformed("it is cut off");
        next = at + FACT_HEADER_BYTES + length;
        reader.moveTo(at + FACT_HEADER_BYTES, next);
        yield { position, fact: describeFact(reader) };
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        yield { position, malformed: error.message };
      }
      at = next;
    }
  }
}

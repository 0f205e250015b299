/** What a route of the admin server is, and short builders for the table in `routes.ts`. */

/** A JSON Schema of draft 2020-12, as OpenAPI 3.1 takes it. */
export type Schema = boolean | { readonly [keyword: string]: unknown };

/** A query parameter. Keys are percent-encoded bytes, so they are described as strings. */
export interface Parameter {
  readonly name: string;
  readonly description: string;
  readonly schema: Schema;
  readonly required?: boolean;
}

/** What comes back with one status. */
export interface Answer {
  readonly description: string;
  readonly type: "application/json" | "text/plain" | "application/octet-stream";
  readonly schema: Schema;
}

/**
 * Who may call a route: `read` = everybody; `change` = this machine, or everybody with
 * `--insecure`, and never a page of another site.
 */
export type Access = "read" | "change";

export interface Route {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  readonly path: string;
  readonly access: Access;
  readonly tag: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  /** Schema of the JSON body, `null` = none is read. */
  readonly body: Schema | null;
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
}

export const text: Schema = { type: "string" };
export const flag: Schema = { type: "boolean" };
export const count: Schema = { type: "integer", minimum: 0 };
export const amount: Schema = { type: "number", minimum: 0 };
export const ratio: Schema = { type: ["number", "null"], minimum: 0, maximum: 1 };

export function list(items: Schema): Schema {
  return { type: "array", items };
}

export function choice(...values: readonly (string | number | null)[]): Schema {
  return { enum: values };
}

export function nullable(type: string): Schema {
  return { type: [type, "null"] };
}

/** A map from any name to `values`. */
export function mapOf(values: Schema): Schema {
  return { type: "object", additionalProperties: values };
}

/** An object that has all of `members`, and may have those of `optional`. */
export function record(
  members: Record<string, Schema>,
  optional: Record<string, Schema> = {},
): Schema {
  return {
    type: "object",
    properties: { ...members, ...optional },
    required: Object.keys(members),
    additionalProperties: false,
  };
}

export function json(description: string, schema: Schema): Answer {
  return { description, type: "application/json", schema };
}

export function plain(description: string): Answer {
  return { description, type: "text/plain", schema: text };
}

export function parameter(
  name: string,
  description: string,
  schema: Schema = text,
  required = false,
): Parameter {
  return { name, description, schema, required };
}

/** A refusal with a code of the store. */
export const REFUSAL = record({
  success: { const: false },
  error_code: { type: "integer", maximum: -1 },
  error_message: text,
});

const REFUSALS: Readonly<Record<number, string>> = {
  400: "A parameter or the body is missing or malformed.",
  401: "Changes are taken from this machine only.",
  403: "Changes from pages of other sites are refused.",
  404: "There is no such thing.",
  409: "Not possible in this mode or state.",
  413: "Too many keys, or too large a body.",
  500: "The call failed.",
  501: "This version does not have it.",
  503: "The master is not answering, or a standby, which changes nothing and names the leader.",
};

/** Refusals with the store's codes, by their statuses. */
export function refusals(...statuses: number[]): Record<number, Answer> {
  return Object.fromEntries(
    statuses.map((status) => [status, json(REFUSALS[status], REFUSAL)]),
  );
}

/** Builds the routes of one tag. Every route may answer 500 and 503; changes 401 and 403, too. */
export function routesOf(tag: string) {
  const build = (method: Route["method"], access: Access) =>
  (
    path: string,
    summary: string,
    answers: Record<number, Answer>,
    input: { parameters?: readonly Parameter[]; body?: Schema } = {},
  ): Route => ({
    ...{ method, path, access, tag, summary },
    parameters: input.parameters ?? [],
    body: input.body ?? null,
    answers: {
      ...refusals(...(access === "change" ? [401, 403] : []), 500, 503),
      ...answers,
    },
  });
  return {
    get: build("get", "read"),
    /** A question with a body. */
    ask: build("post", "read"),
    post: build("post", "change"),
    put: build("put", "change"),
    patch: build("patch", "change"),
    delete: build("delete", "change"),
  };
}

/** The OpenAPI 3.1 document of the admin server, made from the table of routes. */
import type { Answer, Parameter, Route } from "./route_types.ts";

/** A part of the document. */
type Part = Record<string, unknown>;

/** Builds the document; the names of the table become operation ids. */
export function openApiDocument(routes: Readonly<Record<string, Route>>, version: string): Part {
  const paths: Record<string, Part> = {};
  for (const [id, route] of Object.entries(routes)) {
    (paths[route.path] ??= {})[route.method] = operation(id, route);
  }
  const tags = new Set(Object.values(routes).map(({ tag }) => tag));
  return {
    openapi: "3.1.0",
    info: {
      title: "Snowskin master, admin server",
      version,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: Array.from(tags, (name) => ({ name })),
    paths,
  };
}

function operation(id: string, route: Route): Part {
  const { access, tag, summary, parameters, body, answers } = route;
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: access === "change"
      ? "Changes something: taken from this machine only, unless the master has `--insecure`."
      : "Open to everybody who reaches the port.",
    "x-access": access,
    parameters: parameters.map(parameterPart),
    ...(body !== null && {
      requestBody: { required: true, content: { "application/json": { schema: body } } },
    }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, answer]) => [status, answerPart(answer)]),
    ),
  };
}

function parameterPart({ name, description, schema, required = false }: Parameter): Part {
  return { name, in: "query", description, required, schema };
}

function answerPart({ description, type, schema }: Answer): Part {
  return { description, content: { [type]: { schema } } };
}

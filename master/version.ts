import project from "../deno.json" with { type: "json" };

/** The version of this package, as published. */
export const VERSION: string = project.version;

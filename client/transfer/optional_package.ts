/**
 * Loads a package that only some users need: the name is put together at run time, so that it neither
 * lands in a bundle nor is asked for by those who do not use it. Deno fetches it; Node needs it
 * installed beside this package.
 */
export async function loadOptional<T>(name: string, version: string): Promise<T> {
  const specifier = "Deno" in globalThis ? `npm:${name}@${version}` : name;
  try {
    return await import(specifier) as T;
  } catch (cause) {
    throw new Error(`Cannot load the package ${name}: install version ${version}`, { cause });
  }
}

const skipped = new Set([".git", ".cache", "node_modules", "coverage", "build", "results"]);

/** Paths of the files below `root` that `wanted` accepts, relative to it, sorted. */
export async function walk(root: string, wanted: (path: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  const visit = async (folder: string) => {
    for await (const entry of Deno.readDir(root + folder)) {
      const path = folder + entry.name;
      if (entry.isDirectory && !skipped.has(entry.name)) await visit(path + "/");
      else if (entry.isFile && wanted(path)) found.push(path);
    }
  };
  await visit("");
  return found.sort();
}

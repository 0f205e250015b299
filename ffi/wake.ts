/** Writing to a descriptor that another thread of this process waits on. */

/**
 * Returns a function that adds 1 to the eventfd `fd`; usable in any thread. A number is all that
 * crosses to a Worker, and only `write(2)` takes one: `node:fs` knows the files it opened itself,
 * and an eventfd cannot be opened again through `/proc`.
 */
export function eventfdWaker(fd: number): () => void {
  const { symbols } = Deno.dlopen(
    "libc.so.6",
    { write: { parameters: ["i32", "buffer", "usize"], result: "isize" } } as const,
  );
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
  return () => {
    symbols.write(fd, one, 8n);
  };
}

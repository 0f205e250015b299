/** Resolves once `done` answers true; rejects when it has not after `timeoutMs`. */
export async function until(
  done: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!await done()) {
    if (performance.now() > deadline) {
      throw new Error(`Still not so after ${timeoutMs} ms: ${done}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

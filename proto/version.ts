/**
 * What a master answers to `ServiceReady`. Clients of the reference refuse any other text, although
 * it did not change with the wire; the type codes of the messages tell generations apart.
 */
export const STORE_VERSION = "2.0.0";

/** Addresses of etcd and Redis, as masters, clients and metadata connection strings give them. */
import { parseHostPort } from "./address.ts";

/**
 * Splits `host:port,host:port` (also `;`, each with or without `http://` or `https://`); `null` when
 * one of them is no address with a port.
 */
export function parseEtcdEndpoints(text: string): readonly string[] | null {
  const endpoints = text.split(/[;,]/).map((one) => one.trim());
  const bare = (one: string) => parseHostPort(one.replace(/^https?:\/\//, ""));
  const valid = endpoints.every((one) => (bare(one)?.port ?? null) !== null);
  return valid ? endpoints : null;
}

/** Whether `text` is `redis://host:port/db` or `rediss://...`; passwords do not belong into it. */
export function isRedisUrl(text: string): boolean {
  const url = /^rediss?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.hostname === "" || url.username + url.password !== "") return false;
  return /^\/?\d*$/.test(url.pathname) && url.search + url.hash === "";
}

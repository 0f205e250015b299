/**
 * How etcd or Redis is entered. PEM files by path; empty = none.
 *
 * @example
 * ```ts ignore
 * const access: ServiceAccess = { ...openAccess, user: "engine", password: "secret" };
 * ```
 */
export interface ServiceAccess {
  /** Name of the user. */
  readonly user: string;
  /** Password of the user. */
  readonly password: string;
  /** Authorities whose certificates are trusted; turns TLS on for etcd. */
  readonly tlsCa: string;
  /** Certificate that is shown. */
  readonly tlsCert: string;
  /** Key of that certificate. */
  readonly tlsKey: string;
}

/** Of services that ask for nothing. */
export const openAccess: ServiceAccess = {
  user: "",
  password: "",
  tlsCa: "",
  tlsCert: "",
  tlsKey: "",
};

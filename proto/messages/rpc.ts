import { functionIdOf } from "../coro_rpc/header.ts";
import { Codec } from "../struct_pack/codec.ts";
import { args, type Members, type Schema } from "../struct_pack/schema.ts";

/** One remote procedure of the master: its name and the types that travel. */
export interface Rpc<Request, Response> {
  readonly name: string;
  readonly functionId: number;
  /** `null` for a call without arguments, whose body is empty. */
  readonly request: Codec<Request> | null;
  readonly response: Codec<Response>;
  /** Enters what the attachment of a response, `bytes[start, end)`, says besides; absent = none does. */
  attach?(response: Response, bytes: Uint8Array, start: number, end: number): void;
}

const SERVICE = "mooncake::WrappedMasterService::";

const OUR_SERVICE = "snowskin::MasterService::";

/** Declares a call with arguments, listed in wire order. */
export function rpc<Request extends object, Response>(
  name: string,
  request: Members<Request>,
  response: Schema<Response>,
): Rpc<Request, Response> {
  return rpcOf(SERVICE, name, request, response);
}

/** {@linkcode rpc} for a call that the reference does not have. */
export function ourRpc<Request extends object, Response>(
  name: string,
  request: Members<Request>,
  response: Schema<Response>,
): Rpc<Request, Response> {
  return rpcOf(OUR_SERVICE, name, request, response);
}

function rpcOf<Request extends object, Response>(
  service: string,
  name: string,
  request: Members<Request>,
  response: Schema<Response>,
): Rpc<Request, Response> {
  return {
    name,
    functionId: functionIdOf(service + name),
    request: new Codec(args(request)),
    response: new Codec(response),
  };
}

/** Declares a call without arguments. */
export function bareRpc<Response>(name: string, response: Schema<Response>): Rpc<null, Response> {
  return {
    name,
    functionId: functionIdOf(SERVICE + name),
    request: null,
    response: new Codec(response),
  };
}

/**
 * Frame headers of coro_rpc (yalantinglibs), as the reference's clients and master exchange them:
 * a 20-byte request header and a 16-byte response header, little endian, each followed by a
 * struct_pack body and an attachment, which only `write_id.ts` uses.
 */
import { ProtocolError } from "../error.ts";
import { Codec } from "../struct_pack/codec.ts";
import { md5Head } from "../struct_pack/md5.ts";
import type { Reader } from "../struct_pack/reader.ts";
import { struct, text, u16 } from "../struct_pack/schema.ts";
import type { Writer } from "../struct_pack/writer.ts";

export const REQUEST_HEADER_BYTES = 20;
export const RESPONSE_HEADER_BYTES = 16;

const MAGIC = 0x15;
const REQUEST_BODY_LENGTH_AT = 12;
const REQUEST_ATTACHMENT_LENGTH_AT = 16;
const RESPONSE_BODY_LENGTH_AT = 8;

/** Failures of the transport, in the `errorCode` of a response; the body is then a message. */
export const TransportErrorCode = {
  OK: 0,
  IO_ERROR: 1,
  NOT_CONNECTED: 2,
  TIMED_OUT: 3,
  INVALID_RPC_ARGUMENTS: 4,
  ADDRESS_IN_USE: 5,
  BAD_ADDRESS: 6,
  OPEN_ERROR: 7,
  LISTEN_ERROR: 8,
  OPERATION_CANCELED: 9,
  RPC_THROW_EXCEPTION: 10,
  FUNCTION_NOT_REGISTERED: 11,
  PROTOCOL_ERROR: 12,
  UNKNOWN_PROTOCOL_VERSION: 13,
  MESSAGE_TOO_LARGE: 14,
  SERVER_HAS_RAN: 15,
  INVALID_RPC_RESULT: 16,
  SERIAL_NUMBER_CONFLICT: 17,
} as const;
export type TransportErrorCode = (typeof TransportErrorCode)[keyof typeof TransportErrorCode];

/** Marks a body that carries its own 16-bit code, for codes that a byte does not hold. */
const WIDE_ERROR = 255;

export interface RequestHeader {
  /** Chosen by the client; the answer carries it back. */
  seq: number;
  functionId: number;
  bodyLength: number;
  attachmentLength: number;
}

export interface ResponseHeader {
  seq: number;
  /** One of {@linkcode TransportErrorCode}, or 255: see {@linkcode readTransportError}. */
  errorCode: number;
  bodyLength: number;
  attachmentLength: number;
}

export interface TransportError {
  code: number;
  message: string;
}

/** The id of a function by its qualified C++ name, such as `mooncake::Service::Call`. */
export function functionIdOf(qualifiedName: string): number {
  return md5Head(new TextEncoder().encode(qualifiedName));
}

/** Appends a request header with an empty body and returns the frame's start for `endRequest`. */
export function beginRequest(writer: Writer, seq: number, functionId: number): number {
  const start = writer.length;
  writer.u32(MAGIC);
  writer.u32(seq);
  writer.u32(functionId);
  writer.u32(0);
  writer.u32(0);
  return start;
}

/**
 * Enters the lengths of what was written since `beginRequest`: the body and, as its last bytes, the
 * attachment.
 */
export function endRequest(writer: Writer, start: number, attachmentLength = 0): void {
  const bodyLength = writer.length - start - REQUEST_HEADER_BYTES - attachmentLength;
  writer.patchU32(start + REQUEST_BODY_LENGTH_AT, bodyLength);
  writer.patchU32(start + REQUEST_ATTACHMENT_LENGTH_AT, attachmentLength);
}

/** Appends a response header with an empty body and returns the frame's start for `endResponse`. */
export function beginResponse(writer: Writer, seq: number, errorCode = 0): number {
  const start = writer.length;
  writer.u32(MAGIC | (errorCode << 16));
  writer.u32(seq);
  writer.u32(0);
  writer.u32(0);
  return start;
}

/** Enters the length of the body that was written since `beginResponse`. */
export function endResponse(writer: Writer, start: number): void {
  const bodyLength = writer.length - start - RESPONSE_HEADER_BYTES;
  writer.patchU32(start + RESPONSE_BODY_LENGTH_AT, bodyLength);
}

/**
 * Fills `header` from the 20 bytes at `at`. `ProtocolError` when they are not a request of this
 * protocol; the connection is then of no further use.
 */
export function readRequestHeader(bytes: Uint8Array, at: number, header: RequestHeader): void {
  checkStart(bytes, at);
  if (bytes[at + 2] !== 0) {
    throw new ProtocolError(`A request uses the unknown serialize type ${bytes[at + 2]}`);
  }
  header.seq = u32At(bytes, at + 4);
  header.functionId = u32At(bytes, at + 8);
  header.bodyLength = u32At(bytes, at + REQUEST_BODY_LENGTH_AT);
  header.attachmentLength = u32At(bytes, at + REQUEST_ATTACHMENT_LENGTH_AT);
}

/**
 * Fills `header` from the 16 bytes at `at`. `ProtocolError` when they are not a response of this
 * protocol; the connection is then of no further use.
 */
export function readResponseHeader(bytes: Uint8Array, at: number, header: ResponseHeader): void {
  checkStart(bytes, at);
  header.errorCode = bytes[at + 2];
  header.seq = u32At(bytes, at + 4);
  header.bodyLength = u32At(bytes, at + RESPONSE_BODY_LENGTH_AT);
  header.attachmentLength = u32At(bytes, at + 12);
}

const messageCodec = new Codec<string>(text);
const wideErrorCodec = new Codec<TransportError>(struct({ code: u16, message: text }));

/** Appends a whole response frame that reports a failure of the transport. */
export function writeErrorResponse(
  writer: Writer,
  seq: number,
  code: TransportErrorCode,
  message: string,
): void {
  const start = beginResponse(writer, seq, code);
  messageCodec.encode(writer, message, { literal: true });
  endResponse(writer, start);
}

/** Reads the body of a response whose header has a nonzero `errorCode`. */
export function readTransportError(reader: Reader, errorCode: number): TransportError {
  if (errorCode === WIDE_ERROR) return wideErrorCodec.decode(reader);
  return { code: errorCode, message: messageCodec.decode(reader) };
}

function checkStart(bytes: Uint8Array, at: number): void {
  if (bytes[at] !== MAGIC) {
    throw new ProtocolError(`A frame begins with byte ${bytes[at]}, not ${MAGIC}`);
  }
  if (bytes[at + 1] !== 0) {
    throw new ProtocolError(`A frame has the unknown protocol version ${bytes[at + 1]}`);
  }
}

function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

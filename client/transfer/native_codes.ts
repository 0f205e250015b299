import { Errno } from "../../ffi/errno.ts";
import { TransferCode } from "./engine.ts";

const codes = new Map<number, TransferCode>([
  [0, TransferCode.OK],
  [Errno.EFAULT, TransferCode.ADDRESS_NOT_REGISTERED],
  [Errno.ETIMEDOUT, TransferCode.TIMEOUT],
  [Errno.EHOSTUNREACH, TransferCode.ENDPOINT],
  [Errno.ENOMEM, TransferCode.MEMORY],
  [Errno.EREMOTEIO, TransferCode.MEMORY],
  [Errno.EINVAL, TransferCode.INVALID_ARGUMENT],
  [Errno.EROFS, TransferCode.INVALID_ARGUMENT],
  [Errno.ERANGE, TransferCode.INVALID_ARGUMENT],
]);

/** The code of an operation that the shim ended with `result`: 0 or `-errno`. */
export function codeOf(result: number): TransferCode {
  return codes.get(-result) ?? TransferCode.SOCKET;
}

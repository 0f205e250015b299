/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_CRC32C_H
#define MC_CRC32C_H

#include <stdint.h>

/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4) of bytes that follow others of checksum crc; 0 = of
 * none. Uses the processor's instruction where there is one.
 */
uint32_t mc_crc32c(uint32_t crc, const void *bytes, uint64_t length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_API_H
#define MC_API_H

/* Marks a function that the library exports; everything else is hidden. */
#define MC_API __attribute__((visibility("default")))

#endif

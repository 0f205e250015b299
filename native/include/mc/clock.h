/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_CLOCK_H
#define MC_CLOCK_H

/* Milliseconds of CLOCK_MONOTONIC, with fractions. */
double mc_clock_ms(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_CHECK_H
#define MC_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the place and the text of what does not hold. */
#define CHECK(condition)                                                             \
	do {                                                                         \
		if (!(condition)) {                                                  \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                     \
		}                                                                    \
	} while (0)

#define CHECK_EQ(actual, expected)                                                      \
	do {                                                                            \
		long long actual_ = (long long)(actual), expected_ = (long long)(expected); \
		if (actual_ != expected_) {                                             \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, \
				#actual, actual_, expected_);                           \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

/* The groups of tests; each returns only when all of it holds. */
void test_slots(void);
void test_spin(void);
void test_engine(void);
void test_stress(void);
void test_fuzz(void);
void test_crc32c(void);
void test_disk(void);
void test_tail(void);
void test_fence(void);
void test_relay(void);
void test_shm(void);
void test_placement(void);
void test_verbs(void);
void test_fabric(void);
void test_plugin(void);
void test_device(void);
void test_device_region(void);
void test_tls(void);
void test_rate(void);
void test_spread(void);
void test_rpc_client(void);
void test_files(void);

#endif

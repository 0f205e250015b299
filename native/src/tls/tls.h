/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TLS_INTERNAL_H
#define MC_TLS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mc/tls.h"
#include "openssl.h"

#define MC_TLS_REPORTS 32

/* The certificates of an engine, and what came to nothing because of them. */
struct mc_tls {
	const struct mcs_calls *calls;
	struct ssl_ctx_st *context; /* replaced under lock */
	struct bio_method_st *socket;
	int64_t handshake_timeout; /* ns */
	uint32_t rekey_records;    /* sent with one key */

	pthread_mutex_t lock; /* of the context and of the reports, a ring */
	uint32_t first, count;
	struct mc_tls_report reports[MC_TLS_REPORTS];
};

void mc_tls_free(struct mc_tls *tls);

/* What is shown and asked for on a new connection, or NULL. */
struct ssl_st *mc_tls_new(struct mc_tls *tls);

/* Keeps a report if there is room; fd is the connection. */
void mc_tls_report(struct mc_tls *tls, int fd, bool served, const char *text);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "openssl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../common.h"
#include "../dynamic.h"

static struct mcs_calls calls;
static char failure[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define SYMBOL(name, result, arguments) { #name, offsetof(struct mcs_calls, name), false },

static const struct mc_symbol of_crypto[] = { MCS_CRYPTO_CALLS(SYMBOL) };
static const struct mc_symbol of_ssl[] = { MCS_SSL_CALLS(SYMBOL) };

static const char *chosen(const char *variable, const char *usual)
{
	const char *library = getenv(variable);

	return library && library[0] ? library : usual;
}

/* Other threads may still be in the library when the process ends, so it cleans up nothing. */
static void load(void)
{
	if (mc_dynamic_load(chosen("SNOWSKIN_CRYPTO_LIBRARY", "libcrypto.so.3"), of_crypto,
			    MC_ARRAY_SIZE(of_crypto), &calls, failure, sizeof(failure)) ||
	    mc_dynamic_load(chosen("SNOWSKIN_SSL_LIBRARY", "libssl.so.3"), of_ssl,
			    MC_ARRAY_SIZE(of_ssl), &calls, failure, sizeof(failure)))
		return;
	if (calls.OPENSSL_init_ssl(MCS_INIT_NO_ATEXIT, NULL) != 1)
		snprintf(failure, sizeof(failure), "OpenSSL does not start");
}

const struct mcs_calls *mcs_load(char *why, size_t size)
{
	pthread_once(&once, load);
	if (!failure[0])
		return &calls;
	snprintf(why, size, "%s", failure);
	return NULL;
}

const struct mcs_calls *mcs_loaded(void)
{
	return &calls;
}

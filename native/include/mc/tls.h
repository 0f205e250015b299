/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TLS_H
#define MC_TLS_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/*
 * TLS 1.3 for the connections of an engine, in both directions: each side shows a certificate
 * and refuses a peer whose certificate is not of the given authorities, or that speaks no TLS.
 * Who connects also asks that the certificate covers mc_peer_options.server_name. Memory of the
 * same host is reached as without it. OpenSSL 3 is loaded when it is first asked for.
 */

/*
 * Before the engine listens and has peers. Files are in PEM form: cert_file holds our certificate,
 * then those between it and one of ca_file; key_file its key, without a pass phrase; ca_file the
 * authorities. handshake_timeout_ms is for a peer that connects; 0: 5000. Returns 0, or with one
 * line in why (why_size bytes, NUL-terminated): -ENODEV (OpenSSL cannot be loaded), -EINVAL (a
 * file is missing, malformed, out of date, or does not go with another), -EALREADY (also: it has
 * RDMA or a plugin, whose bytes are not encrypted), -ENOMEM.
 */
MC_API int mc_tls_open(struct mc_engine *engine, const char *cert_file, const char *key_file,
		       const char *ca_file, uint32_t handshake_timeout_ms, char *why,
		       uint32_t why_size);

/*
 * Takes other files for the connections that are made from now on; those that are there go on with
 * what they have, and when it fails so does the engine. Arguments and results of mc_tls_open(), but
 * -EALREADY; -EINVAL without TLS, too. Any thread.
 */
MC_API int mc_tls_renew(struct mc_engine *engine, const char *cert_file, const char *key_file,
			const char *ca_file, char *why, uint32_t why_size);

/* A connection that came to nothing because of TLS. */
struct mc_tls_report {
	uint32_t served;  /* 1: the peer had connected, 0: we had */
	uint32_t reserved;
	char peer[72];    /* its address and port, "10.0.0.7:12300" or "[fd00::7]:12300" */
	char text[184];   /* why, one line */
};

/*
 * Takes the oldest report; the first 32 that nobody takes are kept. Returns 1, or 0 when there
 * is none. Any thread.
 */
MC_API int mc_tls_take_report(struct mc_engine *engine, struct mc_tls_report *report);

#endif

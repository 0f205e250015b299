// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../common.h"
#include "../engine.h"
#include "connection.h"

/* Peers of ours choose the first that both have; with this one a core does most bytes. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* Bytes asked of a socket at a time; given back while a connection is idle. */
#define READ_SIZE (128u << 10)

/* RFC 8446, 5.5: AES-GCM is good for 2^24.5 records of full size. */
#define REKEY_RECORDS (1u << 23)

static int no_pass_phrase(char *buffer, int size, int writing, void *user)
{
	(void)buffer, (void)size, (void)writing, (void)user;
	return 0;
}

static int refuse(char *why, uint32_t size, const char *file, const char *what)
{
	snprintf(why, size, "\"%s\" %s", file, what);
	return -EINVAL;
}

static int check_readable(const char *file, char *why, uint32_t size)
{
	FILE *opened = file && file[0] ? fopen(file, "re") : NULL;
	char byte;
	size_t got;
	int err;

	if (!file || !file[0])
		return refuse(why, size, "", "is no file: certificate, key and authorities are needed");
	got = opened ? fread(&byte, 1, 1, opened) : 0;
	err = errno;
	if (opened)
		fclose(opened);
	if (opened && got == 1)
		return 0;
	snprintf(why, size, "\"%s\" cannot be read: %s", file,
		 opened && !err ? "it is empty" : strerror(err));
	return -EINVAL;
}

/* Would peers accept our certificate for a purpose? 0, or the verdict of X509_verify_cert(). */
static int verdict(const struct mcs_calls *ssl, struct ssl_ctx_st *context, int purpose)
{
	struct x509_store_ctx_st *check = ssl->X509_STORE_CTX_new();
	struct stack_st_X509 *chain = NULL;
	int result = -1;

	ssl->SSL_CTX_ctrl(context, MCS_CTRL_GET_CHAIN_CERTS, 0, &chain);
	if (check &&
	    ssl->X509_STORE_CTX_init(check, ssl->SSL_CTX_get_cert_store(context),
				     ssl->SSL_CTX_get0_certificate(context), chain) == 1 &&
	    ssl->X509_STORE_CTX_set_purpose(check, purpose) == 1)
		result = ssl->X509_verify_cert(check) == 1 ? MCS_V_OK :
							     ssl->X509_STORE_CTX_get_error(check);
	if (check)
		ssl->X509_STORE_CTX_free(check);
	return result;
}

static int check_dates(const struct mcs_calls *ssl, struct ssl_ctx_st *context, const char *file,
		       char *why, uint32_t size)
{
	const struct x509_st *own = ssl->SSL_CTX_get0_certificate(context);

	if (ssl->X509_cmp_current_time(ssl->X509_get0_notAfter(own)) < 0)
		return refuse(why, size, file, "is out of date: its certificate has expired");
	if (ssl->X509_cmp_current_time(ssl->X509_get0_notBefore(own)) > 0)
		return refuse(why, size, file, "is not yet valid");
	return 0;
}

/* Loads the files and looks whether they go together. */
static int load_files(const struct mcs_calls *ssl, struct ssl_ctx_st *context,
		      const char *cert_file, const char *key_file, const char *ca_file, char *why,
		      uint32_t size)
{
	static const int purposes[] = { MCS_PURPOSE_SSL_SERVER, MCS_PURPOSE_SSL_CLIENT };
	int err;

	if ((err = check_readable(cert_file, why, size)) ||
	    (err = check_readable(key_file, why, size)) ||
	    (err = check_readable(ca_file, why, size)))
		return err;
	/* The key first: the other way round a key of another certificate looks like no key. */
	if (ssl->SSL_CTX_use_PrivateKey_file(context, key_file, MCS_FILETYPE_PEM) != 1)
		return refuse(why, size, key_file,
			      "holds no private key in PEM form without a pass phrase");
	if (ssl->SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
		return refuse(why, size, cert_file, "holds no certificate in PEM form");
	if (ssl->SSL_CTX_check_private_key(context) != 1) {
		snprintf(why, size, "\"%s\" is not the key of the certificate in \"%s\"",
			 key_file, cert_file);
		return -EINVAL;
	}
	err = check_dates(ssl, context, cert_file, why, size);
	if (err)
		return err;
	if (ssl->SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1)
		return refuse(why, size, ca_file, "holds no certificate in PEM form");
	for (size_t i = 0; i < MC_ARRAY_SIZE(purposes); i++) {
		int result = verdict(ssl, context, purposes[i]);

		if (result == MCS_V_OK)
			continue;
		snprintf(why, size, "\"%s\" would be refused by peers with \"%s\" (%s): %s",
			 cert_file, ca_file, i == 0 ? "serving" : "connecting",
			 ssl->X509_verify_cert_error_string(result));
		return -EINVAL;
	}
	return 0;
}

static int settle_context(const struct mcs_calls *ssl, struct ssl_ctx_st *context)
{
	if (ssl->SSL_CTX_ctrl(context, MCS_CTRL_SET_MIN_PROTO_VERSION, MCS_TLS1_3_VERSION, NULL) !=
		    1 ||
	    ssl->SSL_CTX_set_ciphersuites(context, SUITES) != 1)
		return -ENODEV;
	ssl->SSL_CTX_ctrl(context, MCS_CTRL_MODE, MCS_MODE_RELEASE_BUFFERS, NULL);
	ssl->SSL_CTX_ctrl(context, MCS_CTRL_SET_READ_AHEAD, 1, NULL);
	ssl->SSL_CTX_ctrl(context, MCS_CTRL_SET_SESS_CACHE_MODE, 0, NULL);
	ssl->SSL_CTX_set_num_tickets(context, 0);
	ssl->SSL_CTX_set_default_read_buffer_len(context, READ_SIZE);
	ssl->SSL_CTX_set_default_passwd_cb(context, no_pass_phrase);
	ssl->SSL_CTX_set_verify(context, MCS_VERIFY_PEER | MCS_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

/* Makes a context of files. Returns 0, or -errno with a line in why. */
static int make_context(const struct mcs_calls *ssl, const char *cert_file, const char *key_file,
			const char *ca_file, struct ssl_ctx_st **made, char *why, uint32_t why_size)
{
	struct ssl_ctx_st *context = ssl->SSL_CTX_new(ssl->TLS_method());
	int err = context ? settle_context(ssl, context) : -ENOMEM;

	if (err)
		snprintf(why, why_size, "OpenSSL has no TLS 1.3: %s", strerror(-err));
	else
		err = load_files(ssl, context, cert_file, key_file, ca_file, why, why_size);
	ssl->ERR_clear_error();
	if (err && context)
		ssl->SSL_CTX_free(context);
	*made = err ? NULL : context;
	return err;
}

int mc_tls_open(struct mc_engine *engine, const char *cert_file, const char *key_file,
		const char *ca_file, uint32_t handshake_timeout_ms, char *why, uint32_t why_size)
{
	struct mc_tls *tls;
	int err;

	if (!why || !why_size)
		return -EINVAL;
	why[0] = 0;
	if (engine->tls || mc_engine_registers(engine))
		return -EALREADY;
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return -ENOMEM;
	pthread_mutex_init(&tls->lock, NULL);
	tls->rekey_records = REKEY_RECORDS;
	tls->handshake_timeout =
		(int64_t)(handshake_timeout_ms ? handshake_timeout_ms : 5000) * 1000000;
	tls->calls = mcs_load(why, why_size);
	err = tls->calls ? make_context(tls->calls, cert_file, key_file, ca_file, &tls->context, why,
					why_size) :
			   -ENODEV;
	if (!err) {
		tls->socket = mc_tls_socket_method(tls->calls);
		err = tls->socket ? 0 : -ENOMEM;
	}
	if (err) {
		mc_tls_free(tls);
		return err;
	}
	engine->tls = tls;
	return 0;
}

int mc_tls_renew(struct mc_engine *engine, const char *cert_file, const char *key_file,
		 const char *ca_file, char *why, uint32_t why_size)
{
	struct mc_tls *tls = engine->tls;
	struct ssl_ctx_st *context, *before;
	int err;

	if (!why || !why_size)
		return -EINVAL;
	why[0] = 0;
	if (!tls)
		return -EINVAL;
	err = make_context(tls->calls, cert_file, key_file, ca_file, &context, why, why_size);
	if (err)
		return err;
	pthread_mutex_lock(&tls->lock);
	before = tls->context;
	tls->context = context;
	pthread_mutex_unlock(&tls->lock);
	tls->calls->SSL_CTX_free(before); /* its connections keep it */
	return 0;
}

struct ssl_st *mc_tls_new(struct mc_tls *tls)
{
	struct ssl_st *made;

	pthread_mutex_lock(&tls->lock);
	made = tls->calls->SSL_new(tls->context);
	pthread_mutex_unlock(&tls->lock);
	return made;
}

void mc_tls_free(struct mc_tls *tls)
{
	if (!tls)
		return;
	if (tls->context)
		tls->calls->SSL_CTX_free(tls->context);
	if (tls->socket)
		tls->calls->BIO_meth_free(tls->socket);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

static void write_address(int fd, char *text, size_t size)
{
	struct sockaddr_storage address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
	char host[INET6_ADDRSTRLEN] = "";
	socklen_t length = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &length) < 0) {
		snprintf(text, size, "a peer");
	} else if (address.ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	}
}

void mc_tls_report(struct mc_tls *tls, int fd, bool served, const char *text)
{
	struct mc_tls_report report = { .served = served };

	write_address(fd, report.peer, sizeof(report.peer));
	snprintf(report.text, sizeof(report.text), "%s", text);
	pthread_mutex_lock(&tls->lock);
	if (tls->count < MC_TLS_REPORTS)
		tls->reports[(tls->first + tls->count++) % MC_TLS_REPORTS] = report;
	pthread_mutex_unlock(&tls->lock);
}

int mc_tls_take_report(struct mc_engine *engine, struct mc_tls_report *report)
{
	struct mc_tls *tls = engine->tls;
	int taken = 0;

	if (!tls)
		return 0;
	pthread_mutex_lock(&tls->lock);
	if (tls->count > 0) {
		*report = tls->reports[tls->first];
		tls->first = (tls->first + 1) % MC_TLS_REPORTS;
		tls->count--;
		taken = 1;
	}
	pthread_mutex_unlock(&tls->lock);
	return taken;
}

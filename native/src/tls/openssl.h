/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TLS_OPENSSL_H
#define MC_TLS_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

/*
 * The little that is used of OpenSSL 3, which is loaded at run time. Names, numbers and types are
 * those of its documented interface; native/tests/tls_test.c compares them with the real headers.
 */

struct asn1_string_st;
struct bio_method_st;
struct bio_st;
struct ossl_init_settings_st;
struct ssl_ctx_st;
struct ssl_method_st;
struct ssl_st;
struct stack_st_X509;
struct X509_VERIFY_PARAM_st;
struct x509_st;
struct x509_store_ctx_st;
struct x509_store_st;

#define MCS_FILETYPE_PEM 1
#define MCS_TLS1_3_VERSION 0x0304
#define MCS_CTRL_MODE 33
#define MCS_CTRL_SET_READ_AHEAD 41
#define MCS_CTRL_SET_SESS_CACHE_MODE 44
#define MCS_CTRL_SET_TLSEXT_HOSTNAME 55
#define MCS_CTRL_GET_CHAIN_CERTS 115
#define MCS_CTRL_SET_MIN_PROTO_VERSION 123
#define MCS_TLSEXT_NAMETYPE_host_name 0
#define MCS_MODE_RELEASE_BUFFERS 0x10
#define MCS_VERIFY_PEER 1
#define MCS_VERIFY_FAIL_IF_NO_PEER_CERT 2
#define MCS_ERROR_SSL 1
#define MCS_ERROR_WANT_READ 2
#define MCS_ERROR_WANT_WRITE 3
#define MCS_ERROR_SYSCALL 5
#define MCS_ERROR_ZERO_RETURN 6
#define MCS_R_UNEXPECTED_EOF_WHILE_READING 294
#define MCS_KEY_UPDATE_NOT_REQUESTED 0
#define MCS_INIT_NO_ATEXIT 0x00080000
#define MCS_BIO_TYPE_SOURCE_SINK 0x0400
#define MCS_BIO_CTRL_FLUSH 11
#define MCS_BIO_FLAGS_READ 0x01
#define MCS_BIO_FLAGS_RWS 0x07
#define MCS_BIO_FLAGS_SHOULD_RETRY 0x08
#define MCS_CHECK_FLAG_NEVER_CHECK_SUBJECT 0x20
#define MCS_V_OK 0
#define MCS_PURPOSE_SSL_CLIENT 1
#define MCS_PURPOSE_SSL_SERVER 2

/* CALL(name, result, arguments): functions of libssl, then of libcrypto. */
#define MCS_SSL_CALLS(CALL)                                                                       \
	CALL(OPENSSL_init_ssl, int, (uint64_t, const struct ossl_init_settings_st *))             \
	CALL(TLS_method, const struct ssl_method_st *, (void))                                    \
	CALL(SSL_CTX_new, struct ssl_ctx_st *, (const struct ssl_method_st *))                    \
	CALL(SSL_CTX_free, void, (struct ssl_ctx_st *))                                           \
	CALL(SSL_CTX_ctrl, long, (struct ssl_ctx_st *, int, long, void *))                        \
	CALL(SSL_CTX_set_ciphersuites, int, (struct ssl_ctx_st *, const char *))                  \
	CALL(SSL_CTX_set_verify, void,                                                            \
	     (struct ssl_ctx_st *, int, int (*)(int, struct x509_store_ctx_st *)))                \
	CALL(SSL_CTX_use_certificate_chain_file, int, (struct ssl_ctx_st *, const char *))        \
	CALL(SSL_CTX_use_PrivateKey_file, int, (struct ssl_ctx_st *, const char *, int))          \
	CALL(SSL_CTX_check_private_key, int, (const struct ssl_ctx_st *))                         \
	CALL(SSL_CTX_load_verify_locations, int,                                                  \
	     (struct ssl_ctx_st *, const char *, const char *))                                   \
	CALL(SSL_CTX_get0_certificate, struct x509_st *, (const struct ssl_ctx_st *))             \
	CALL(SSL_CTX_get_cert_store, struct x509_store_st *, (const struct ssl_ctx_st *))         \
	CALL(SSL_CTX_set_default_passwd_cb, void,                                                 \
	     (struct ssl_ctx_st *, int (*)(char *, int, int, void *)))                            \
	CALL(SSL_CTX_set_num_tickets, int, (struct ssl_ctx_st *, size_t))                         \
	CALL(SSL_CTX_set_default_read_buffer_len, void, (struct ssl_ctx_st *, size_t))            \
	CALL(SSL_new, struct ssl_st *, (struct ssl_ctx_st *))                                     \
	CALL(SSL_free, void, (struct ssl_st *))                                                   \
	CALL(SSL_ctrl, long, (struct ssl_st *, int, long, void *))                                \
	CALL(SSL_set_bio, void, (struct ssl_st *, struct bio_st *, struct bio_st *))              \
	CALL(SSL_set_accept_state, void, (struct ssl_st *))                                       \
	CALL(SSL_set_connect_state, void, (struct ssl_st *))                                      \
	CALL(SSL_do_handshake, int, (struct ssl_st *))                                            \
	CALL(SSL_read_ex, int, (struct ssl_st *, void *, size_t, size_t *))                       \
	CALL(SSL_peek_ex, int, (struct ssl_st *, void *, size_t, size_t *))                       \
	CALL(SSL_write_ex, int, (struct ssl_st *, const void *, size_t, size_t *))                \
	CALL(SSL_shutdown, int, (struct ssl_st *))                                                \
	CALL(SSL_get_error, int, (const struct ssl_st *, int))                                    \
	CALL(SSL_set1_host, int, (struct ssl_st *, const char *))                                 \
	CALL(SSL_set_hostflags, void, (struct ssl_st *, unsigned int))                            \
	CALL(SSL_get0_param, struct X509_VERIFY_PARAM_st *, (struct ssl_st *))                    \
	CALL(SSL_get_verify_result, long, (const struct ssl_st *))                                \
	CALL(SSL_key_update, int, (struct ssl_st *, int))

#define MCS_CRYPTO_CALLS(CALL)                                                                    \
	CALL(BIO_meth_new, struct bio_method_st *, (int, const char *))                           \
	CALL(BIO_meth_free, void, (struct bio_method_st *))                                       \
	CALL(BIO_meth_set_write, int,                                                             \
	     (struct bio_method_st *, int (*)(struct bio_st *, const char *, int)))               \
	CALL(BIO_meth_set_read, int,                                                              \
	     (struct bio_method_st *, int (*)(struct bio_st *, char *, int)))                     \
	CALL(BIO_meth_set_ctrl, int,                                                              \
	     (struct bio_method_st *, long (*)(struct bio_st *, int, long, void *)))              \
	CALL(BIO_new, struct bio_st *, (const struct bio_method_st *))                            \
	CALL(BIO_set_data, void, (struct bio_st *, void *))                                       \
	CALL(BIO_get_data, void *, (struct bio_st *))                                             \
	CALL(BIO_set_init, void, (struct bio_st *, int))                                          \
	CALL(BIO_set_flags, void, (struct bio_st *, int))                                         \
	CALL(BIO_clear_flags, void, (struct bio_st *, int))                                       \
	CALL(ERR_clear_error, void, (void))                                                       \
	CALL(ERR_peek_error, unsigned long, (void))                                               \
	CALL(ERR_reason_error_string, const char *, (unsigned long))                              \
	CALL(X509_VERIFY_PARAM_set1_ip_asc, int, (struct X509_VERIFY_PARAM_st *, const char *))   \
	CALL(X509_verify_cert_error_string, const char *, (long))                                 \
	CALL(X509_get0_notAfter, const struct asn1_string_st *, (const struct x509_st *))         \
	CALL(X509_get0_notBefore, const struct asn1_string_st *, (const struct x509_st *))        \
	CALL(X509_cmp_current_time, int, (const struct asn1_string_st *))                         \
	CALL(X509_STORE_CTX_new, struct x509_store_ctx_st *, (void))                              \
	CALL(X509_STORE_CTX_free, void, (struct x509_store_ctx_st *))                             \
	CALL(X509_STORE_CTX_init, int,                                                            \
	     (struct x509_store_ctx_st *, struct x509_store_st *, struct x509_st *,               \
	      struct stack_st_X509 *))                                                            \
	CALL(X509_STORE_CTX_set_purpose, int, (struct x509_store_ctx_st *, int))                  \
	CALL(X509_STORE_CTX_get_error, int, (const struct x509_store_ctx_st *))                   \
	CALL(X509_verify_cert, int, (struct x509_store_ctx_st *))

#define MCS_FIELD(name, result, arguments) result(*name) arguments;
struct mcs_calls {
	MCS_SSL_CALLS(MCS_FIELD)
	MCS_CRYPTO_CALLS(MCS_FIELD)
};
#undef MCS_FIELD

/*
 * Loads the libraries once; SNOWSKIN_SSL_LIBRARY and SNOWSKIN_CRYPTO_LIBRARY name others. Returns
 * NULL with one line in why when that cannot be done.
 */
const struct mcs_calls *mcs_load(char *why, size_t size);

/* What was loaded. */
const struct mcs_calls *mcs_loaded(void);

#endif

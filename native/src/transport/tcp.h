/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TCP_H
#define MC_TCP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../engine.h"

/*
 * Framing of the reference's TCP transport, little endian. A request is size u64, address
 * u64, opcode u8 and 7 ignored bytes; bit 7 of the opcode asks for acknowledged framing
 * (version 2). Version 2 answers begin with code u32 and magic u32; a READ's bytes follow.
 */
#define TCP_HEADER_SIZE 24
#define TCP_STATUS_SIZE 8
#define TCP_ACKNOWLEDGED 0x80
#define TCP_STATUS_MAGIC 0x4d435456u

enum tcp_status_code {
	TCP_STATUS_OK = 0,
	TCP_STATUS_REFUSED = 1,
};

struct tcp_header {
	uint64_t size;
	uint64_t address;
	uint8_t opcode;
	uint8_t padding[7];
};
_Static_assert(sizeof(struct tcp_header) == TCP_HEADER_SIZE, "a request header is wire format");

struct tcp_status {
	uint32_t code;
	uint32_t magic;
};
_Static_assert(sizeof(struct tcp_status) == TCP_STATUS_SIZE, "a status frame is wire format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little endian");

/* Parses a numeric address of either family. Returns 0 or -EINVAL. */
int tcp_parse_address(const char *host, uint16_t port, struct sockaddr_storage *address,
		      socklen_t *length);

/* A non-blocking socket without Nagle's algorithm, or -errno. */
int tcp_socket(int family);

/* Options of a socket, and of one whose two ends are known. */
void tcp_tune(int fd);
void tcp_tune_connected(int fd);

/*
 * Has the kernel report bytes only when enough of a long body has come. Being woken for each
 * segment, the receiver would take the socket from the sender's softirq again and again, at
 * half the speed. left is what the body still lacks (0: no body), *mark what is set now.
 */
void tcp_set_mark(int fd, uint64_t left, uint32_t *mark);

/* Client half: lanes (connections) to peers. */
struct tcp_client;

int tcp_client_open(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct tcp_client **client);
void tcp_client_stop(struct tcp_client *client);
void tcp_client_free(struct tcp_client *client);
int tcp_client_connect(struct tcp_client *client, const struct mc_peer_options *options,
		       void **link);
void tcp_client_disconnect(struct tcp_client *client, void *link);
void tcp_client_submit(struct tcp_client *client, struct mc_work *work);
bool tcp_client_progress(struct tcp_client *client, uint64_t *budget);
int64_t tcp_client_expire(struct tcp_client *client, int64_t now);
uint64_t tcp_client_connects(struct tcp_client *client);

/* Server half: a listener, I/O threads and their sessions (accepted connections). */
struct tcp_server;

int tcp_server_open(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct tcp_server **server);
int tcp_server_answer_at(struct tcp_server *server, const char *name);
int tcp_server_listen(struct tcp_server *server, const char *host, uint16_t port);
void tcp_server_stop(struct tcp_server *server);
void tcp_server_free(struct tcp_server *server);
void tcp_server_stats(struct tcp_server *server, struct mc_engine_stats *stats);

#endif

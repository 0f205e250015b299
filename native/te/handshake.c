// SPDX-License-Identifier: Apache-2.0
/* One request and one answer on a connection: u64 length, a byte for the type, JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "te.h"

#define HEADER_SIZE 9u

bool te_parse_name(const char *name, char host[TE_HOST_SIZE], uint32_t *port)
{
	const char *end, *colon;
	size_t length;
	char *rest;

	*port = 0;
	if (name[0] == '[') {
		end = strchr(++name, ']');
		if (!end)
			return false;
		colon = end[1] == ':' ? end + 1 : NULL;
		if (!colon && end[1])
			return false;
	} else {
		colon = strchr(name, ':');
		if (colon && strchr(colon + 1, ':')) /* an IPv6 address alone */
			colon = NULL;
		end = colon ? colon : name + strlen(name);
	}
	length = (size_t)(end - name);
	if (length == 0 || length >= TE_HOST_SIZE)
		return false;
	memcpy(host, name, length);
	host[length] = 0;
	if (!colon)
		return true;
	errno = 0;
	*port = (uint32_t)strtoul(colon + 1, &rest, 10);
	return !errno && rest > colon + 1 && !*rest && *port > 0 && *port <= UINT16_MAX;
}

static struct addrinfo *addresses_of(const char *host, uint32_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char service[12];

	snprintf(service, sizeof(service), "%u", port);
	return getaddrinfo(host, service, &hints, &found) ? NULL : found;
}

int te_resolve(const char *host, char numeric[64])
{
	struct addrinfo *found = addresses_of(host, 0);
	int failed;

	if (!found)
		return ERR_DNS;
	failed = getnameinfo(found->ai_addr, found->ai_addrlen, numeric, 64, NULL, 0,
			     NI_NUMERICHOST);
	freeaddrinfo(found);
	return failed ? ERR_DNS : 0;
}

static int dial(const char *host, uint32_t port)
{
	const struct timeval patience = { .tv_sec = TE_HANDSHAKE_MS / 1000 };
	struct addrinfo *found = addresses_of(host, port);
	int fd = -1;

	if (!found)
		return ERR_DNS;
	for (struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
		fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (connect(fd, one->ai_addr, one->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd < 0 ? ERR_SOCKET : fd;
}

static bool send_all(int fd, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length > 0) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool receive_all(int fd, void *bytes, size_t length)
{
	uint8_t *at = bytes;

	while (length > 0) {
		ssize_t got = recv(fd, at, length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		length -= (size_t)got;
	}
	return true;
}

static int receive_answer(int fd, enum te_handshake type, char **answer)
{
	uint8_t header[HEADER_SIZE];
	uint64_t length;
	char *body;

	if (!receive_all(fd, header, sizeof(header)))
		return ERR_SOCKET;
	memcpy(&length, header, sizeof(length));
	if (length < 1 || length > TE_FRAME_MAX || header[HEADER_SIZE - 1] != type)
		return ERR_REJECT_HANDSHAKE;
	body = malloc(length);
	if (!body)
		return ERR_MEMORY;
	body[length - 1] = 0;
	if (!receive_all(fd, body, length - 1)) {
		free(body);
		return ERR_SOCKET;
	}
	*answer = body;
	return 0;
}

int te_exchange(const char *name, enum te_handshake type, const char *body, char **answer)
{
	uint64_t length = strlen(body) + 1;
	uint8_t header[HEADER_SIZE];
	char host[TE_HOST_SIZE];
	uint32_t port;
	int fd, err;

	if (!te_parse_name(name, host, &port) || port == 0 || length > TE_FRAME_MAX)
		return ERR_INVALID_ARGUMENT;
	fd = dial(host, port);
	if (fd < 0)
		return fd;
	memcpy(header, &length, sizeof(length));
	header[HEADER_SIZE - 1] = (uint8_t)type;
	err = send_all(fd, header, sizeof(header)) && send_all(fd, body, length - 1) ?
		      receive_answer(fd, type, answer) :
		      ERR_SOCKET;
	close(fd);
	return err;
}

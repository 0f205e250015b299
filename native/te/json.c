// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

static void skip_space(struct json_text *text)
{
	while (text->at < text->end && strchr(" \t\r\n", *text->at) && *text->at)
		text->at++;
}

static bool take(struct json_text *text, char wanted)
{
	skip_space(text);
	if (text->at >= text->end || *text->at != wanted)
		return false;
	text->at++;
	return true;
}

/* Behind a text in quotes. */
static bool skip_string(struct json_text *text)
{
	if (!take(text, '"'))
		return false;
	while (text->at < text->end && *text->at != '"')
		text->at += *text->at == '\\' ? 2 : 1;
	if (text->at >= text->end)
		return false;
	text->at++;
	return true;
}

static bool skip_value(struct json_text *text, int depth);

static bool skip_nested(struct json_text *text, char close, int depth)
{
	text->at++;
	if (take(text, close))
		return true;
	do {
		if (close == '}' && !(skip_string(text) && take(text, ':')))
			return false;
		if (!skip_value(text, depth + 1))
			return false;
	} while (take(text, ','));
	return take(text, close);
}

static bool skip_value(struct json_text *text, int depth)
{
	const char *from;

	skip_space(text);
	if (text->at >= text->end || depth > DEPTH_MAX)
		return false;
	if (*text->at == '"')
		return skip_string(text);
	if (*text->at == '{' || *text->at == '[')
		return skip_nested(text, *text->at == '{' ? '}' : ']', depth);
	from = text->at;
	while (text->at < text->end && !strchr(",]} \t\r\n", *text->at))
		text->at++;
	return text->at > from;
}

bool json_member(struct json_text object, const char *name, struct json_text *value)
{
	size_t length = strlen(name);

	if (!take(&object, '{'))
		return false;
	do {
		const char *from;
		bool same;

		skip_space(&object);
		from = object.at;
		if (!skip_string(&object))
			return false;
		same = (size_t)(object.at - from) == length + 2 && !memcmp(from + 1, name, length);
		if (!take(&object, ':'))
			return false;
		skip_space(&object);
		from = object.at;
		if (!skip_value(&object, 0))
			return false;
		if (same) {
			*value = (struct json_text){ from, object.at };
			return true;
		}
	} while (take(&object, ','));
	return false;
}

static int hex4(const char *at, const char *end, uint32_t *code)
{
	uint32_t value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdefABCDEF", *found = strchr(digits, at[i]);
		uint32_t digit;

		if (!at[i] || !found)
			return -1;
		digit = (uint32_t)(found - digits);
		value = value << 4 | (digit < 16 ? digit : digit - 6);
	}
	*code = value;
	return 0;
}

static char *put_utf8(char *to, uint32_t code)
{
	if (code < 0x80) {
		*to++ = (char)code;
		return to;
	}
	if (code < 0x800) {
		*to++ = (char)(0xc0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*to++ = (char)(0xe0 | code >> 12);
		} else {
			*to++ = (char)(0xf0 | code >> 18);
			*to++ = (char)(0x80 | (code >> 12 & 63));
		}
		*to++ = (char)(0x80 | (code >> 6 & 63));
	}
	*to++ = (char)(0x80 | (code & 63));
	return to;
}

/* What stands behind a backslash; NULL when that is nothing. */
static const char *unescape(const char *at, const char *end, char **to)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *found = strchr(names, *at);
	uint32_t code, low;

	if (*at && found) {
		*(*to)++ = bytes[found - names];
		return at + 1;
	}
	if (*at != 'u' || hex4(at + 1, end, &code) < 0 || code == 0)
		return NULL;
	at += 5;
	if (code >= 0xd800 && code < 0xdc00) {
		if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || hex4(at + 2, end, &low) < 0 ||
		    low < 0xdc00 || low > 0xdfff)
			return NULL;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	} else if (code >= 0xdc00 && code < 0xe000) {
		return NULL;
	}
	*to = put_utf8(*to, code);
	return at;
}

char *json_string(struct json_text value)
{
	const char *at = value.at + 1, *end = value.end - 1;
	char *text, *to;

	if (value.end - value.at < 2 || *value.at != '"' || *end != '"')
		return NULL;
	text = to = malloc((size_t)(end - at) + 1);
	if (!text)
		return NULL;
	while (at && at < end) {
		if (*at == '\\' && at + 1 < end)
			at = unescape(at + 1, end, &to);
		else if ((unsigned char)*at < ' ')
			at = NULL;
		else
			*to++ = *at++;
	}
	if (!at) {
		free(text);
		return NULL;
	}
	*to = 0;
	return text;
}

bool json_number(struct json_text value, uint64_t limit, uint64_t *number)
{
	uint64_t sum = 0;

	if (value.at >= value.end)
		return false;
	for (const char *at = value.at; at < value.end; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (*at < '0' || *at > '9' || digit > limit || sum > (limit - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*number = sum;
	return true;
}

char *json_quoted(const char *text)
{
	char *quoted = malloc(6 * strlen(text) + 3), *to = quoted;

	if (!quoted)
		return NULL;
	*to++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		if ((unsigned char)*text < ' ')
			to += sprintf(to, "\\u%04x", (unsigned int)*text);
		else
			*to++ = *text;
	}
	*to++ = '"';
	*to = 0;
	return quoted;
}

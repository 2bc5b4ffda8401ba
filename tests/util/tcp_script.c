/* SPDX-License-Identifier: MIT */
/* See tcp_script.h. */
#include "tests/util/tcp_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One number, negative ones modulo 2^32; "*": none. False: no number. */
static bool number(const char *word, uint32_t *n, bool *has)
{
	char *end;

	if (!word)
		return false;
	if (!strcmp(word, "*")) {
		*has = false;
		return true;
	}
	*n = (uint32_t)strtoll(word, &end, 0);
	*has = true;
	return end != word && !*end;
}

static bool flags(const char *word, uint16_t *bits)
{
	static const char names[] = "FSRP.UEWA";

	if (!strcmp(word, "-"))
		return true;
	for (; *word; word++) {
		const char *at = strchr(names, *word);

		if (!at)
			return false;
		*bits |= (uint16_t)(1u << (at - names));
	}
	return true;
}

/* SEQ or SEQ:END */
static bool range(char *word, struct tcp_seg *seg)
{
	char *colon = strchr(word, ':');
	uint32_t end = 0;
	bool has;

	if (colon)
		*colon = '\0';
	if (!number(word, &seg->seq, &has) || !has)
		return false;
	if (!colon)
		return true;
	if (!number(colon + 1, &end, &has) || !has)
		return false;
	seg->len = end - seg->seq;
	return true;
}

/* Hexadecimal octets, or none; "*": whatever it is. */
static const char *cookie(struct script *s, const char *hex)
{
	struct tcp_cookie *c = &s->seg.cookie;
	unsigned octet;

	s->seg.opts |= TCP_HAS_FASTOPEN;
	s->any_cookie = hex && !strcmp(hex, "*");
	for (; hex && *hex && !s->any_cookie; hex += 2) {
		if (c->len == TCP_COOKIE_MAX || sscanf(hex, "%2x", &octet) != 1 || !hex[1])
			return "FO wants up to 16 octets";
		c->octets[c->len++] = (uint8_t)octet;
	}
	return NULL;
}

/* As many fields as there are words, in the order of the option. "-": none. */
static const char *accecn(struct tcp_seg *seg, bool e1_first, const char *word, char **save)
{
	struct tcp_accecn *a = &seg->accecn;
	uint32_t *fields[] = { e1_first ? &a->e1b : &a->e0b, &a->ceb,
			       e1_first ? &a->e0b : &a->e1b };
	bool has;

	seg->opts |= TCP_HAS_ACCECN;
	a->e1_first = e1_first;
	if (!strcmp(word, "-"))
		return NULL;
	for (a->n = 0; word; word = strtok_r(NULL, " ", save))
		if (a->n == 3 || !number(word, fields[a->n++], &has))
			return "acc0 and acc1 want up to three numbers";
	return NULL;
}

static const char *option(struct script *s, char *text)
{
	char *save, *name = strtok_r(text, " ", &save), *value = strtok_r(NULL, " ", &save);
	struct tcp_seg *seg = &s->seg;
	uint32_t n = 0;
	bool has;

	if (!name)
		return "an empty option";
	if (!strcmp(name, "*")) {
		s->any_options = true;
	} else if (!strcmp(name, "mss")) {
		seg->opts |= TCP_HAS_MSS;
		s->has_mss = value && number(value, &n, &has);
		seg->mss = (uint16_t)n;
	} else if (!strcmp(name, "wscale")) {
		seg->opts |= TCP_HAS_WSCALE;
		s->has_wscale = value && number(value, &n, &has);
		seg->wscale = (uint8_t)n;
	} else if (!strcmp(name, "FO") || !strcmp(name, "FOEXP")) {
		s->seg.cookie.exp = name[2];
		return cookie(s, value);
	} else if (!strcmp(name, "sackOK")) {
		seg->opts |= TCP_HAS_SACK_OK;
	} else if (!strcmp(name, "TS")) {
		seg->opts |= TCP_HAS_TS;
		if (!value)
			return NULL;
		s->has_tsval = number(value, &seg->tsval, &has) &&
			       number(strtok_r(NULL, " ", &save), &seg->tsecr, &has);
		return s->has_tsval ? NULL : "TS wants two numbers";
	} else if (!strcmp(name, "sack") && value && seg->sack_n < TCP_SACK_MAX) {
		struct tcp_seg r = { 0 };

		if (!range(value, &r))
			return "sack wants A:B";
		seg->opts |= TCP_HAS_SACK;
		seg->sack[seg->sack_n++] = (struct tcp_sack){ r.seq, r.seq + r.len };
	} else if ((!strcmp(name, "acc0") || !strcmp(name, "acc1")) && value) {
		return accecn(seg, name[3] == '1', value, &save);
	} else {
		return "an unknown option";
	}
	return NULL;
}

static const char *options(struct script *s, char *text)
{
	char *save, *one;
	const char *why;

	s->has_options = true;
	for (one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save))
		if ((why = option(s, one)) != NULL)
			return why;
	return NULL;
}

static const char *field(struct script *s, const char *name, const char *value)
{
	uint32_t n = 0;
	bool *has;

	if (!strcmp(name, "ack"))
		has = &s->has_ack;
	else if (!strcmp(name, "win"))
		has = &s->has_wnd;
	else if (!strcmp(name, "urg"))
		has = &s->has_up;
	else if (!strcmp(name, "ttl"))
		has = &s->has_ttl;
	else if (!strcmp(name, "tos"))
		has = &s->has_tos;
	else
		return "an unknown word";
	if (!number(value, &n, has))
		return "a number is missing";
	if (has == &s->has_ack)
		s->seg.ack = n;
	else if (has == &s->has_wnd)
		s->seg.wnd = (uint16_t)n;
	else if (has == &s->has_up)
		s->seg.up = (uint16_t)n;
	else if (has == &s->has_ttl)
		s->ttl = (uint8_t)n;
	else
		s->tos = (uint8_t)n;
	return NULL;
}

const char *script_parse(struct script *s, const char *text)
{
	char copy[256], *save, *word, *open, *close;
	const char *why;

	memset(s, 0, sizeof(*s));
	if (strlen(text) >= sizeof(copy))
		return "too long";
	strcpy(copy, text);
	open = strchr(copy, '<');
	if (open) {
		close = strchr(open, '>');
		if (!close || close[1])
			return "no > at the end";
		*open = *close = '\0';
		if ((why = options(s, open + 1)) != NULL)
			return why;
	}
	word = strtok_r(copy, " ", &save);
	if (!word || !flags(word, &s->seg.flags))
		return "no flags";
	word = strtok_r(NULL, " ", &save);
	if (!word || !range(word, &s->seg))
		return "no sequence number";
	while ((word = strtok_r(NULL, " ", &save)) != NULL)
		if ((why = field(s, word, strtok_r(NULL, " ", &save))) != NULL)
			return why;
	return NULL;
}

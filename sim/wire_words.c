/* SPDX-License-Identifier: MIT */
/* A link in words: see wire_words.h. */
#include "sim/wire_words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_DEFAULT (256u * 1024)
#define DELAY_MAX     3600e9 /* an hour */

const char wire_words_help[] =
	"  delay=20ms            one way; units ns us ms s\n"
	"  jitter=2ms            up to so much more, without reordering\n"
	"  loss=1%               of packets, at random\n"
	"  burst=1%,30%[,100%]   Gilbert-Elliott: into a bad spell, out of it, loss in it\n"
	"  drop=5,9,12-14        these segments with data, counted from 1\n"
	"  reorder=5%,10ms       this share comes so much later, after its successors\n"
	"  duplicate=1%  corrupt=0.1%\n"
	"  rate=50mbit           bottleneck; units bit kbit mbit gbit\n"
	"  queue=100k | 1bdp     what may wait for it: bytes, or rate x round trip (256k)\n"
	"  ecn=30k               mark ECN-capable packets that find as much waiting\n"
	"  mtu=1400              larger packets vanish without a word\n"
	"  down=10s,12s          dead from then to then, from the start\n"
	"  seed=1                of every random decision\n";

__attribute__((format(printf, 3, 4))) static int bad(char *error, size_t size, const char *format,
						     ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, size, format, ap);
	va_end(ap);
	return -EINVAL;
}

struct unit {
	const char *name;
	double factor;
};

static const struct unit times[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { 0 }
};
static const struct unit rates[] = {
	{ "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { 0 }
};
static const struct unit sizes[] = {
	{ "", 1 }, { "b", 1 }, { "k", 1024 }, { "m", 1048576 }, { 0 }
};
static const struct unit shares[] = { { "%", 0.01 }, { "", 1 }, { 0 } };

/* A number with one of these units, from 0 to MAX, up to END or a comma. Moves *S on. */
static bool number(const char **s, const struct unit *units, double max, double *value)
{
	size_t len = strcspn(*s, ",-"), unit;
	char *end;

	if ((**s < '0' || **s > '9') && **s != '.')
		return false;
	*value = strtod(*s, &end);
	if (end > *s + len)
		return false;
	unit = len - (size_t)(end - *s);
	for (; units->name; units++) {
		if (strlen(units->name) != unit || strncmp(units->name, end, unit) != 0)
			continue;
		*value *= units->factor;
		*s += len;
		return *value <= max;
	}
	return false;
}

static bool comma(const char **s)
{
	if (**s != ',')
		return false;
	(*s)++;
	return true;
}

static bool share(const char **s, double *value)
{
	return number(s, shares, 1, value);
}

static bool time_ns(const char **s, uint64_t *ns)
{
	double v;

	if (!number(s, times, DELAY_MAX, &v))
		return false;
	*ns = (uint64_t)v;
	return true;
}

static bool bytes(const char **s, uint32_t *value)
{
	double v;

	if (!number(s, sizes, UINT32_MAX, &v))
		return false;
	*value = (uint32_t)v;
	return true;
}

static bool drops(const char **s, struct wire_params *p)
{
	p->drop_data_n = 0;
	do {
		unsigned long first, last;
		char *end;

		if (**s < '0' || **s > '9')
			return false;
		first = last = strtoul(*s, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		*s = end;
		for (; first && first <= last; first++) {
			if (p->drop_data_n == WIRE_DROPS)
				return false;
			p->drop_data[p->drop_data_n++] = (uint32_t)first;
		}
	} while (comma(s));
	return p->drop_data_n;
}

static bool queue(const char **s, struct wire_params *p, double *bdp)
{
	static const struct unit unit[] = { { "bdp", 1 }, { 0 } };
	const char *at = *s;

	if (number(&at, unit, 1000, bdp) && *bdp > 0) {
		*s = at;
		return true;
	}
	*bdp = 0;
	return bytes(s, &p->queue_bytes);
}

/* The value of KEY at *S. False: it makes no sense. *KNOWN: there is such a key. */
static bool value_of(const char *key, const char **s, struct wire_params *p, double *bdp,
		     bool *known)
{
	double rate = 0;
	uint32_t mtu;

	*known = true;
	if (!strcmp(key, "delay"))
		return time_ns(s, &p->delay_ns);
	if (!strcmp(key, "jitter"))
		return time_ns(s, &p->jitter_ns);
	if (!strcmp(key, "loss"))
		return share(s, &p->loss);
	if (!strcmp(key, "duplicate"))
		return share(s, &p->duplicate);
	if (!strcmp(key, "corrupt"))
		return share(s, &p->corrupt);
	if (!strcmp(key, "reorder"))
		return share(s, &p->reorder) && comma(s) && time_ns(s, &p->reorder_ns);
	if (!strcmp(key, "burst")) {
		p->burst_loss = 1;
		return share(s, &p->burst_enter) && comma(s) && share(s, &p->burst_leave) &&
		       (!comma(s) || share(s, &p->burst_loss));
	}
	if (!strcmp(key, "drop"))
		return drops(s, p);
	if (!strcmp(key, "rate")) {
		bool ok = number(s, rates, 1e12, &rate);

		p->rate_bps = (uint64_t)rate;
		return ok;
	}
	if (!strcmp(key, "queue"))
		return queue(s, p, bdp);
	if (!strcmp(key, "ecn"))
		return bytes(s, &p->ecn_bytes);
	if (!strcmp(key, "mtu")) {
		bool ok = bytes(s, &mtu) && mtu >= 68;

		p->mtu = ok ? mtu : 0;
		return ok;
	}
	if (!strcmp(key, "down")) {
		struct wire_span *span = &p->down[p->down_n];

		return p->down_n < WIRE_SPANS && time_ns(s, &span->from) && comma(s) &&
		       time_ns(s, &span->to) && span->from < span->to && ++p->down_n;
	}
	*known = false;
	return false;
}

void wire_words_init(struct wire_words *words)
{
	memset(words, 0, sizeof(*words));
	words->seed = 1;
	words->params[0].queue_bytes = words->params[1].queue_bytes = QUEUE_DEFAULT;
}

int wire_words_read(struct wire_words *words, const char *word, char *error, size_t size)
{
	const char *s = strchr(word, '='), *name = word;
	bool way[2] = { true, true }, known;
	char key[16];

	if (!strncmp(word, "ab.", 3) || !strncmp(word, "ba.", 3)) {
		way[word[0] == 'a'] = false;
		name += 3;
	}
	if (!s || (size_t)(s - name) >= sizeof(key) || s < name)
		return bad(error, size, "\"%.40s\" is no KEY=VALUE", word);
	memcpy(key, name, (size_t)(s - name));
	key[s - name] = '\0';
	if (!strcmp(key, "seed") && name == word) {
		char *end;

		words->seed = strtoull(s + 1, &end, 10);
		return s[1] >= '0' && s[1] <= '9' && !*end
			       ? 0
			       : bad(error, size, "\"%.40s\": a seed is a whole number", word);
	}
	for (unsigned d = 0; d < 2; d++) {
		const char *value = s + 1;

		if (!way[d])
			continue;
		if (!value_of(key, &value, &words->params[d], &words->bdp[d], &known))
			return known ? bad(error, size, "\"%.40s\": that is no value for %s", word,
					   key)
				     : bad(error, size, "there is no key \"%s\"", key);
		if (*value)
			return bad(error, size, "\"%.40s\": \"%.20s\" is too much", word, value);
	}
	return 0;
}

int wire_words_settle(struct wire_words *words, char *error, size_t size)
{
	uint64_t rtt = words->params[0].delay_ns + words->params[1].delay_ns;

	for (unsigned d = 0; d < 2; d++) {
		struct wire_params *p = &words->params[d];
		double n;

		if (words->bdp[d] <= 0)
			continue;
		if (!p->rate_bps || !rtt)
			return bad(error, size, "queue=%gbdp needs a rate and a delay",
				   words->bdp[d]);
		n = words->bdp[d] * (double)p->rate_bps / 8e9 * (double)rtt;
		if (n > UINT32_MAX)
			return bad(error, size, "queue=%gbdp is more than 4 GiB", words->bdp[d]);
		p->queue_bytes = n < 3000 ? 3000 : (uint32_t)n;
	}
	return 0;
}

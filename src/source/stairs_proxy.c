/* SPDX-License-Identifier: MIT */
/*
 * Proxy variables: http_proxy, https_proxy, all_proxy, no_proxy. No standard has them; what is
 * looked at here is what curl(1) does, and most others do alike.
 */
#define _GNU_SOURCE /* memrchr */
#include "source/stairs_step.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <netinet/in.h>

#define ENVIRONMENT (512 * 1024)

/* ---- no_proxy -------------------------------------------------------------------------------- */

/* ADDRESS or ADDRESS/BITS */
static bool in_network(const char *word, const struct cpl_addr *host)
{
	char copy[64];
	char *slash, *end;
	struct cpl_addr net;
	unsigned long bits;

	if (strlen(word) >= sizeof(copy))
		return false;
	strcpy(copy, word);
	slash = strchr(copy, '/');
	if (slash)
		*slash = 0;
	if (cpl_addr_parse(&net, copy) || cpl_addr_is4(&net) != cpl_addr_is4(host))
		return false;
	if (!slash)
		return cpl_addr_equal(&net, host);
	bits = strtoul(slash + 1, &end, 10);
	return end != slash + 1 && !*end && bits <= (cpl_addr_is4(host) ? 32 : 128) &&
	       rt_common_prefix(&net, host) >= bits;
}

/* DOMAIN names itself and all below it; a leading dot makes no difference. */
static bool in_domain(const char *word, const char *host)
{
	size_t w, h = strlen(host);

	while (*word == '.')
		word++;
	w = strlen(word);
	while (w && word[w - 1] == '.')
		w--;
	while (h && host[h - 1] == '.')
		h--;
	if (!w || w > h || strncasecmp(host + h - w, word, w) != 0)
		return false;
	return w == h || host[h - w - 1] == '.';
}

bool proxy_exempt(const char *no_proxy, const char *host)
{
	struct cpl_addr addr;
	bool literal = cpl_addr_parse(&addr, host) == 0;

	for (const char *s = no_proxy; *s;) {
		char word[256];
		size_t len;

		s += strspn(s, ", \t");
		len = strcspn(s, ", \t");
		if (len && len < sizeof(word)) {
			memcpy(word, s, len);
			word[len] = 0;
			if (word[0] == '[' && word[len - 1] == ']') {
				word[len - 1] = 0;
				memmove(word, word + 1, len - 1);
			}
			if (strcmp(word, "*") == 0 ||
			    (literal ? in_network(word, &addr) : in_domain(word, host)))
				return true;
		}
		s += len;
	}
	return false;
}

struct view_word proxy_shown(const char *value)
{
	const char *slashes = strstr(value, "://");
	const char *authority = slashes ? slashes + 3 : value;
	const char *at = memrchr(authority, '@', strcspn(authority, "/?#"));
	struct view_word rest = word_foreign(at ? at + 1 : authority);

	if (!at)
		return word_foreign(value);
	return word_format("%.*s***@%.90s", slashes ? (int)(authority - value) : 0, value, rest.s);
}

/* ---- The environment ------------------------------------------------------------------------- */

/* The value of NAME in an environment block, or in our own if BLOCK is NULL; "" counts as unset. */
static const char *variable(const char *block, size_t len, const char *name)
{
	size_t n = strlen(name);
	const char *value = NULL;

	if (!block)
		value = getenv(name);
	for (size_t at = 0; block && at < len && !value; at += strnlen(block + at, len - at) + 1)
		if (len - at > n && strncmp(block + at, name, n) == 0 && block[at + n] == '=')
			value = block + at + n + 1;
	return value && *value ? value : NULL;
}

/* Is spelled in either case; *NAME says in which. */
static const char *either(const char *block, size_t len, const char *lower, const char *upper,
			  const char **name)
{
	const char *value = variable(block, len, lower);

	*name = lower;
	if (value || !upper)
		return value;
	*name = upper;
	return variable(block, len, upper);
}

/* Of http_proxy only the small one counts: HTTP_PROXY may come from a header of a CGI request. */
static const char *of_scheme(const char *block, size_t len, bool tls, const char **name)
{
	return tls ? either(block, len, "https_proxy", "HTTPS_PROXY", name)
		   : either(block, len, "http_proxy", NULL, name);
}

/* The environment with which process PID was started; NULL: it may not be read. To be freed. */
static char *read_environment(uint32_t pid, size_t *len)
{
	char path[40];
	char *block = malloc(ENVIRONMENT + 1);
	ssize_t got = 1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*len = 0;
	while (block && fd >= 0 && *len < ENVIRONMENT && got > 0) {
		got = read(fd, block + *len, ENVIRONMENT - *len);
		if (got > 0)
			*len += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	if (fd < 0 || got < 0 || !block) {
		free(block);
		return NULL;
	}
	block[*len] = 0;
	return block;
}

/* Whether programs that call this port speak HTTP, so that these variables concern them. */
static bool is_web(const struct stairs_target *t, bool *tls)
{
	struct servent *service = getservbyport(htons(t->port), "tcp");

	*tls = strcmp(t->scheme, "https") == 0 || strcmp(t->scheme, "wss") == 0 ||
	       (!t->scheme[0] && (t->port == 443 || t->port == 8443));
	if (t->scheme[0])
		return *tls || strcmp(t->scheme, "http") == 0 || strcmp(t->scheme, "ws") == 0 ||
		       strcmp(t->scheme, "ftp") == 0;
	return !service || strncmp(service->s_name, "http", 4) == 0 ||
	       strncmp(service->s_name, "web", 3) == 0;
}

static void found(struct stairs *s, const char *name, const char *value, const char *whose)
{
	const struct stairs_target *t = &s->o->target;
	struct view_finding *f = stairs_find(s, VIEW_FINDING_proxy_in_the_way, VIEW_CERTAIN);
	struct view_word host = word_foreign(t->host);

	view_finding_say(f, "%s=%s in the environment of %s", name, proxy_shown(value).s, whose);
	view_finding_say(f,
			 "no_proxy does not name %s: curl, wget, pip, git and many others call "
			 "the proxy instead",
			 host.s);
	snprintf(
		f->next, sizeof(f->next),
		"To go the direct way: unset %s, or no_proxy=%.80s (once: curl --noproxy '*' ...). "
		"To look at the proxy: couplet doctor its host and port.",
		name, host.s);
	if (s->o->pid)
		f->pid = s->o->pid;
}

void stairs_proxies(struct stairs *s)
{
	const char *value, *name, *no_name, *no;
	char *block = NULL;
	char whose[48] = "this shell";
	size_t len = 0;
	bool tls, web = is_web(&s->o->target, &tls);

	if (s->o->pid) {
		block = read_environment(s->o->pid, &len);
		snprintf(whose, sizeof(whose), "process %u", s->o->pid);
		if (!block) {
			view_diagnosis_unseen(s->d, "proxy variables of process %u: %s", s->o->pid,
					      strerror(errno));
			return;
		}
	}
	no = either(block, len, "no_proxy", "NO_PROXY", &no_name);
	value = web ? of_scheme(block, len, tls, &name) : NULL;
	/* Without a scheme we cannot know which of the two counts. */
	if (!value && web && !s->o->target.scheme[0])
		value = of_scheme(block, len, !tls, &name);
	if (!value)
		value = either(block, len, "all_proxy", "ALL_PROXY", &name);
	if (value && !(no && proxy_exempt(no, s->o->target.host)))
		found(s, name, value, whose);
	free(block);
}

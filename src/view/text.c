/* SPDX-License-Identifier: MIT */
/* Text for people: see text.h. The buffer is here, the formats of numbers are in word.c. */
#include "view/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *t)
{
	memset(t, 0, sizeof(*t));
	t->width = 80;
}

void text_free(struct text *t)
{
	free(t->data);
	t->data = NULL;
	t->len = t->size = t->line = 0;
}

/* Room for N more bytes and the zero. */
static bool text_room(struct text *t, size_t n)
{
	size_t size = t->size ? t->size : 512;
	char *data;

	if (t->failed)
		return false;
	if (n >= SIZE_MAX / 4 - t->len) {
		t->failed = true;
		return false;
	}
	while (size < t->len + n + 1)
		size *= 2;
	if (size == t->size)
		return true;
	data = realloc(t->data, size);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->size = size;
	return true;
}

static void text_add(struct text *t, const char *s, size_t n)
{
	if (!text_room(t, n))
		return;
	memcpy(t->data + t->len, s, n);
	for (const char *end = s + n; (s = memchr(s, '\n', (size_t)(end - s))) != NULL; s++)
		t->line = t->len + n - (size_t)(end - s) + 1;
	t->len += n;
	t->data[t->len] = 0;
}

int text_flush(struct text *t, FILE *file)
{
	int r = 0;

	if (t->failed)
		r = -ENOMEM;
	else if (t->len && fwrite(t->data, 1, t->len, file) != t->len)
		r = -EIO;
	t->len = t->line = 0;
	t->failed = false;
	return r;
}

void text_puts(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
	char small[256];
	va_list ap, again;
	int n;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), format, ap);
	va_end(ap);
	if (n < 0) {
		t->failed = true;
	} else if ((size_t)n < sizeof(small)) {
		text_add(t, small, (size_t)n);
	} else if (text_room(t, (size_t)n)) {
		char *start = t->data + t->len;

		vsnprintf(start, (size_t)n + 1, format, again);
		for (int i = 0; i < n; i++)
			if (start[i] == '\n')
				t->line = t->len + (size_t)i + 1;
		t->len += (size_t)n;
	}
	va_end(again);
}

void text_write(struct text *t, const char *s, size_t n)
{
	text_add(t, s, n);
}

void text_foreign(struct text *t, const char *s)
{
	while (*s) {
		size_t n = 0;

		while (s[n] >= 0x20 && s[n] < 0x7f)
			n++;
		text_add(t, s, n);
		s += n;
		if (*s) {
			text_add(t, "?", 1);
			s++;
		}
	}
}

void text_repeat(struct text *t, const char *s, unsigned n)
{
	size_t len = strlen(s);

	while (n--)
		text_add(t, s, len);
}

unsigned view_cells_n(const char *s, size_t n)
{
	unsigned cells = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == 0x1b) { /* an escape sequence ends with a letter */
			while (i + 1 < n &&
			       !((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z')))
				i++;
			continue;
		}
		if ((c & 0xc0) != 0x80) /* not a continuation byte */
			cells++;
	}
	return cells;
}

unsigned view_cells(const char *s)
{
	return view_cells_n(s, strlen(s));
}

unsigned text_at(const struct text *t)
{
	return t->data ? view_cells_n(t->data + t->line, t->len - t->line) : 0;
}

void text_column(struct text *t, unsigned column, unsigned at_least)
{
	unsigned at = text_at(t);
	unsigned n = column > at ? column - at : 0;

	text_repeat(t, " ", n > at_least ? n : at_least);
}

void text_styled(struct text *t, enum text_style style, const char *s)
{
	static const char *const codes[] = {
		[TEXT_PLAIN] = "",	  [TEXT_BOLD] = "\033[1m",   [TEXT_DIM] = "\033[2m",
		[TEXT_RED] = "\033[31m",  [TEXT_GREEN] = "\033[32m", [TEXT_YELLOW] = "\033[33m",
		[TEXT_BLUE] = "\033[34m", [TEXT_CYAN] = "\033[36m",
	};
	bool on = t->colour && style != TEXT_PLAIN;

	if (on)
		text_puts(t, codes[style]);
	text_puts(t, s);
	if (on)
		text_puts(t, "\033[0m");
}

void text_wrap(struct text *t, const char *s, unsigned indent, unsigned width)
{
	unsigned at = text_at(t);
	bool first = true;

	while (*s) {
		size_t n = strcspn(s, " ");
		unsigned cells = view_cells_n(s, n);

		if (!first && at + 1 + cells > width) {
			text_puts(t, "\n");
			text_repeat(t, " ", indent);
			at = indent;
		} else if (!first) {
			text_puts(t, " ");
			at++;
		}
		text_add(t, s, n);
		at += cells;
		first = false;
		s += n;
		s += strspn(s, " ");
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * The terminal of couplet watch, through ncurses: lines of text with the escape sequences of
 * text_styled() go in, keys come out. Nothing here knows what the lines say.
 */
#include "cli/watch.h"

#ifndef HAVE_NCURSESW

const char *watch_screen_missing(void)
{
	return "couplet was built without ncurses; install libncurses-dev and build again";
}

const char *watch_screen_begin(bool colour)
{
	(void)colour;
	return watch_screen_missing();
}

void watch_screen_end(void)
{
}

void watch_screen_size(unsigned *columns, unsigned *lines)
{
	*columns = 80;
	*lines = 24;
}

void watch_screen_show(const struct text *t, const struct watch *w)
{
	(void)t, (void)w;
}

int watch_screen_key(bool *resized)
{
	*resized = false;
	return WATCH_KEY_NONE;
}

#else

#include <string.h>
#include <curses.h>

static SCREEN *screen;
static bool coloured;

const char *watch_screen_missing(void)
{
	return NULL;
}

const char *watch_screen_begin(bool colour)
{
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return "this terminal is of no known type; set TERM (for example TERM=xterm)";
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50); /* ms in which a lone Esc is told from a key that begins with it */
	curs_set(0);
	coloured = colour && has_colors();
	if (coloured) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_RED, -1);
		init_pair(2, COLOR_GREEN, -1);
		init_pair(3, COLOR_YELLOW, -1);
		init_pair(4, COLOR_BLUE, -1);
		init_pair(5, COLOR_CYAN, -1);
	}
	return NULL;
}

void watch_screen_end(void)
{
	if (!screen)
		return;
	curs_set(1);
	endwin();
	delscreen(screen);
	screen = NULL;
}

void watch_screen_size(unsigned *columns, unsigned *lines)
{
	*columns = (unsigned)COLS;
	*lines = (unsigned)LINES;
}

/* What the number in an escape sequence of text_styled() asks for. */
static attr_t attribute(unsigned number)
{
	static const struct {
		unsigned number;
		short pair;
		attr_t without; /* where there are no colours */
	} colours[] = {
		{ 31, 1, A_BOLD },   { 32, 2, A_NORMAL },    { 33, 3, A_NORMAL },
		{ 34, 4, A_NORMAL }, { 36, 5, A_UNDERLINE },
	};

	if (number == 1)
		return A_BOLD;
	if (number == 2)
		return A_DIM;
	for (unsigned i = 0; i < sizeof(colours) / sizeof(*colours); i++)
		if (colours[i].number == number)
			return coloured ? (attr_t)COLOR_PAIR(colours[i].pair) : colours[i].without;
	return A_NORMAL;
}

static void show_line(int y, const char *s, size_t n, bool selected)
{
	attr_t base = selected ? A_REVERSE : A_NORMAL;
	size_t i = 0;

	move(y, 0);
	attrset(base);
	if (selected)
		hline(' ' | A_REVERSE, COLS);
	while (i < n) {
		size_t run = 0;

		if (s[i] == 0x1b) {
			unsigned number = 0;

			for (i += 2; i < n && s[i] != 'm'; i++)
				number = number * 10 + (unsigned)(s[i] - '0');
			i++;
			attrset(base | (number ? attribute(number) : A_NORMAL));
			continue;
		}
		while (i + run < n && s[i + run] != 0x1b)
			run++;
		addnstr(s + i, (int)run);
		i += run;
	}
	attrset(A_NORMAL);
}

void watch_screen_show(const struct text *t, const struct watch *w)
{
	const char *s = t->data ? t->data : "";

	erase();
	for (int y = 0; *s && y < LINES; y++) {
		size_t n = strcspn(s, "\n");

		show_line(y, s, n, y == w->selected_line);
		s += n + (s[n] == '\n');
	}
	curs_set(w->cursor_line >= 0);
	if (w->cursor_line >= 0)
		move(w->cursor_line, w->cursor_column);
	refresh();
}

int watch_screen_key(bool *resized)
{
	int key;

	*resized = false;
	while ((key = getch()) == KEY_RESIZE)
		*resized = true;
	switch (key) {
	case ERR:
		return WATCH_KEY_NONE;
	case KEY_UP:
		return WATCH_KEY_UP;
	case KEY_DOWN:
		return WATCH_KEY_DOWN;
	case KEY_LEFT:
		return WATCH_KEY_LEFT;
	case KEY_RIGHT:
		return WATCH_KEY_RIGHT;
	case KEY_PPAGE:
		return WATCH_KEY_PAGE_UP;
	case KEY_NPAGE:
		return WATCH_KEY_PAGE_DOWN;
	case KEY_HOME:
		return WATCH_KEY_HOME;
	case KEY_END:
		return WATCH_KEY_END;
	case KEY_ENTER:
	case '\r':
		return WATCH_KEY_ENTER;
	case KEY_BACKSPACE:
	case 127:
		return WATCH_KEY_BACKSPACE;
	case 12: /* ^L: all anew */
		clearok(curscr, TRUE);
		*resized = true;
		return WATCH_KEY_NONE;
	}
	return key < 256 ? key : WATCH_KEY_NONE;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * couplet watch, in parts: what is sampled (watch_sample.c, a thread), what the user has chosen
 * (struct watch, changed by keys in watch_keys.c), what stands on the screen (text lines made from
 * both by watch_table.c and watch_open.c, pure), and the terminal (watch_screen.c, ncurses).
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "source/select.h"
#include "source/source.h"
#include "view/pair.h"
#include "view/rank.h"
#include "view/state_diagram.h"
#include "view/timeseq.h"

/* The least terminal that shows something. */
#define WATCH_COLUMNS 60
#define WATCH_LINES   12

/* ---- Samples --------------------------------------------------------------------------------- */

/* The table at one moment. It is not changed once it is made. */
struct watch_sample {
	struct rank_row *row;
	size_t n;
	unsigned refs;
	uint64_t cost_ns; /* that taking it took */
	int error;	  /* a negative errno: nothing could be listed; the notes say why */
	struct source_notes notes;
};

/* The opened connection at one moment: two passes over both ends, A and B. */
struct watch_detail {
	struct rank_row key;	/* of which row */
	bool have[2];		/* the end was seen in pass 2 */
	bool gone[2];		/* it was there once and is not any more */
	struct cpl_info end[2]; /* as last seen */
	enum view_paired_by by;
	enum view_absent absent; /* of B, where it was never seen */
	struct view_report report;
	bool compared; /* report is filled */
	uint64_t cost_ns;
	char missing[160]; /* what a look at more would need; or "" */
};

/* A walk takes at most one part in so many of the time: a long one is repeated more rarely. */
#define WATCH_SHARE 4

struct watch_sampler;

struct watch_setup {
	unsigned interval_ms;
	bool namespaces; /* the table is of all network namespaces */
	struct select select;
};

/* Starts the thread. NULL: errno says why. */
struct watch_sampler *watch_sampler_new(const struct watch_setup *setup);
/* Ends it; one that hangs in the kernel is left behind after a second. */
void watch_sampler_free(struct watch_sampler *s);
/* Readable when there is something new to take. */
int watch_sampler_fd(const struct watch_sampler *s);
/* From now on. The next sample is taken at once. */
void watch_sampler_select(struct watch_sampler *s, const struct select *select);
void watch_sampler_pause(struct watch_sampler *s, bool pause);
/* Samples of one connection instead of the table; NULL: of the table. */
void watch_sampler_open(struct watch_sampler *s, const struct rank_row *row);
/* The newest sample, or NULL: none since the last call. To be released. */
struct watch_sample *watch_sampler_take(struct watch_sampler *s);
void watch_sample_release(struct watch_sampler *s, struct watch_sample *sample);
bool watch_sampler_take_detail(struct watch_sampler *s, struct watch_detail *detail);

/* What watch_sample.c asks watch_peer.c, in the sampler's thread. */
/* Finds both ends of the connection of ROW, in every namespace that may be looked into. Returns 0;
 * -ENOENT: it is gone; or another negative errno. */
int watch_peer_find(const struct rank_row *row, struct watch_detail *detail);
/* Reads both ends of DETAIL again, twice, and compares them. */
void watch_peer_again(struct watch_detail *detail);

/* ---- What the user has chosen ---------------------------------------------------------------- */

/* Keys: printable characters are themselves. */
enum watch_key {
	WATCH_KEY_NONE,
	WATCH_KEY_BACKSPACE = 8,
	WATCH_KEY_TAB = 9,
	WATCH_KEY_ENTER = 10,
	WATCH_KEY_CLEAR = 21, /* ^U */
	WATCH_KEY_ESCAPE = 27,
	WATCH_KEY_UP = 256,
	WATCH_KEY_DOWN,
	WATCH_KEY_LEFT,
	WATCH_KEY_RIGHT,
	WATCH_KEY_PAGE_UP,
	WATCH_KEY_PAGE_DOWN,
	WATCH_KEY_HOME,
	WATCH_KEY_END,
};

/* What the program must do after a key. */
enum watch_act {
	WATCH_ACT_NONE,
	WATCH_ACT_QUIT,
	WATCH_ACT_FILTER, /* w->select is new */
	WATCH_ACT_PAUSE,  /* w->paused is new */
	WATCH_ACT_OPEN,	  /* w->open.key is to be sampled */
	WATCH_ACT_CLOSE,  /* the table again */
};

enum watch_page {
	WATCH_TABLE,
	WATCH_OPEN,
	WATCH_HELP
};

/* Parts of an opened connection, where not all fit. */
enum watch_part {
	WATCH_BLOCKS,
	WATCH_STATES,
	WATCH_PLOT,
	WATCH_PARTS
};

struct watch_open {
	struct rank_row key;
	bool known; /* detail is filled */
	struct watch_detail detail;
	struct state_marks marks;
	struct rank_row row[2]; /* what goes on at each end */
	struct timeseq way[2];	/* A to B, B to A */
	unsigned direction;	/* which of them is drawn */
	bool direction_chosen;
	enum watch_part part;
	unsigned scroll;
};

#define WATCH_FILTER 200

struct watch {
	unsigned columns, lines; /* of the terminal */
	bool ascii, colour;
	unsigned interval_ms;
	uint32_t own_netns; /* that of others is named */

	enum watch_page page, under; /* UNDER: what help was asked from */
	enum rank_sort sort;
	bool reverse, paused, listeners;
	char filter[WATCH_FILTER];
	struct select select;
	bool editing;
	char edit[WATCH_FILTER];
	struct select_error error;
	bool wrong; /* error is of EDIT */

	const struct watch_sample *sample; /* NULL: none yet */
	uint32_t *order;		   /* of the rows that are shown */
	size_t n, room;
	size_t top, at; /* places in ORDER: of the first line, of the selected one */
	struct rank_row selected;
	bool has_selected;
	unsigned shift;	    /* columns of the table scrolled out to the left */
	unsigned widest[2]; /* of the addresses, as far as they were seen */
	unsigned scroll;    /* of the help */

	struct watch_open open;

	/* Made by watch_draw(). */
	int selected_line;		/* -1: none */
	int cursor_line, cursor_column; /* -1: no cursor */
};

void watch_init(struct watch *w);
void watch_free(struct watch *w);
/* SAMPLE becomes the table's; the one before is not looked at any more. */
void watch_set_sample(struct watch *w, const struct watch_sample *sample);
void watch_set_detail(struct watch *w, const struct watch_detail *detail);
enum watch_act watch_press(struct watch *w, int key);
/* Rows of the table that fit on the screen. */
unsigned watch_page_rows(const struct watch *w);

/* ---- What stands on the screen --------------------------------------------------------------- */

/* At most w->lines lines of at most w->columns columns, each with its end of line. */
void watch_draw(struct watch *w, struct text *t);
/* The parts of it. */
void watch_draw_table(struct watch *w, struct text *t);
void watch_draw_open(struct watch *w, struct text *t);
/* The first N bytes of S as one line of at most COLUMNS columns; "~" stands where it was cut. */
void watch_line(struct text *t, const char *s, size_t n, unsigned columns);
/* Lines FROM to FROM + LINES of what BODY holds; returns how many lines it has. */
unsigned watch_lines(struct text *t, const struct text *body, unsigned from, unsigned lines,
		     unsigned columns);

/* ---- The terminal ---------------------------------------------------------------------------- */

/* NULL, or the sentence that says what this couplet was built without. */
const char *watch_screen_missing(void);
/* Takes the terminal over. NULL, or the sentence that says why it cannot. */
const char *watch_screen_begin(bool colour);
void watch_screen_end(void);
void watch_screen_size(unsigned *columns, unsigned *lines);
void watch_screen_show(const struct text *t, const struct watch *w);
/* The next key, or WATCH_KEY_NONE; sets *RESIZED if the terminal has another size. */
int watch_screen_key(bool *resized);

#endif

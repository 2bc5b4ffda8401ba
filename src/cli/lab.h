/* SPDX-License-Identifier: MIT */
/* `couplet lab`: what its files share. The engine is sim/lab.h; this is what shows it. */
#ifndef CLI_LAB_H
#define CLI_LAB_H

#include "sim/lab.h"
#include "view/pair.h"
#include "view/text.h"

struct lab_options {
	struct lab_config config;
	const struct lab_story *story; /* NULL: a plain transfer */
	const char *svg, *pcapng;
	bool size_given;
	bool step, json, verbose, help;
};

/* From the command line: 0, or CLI_USAGE after one sentence on stderr. */
int lab_options_read(struct lab_options *o, int argc, char **argv);
extern const char lab_options_help[];

/* "40 ms, 2% loss, 20 Mbit/s" */
void lab_wire_text(const struct wire_params *p, char *text, size_t size);

/* Sections of the output, each with its heading. */
void lab_show_drawing(struct text *t, struct lab *lab, const struct lab_moment *m);
void lab_show_blocks(struct text *t, const struct lab_moment *m, bool verbose);
void lab_show_agreement(struct text *t, struct lab *lab, const struct lab_moment *m, bool verbose);
void lab_show_netstat(struct text *t, const struct lab_moment *m, bool verbose);
void lab_show_ladder(struct text *t, struct lab *lab, size_t most);
void lab_show_result(struct text *t, struct lab *lab);
/* The verdict on the two blocks, X being the end SIDE. */
void lab_verdict(const struct lab_moment *m, unsigned side, struct view_report *report);

/* Print each segment, call and timer with what it changed, as it happens. */
struct lab_step;
struct lab_step *lab_step_start(struct lab *lab, struct text *t, bool verbose);
void lab_step_end(struct lab_step *step);

/* Write all packets to NAME from now on; and the end of it. They return an exit status. */
struct pcapng;
int lab_capture_start(struct lab *lab, const char *name, struct pcapng **capture);
int lab_capture_end(struct pcapng *capture, const char *name);

/* Three pictures beside each other: STEM-drawing.svg, STEM-ladder.svg, STEM-states.svg, where NAME
 * is STEM or STEM.svg. Returns an exit status. */
int lab_write_svg(struct lab *lab, const struct lab_moment *m, const char *name);

#endif

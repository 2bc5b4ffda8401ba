/* SPDX-License-Identifier: MIT */
/* The drawing of two hosts and the wire. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/drawing.h"

static struct cpl_info x, y;
static struct text t;
static struct view_scene scene;

static int setup(void **state)
{
	(void)state;
	ends_init(&x, &y);
	scene = (struct view_scene){ .x_host = "client",
				     .y_host = "server",
				     .x = &x,
				     .y = &y,
				     .wire = "40 ms, 2% loss, 20 Mbit/s" };
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

/* Every line of the boxes is 80 columns, the text below at most. */
static void draw(void)
{
	unsigned lines = 0;

	text_free(&t);
	view_drawing(&t, &scene);
	for (const char *s = t.data; *s; s = strchr(s, '\n') + 1, lines++) {
		unsigned cells = view_cells_n(s, strcspn(s, "\n"));

		if (lines < 18 ? cells != 80 : cells > 80)
			fail_msg("%u columns: %.100s", cells, s);
	}
	assert_true(lines <= 22);
}

#define has(part)                                                                                  \
	do {                                                                                       \
		if (!strstr(t.data, part))                                                         \
			fail_msg("\"%s\" is not in:\n%s", part, t.data);                           \
	} while (0)

static void real_values(void **state)
{
	(void)state;
	end_sends(&x, 2896);
	scene.wire_known = true;
	scene.wire_segments[0] = 2;
	scene.wire_bytes[0] = 2896;
	draw();
	has("│ program  curl pid 4711     │      the wire      │ program  nginx pid 812     │\n");
	has("│    │ file descriptor 5     │   40 ms, 2% loss   │    │ file descriptor 7     │\n");
	has("│ socket   10.0.0.1:40000    │                    │ socket   10.0.0.2:80       │\n");
	has("│ │ snd_una    iss+1001    │ │     2 segments     │ │ rcv_nxt    irs+1001    │ │\n");
	has("│ │ snd_nxt    iss+3897    │ │    2,896 bytes     │");
	has("│      nothing       │");
	has("└ kept by couplet ───────┘");
}

static void wire_not_known(void **state)
{
	(void)state;
	end_sends(&x, 10);
	scene.wire = NULL;
	draw();
	has("under way or lost");
	has("10 bytes");
}

static void block_missing(void **state)
{
	(void)state;
	scene.x = NULL;
	draw();
	has("TCB none");
	has("this host has none");
	scene.x = &x;
	scene.y = NULL;
	draw();
	has("program  -");
}

static void extremes(void **state)
{
	(void)state;
	memset(&x.local_addr, 0xfd, 16);
	memset(&y.local_addr, 0xfe, 16);
	memset(x.program, 'p', 15);
	x.pid = x.fd = UINT32_MAX;
	x.snd_nxt = x.iss - 1;
	x.state = CPL_SYN_RECEIVED;
	x.send_queue = UINT32_MAX;
	scene.wire_known = true;
	scene.wire_segments[0] = scene.wire_bytes[0] = UINT64_MAX;
	scene.wire =
		"a wire, with, very many, properties that, nobody, can, list in five, lines, at "
		"least, not, these, oh no";
	scene.x_host = "a.host.with.a.long.name.example.org";
	draw();
	has("(a) [fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:40000\n");
	has("(b) [fefe:");
}

static void ascii(void **state)
{
	(void)state;
	t.ascii = true;
	draw();
	for (const char *s = t.data; *s; s++)
		assert_true((unsigned char)*s < 0x80);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(real_values), T(wire_not_known), T(block_missing), T(extremes), T(ascii),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

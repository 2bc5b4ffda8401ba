#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/rfc9293 finds tags where they count, and its mutations turn tests red for a reason."""
import os
import shutil

from tap import TOP, main, run, write

SPDX = "/* SPDX-License-Identifier: MIT */\n"
ROWS = "id\tlevel\trequirement\tsection\ttest\n" + \
    "".join(f"MUST-{n}\tMUST\tDo {n}\t3.{n}\tW\n" for n in range(1, 10))

SOURCE = SPDX + """/* MUST-9: a file's opening comment is not code. */
/* MUST-1: the whole function. */
int whole(int a)
{
	return a + 5;
}

int inner(int a, int b)
{
	int sum = 0;

	/* MUST-2: negative counts as none. */
	if (a < 0)
		a = 0;
	if (a > 10 &&
	    b > 10 && /* MUST-3: both must be large */
	    a != b)
		return 1;
	sum = a * 2; /* MUST-4: twice */
	switch (b) {
	case 7: /* MUST-5: seven is special */
		sum = 77;
		break;
	default:
		break;
	}
	/* MUST-6: never tested for real */
	if (sum == 12345)
		sum = 0;
	return sum;
}

const int table[] = {
	1,
	20, /* MUST-7: the second is twenty */
};
"""
TEST = SPDX + """#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
int whole(int a);
int inner(int a, int b);
extern const int table[];
/* MUST-1 */
static void test_whole(void **state)
{
	(void)state;
	assert_int_equal(whole(1), 6);
}
/* MUST-2, MUST-4 */
static void test_sum(void **state)
{
	(void)state;
	assert_int_equal(inner(-3, 0), 0);
	assert_int_equal(inner(3, 0), 6);
}
/* MUST-3 */
static void test_both(void **state)
{
	(void)state;
	assert_int_equal(inner(20, 5), 40);
}
static void test_rest(void **state)
{
	(void)state;
	assert_int_equal(inner(3, 7), 77); /* MUST-5 */
	assert_int_equal(inner(3, 0), 6); /* MUST-6 */
	assert_int_equal(table[1], 20); /* MUST-7 */
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole), cmocka_unit_test(test_sum),
		cmocka_unit_test(test_both), cmocka_unit_test(test_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


def tree(top):
    write(top, "docs/rfc9293.tsv", ROWS)
    write(top, "src/base/sum.c", SOURCE)
    write(top, "tests/base/test_sum.c", TEST)
    write(top, "include/couplet/couplet.h", SPDX + '#define CPL_VERSION "0"\n')
    shutil.copy(os.path.join(TOP, "Makefile"), top)


def row(out, one):
    return next(line for line in out.split("\n") if line.startswith(f"| {one} |"))


def test_page_links_code_and_test(top):
    tree(top)
    status, out = run("tools/rfc9293", "--top", top)
    assert status == 0, out
    with open(os.path.join(top, "docs/rfc9293.md")) as file:
        page = file.read()
    assert row(page, "MUST-1") == ("| MUST-1 | Do 1 | 3.1 | [base/sum.c: whole](../src/base/sum.c)"
                                   " | [base/test_sum.c: test_whole](../tests/base/test_sum.c) |")
    assert "sum.c: inner]" in row(page, "MUST-3") and "test_both]" in row(page, "MUST-3")
    assert "sum.c: table]" in row(page, "MUST-7")
    assert row(page, "MUST-9").count("**hole**") == 2
    assert "Of the 9 requirements" in page and "7 are named" in page and "2 are holes" in page


def test_reason_instead_of_a_hole(top):
    tree(top)
    write(top, "docs/rfc9293.why", "MUST-9\tleft to the program\n")
    run("tools/rfc9293", "--top", top)
    with open(os.path.join(top, "docs/rfc9293.md")) as file:
        page = file.read()
    assert "*left to the program*" in row(page, "MUST-9") and "1 are holes" in page, page


def test_stale_reason_fails(top):
    tree(top)
    write(top, "docs/rfc9293.why", "MUST-1\tnot done\n")
    status, out = run("tools/rfc9293", "--top", top)
    assert status == 1 and "MUST-1 has code and test" in out, out


def test_check_sees_a_stale_page(top):
    tree(top)
    run("tools/rfc9293", "--top", top)
    assert run("tools/rfc9293", "--top", top, "--check")[0] == 0
    write(top, "src/base/more.c", SPDX + "/* MUST-8 */\nint more(void)\n{\n\treturn 0;\n}\n")
    status, out = run("tools/rfc9293", "--top", top, "--check")
    assert status == 1 and "make docs" in out, out


def test_mutations_turn_tests_red(top):
    tree(top)
    status, out = run("tools/rfc9293", "--top", top, "--mutate", "99")
    assert "whole() returns 0" in row(out, "MUST-1"), out
    assert "if: never" in row(out, "MUST-2") and "test_sum" in row(out, "MUST-2"), out
    assert "`b > 10` is 1" in row(out, "MUST-3") and "test_both" in row(out, "MUST-3"), out
    assert "deleted" in row(out, "MUST-4"), out
    assert "case does nothing" in row(out, "MUST-5") and "test_rest" in row(out, "MUST-5"), out
    assert "line deleted" in row(out, "MUST-7"), out
    # `if: always` on MUST-6 turns test_rest red; nothing here stays green.
    assert status == 0 and "7 of 7 turn red" in out, out


def test_untested_code_stays_green(top):
    tree(top)
    write(top, "src/base/sum.c", SOURCE.replace("12345", "a + 12345").replace(
        "sum = 0;\n\treturn", "sum = sum;\n\treturn"))
    status, out = run("tools/rfc9293", "--top", top, "--id", "MUST-6")
    assert status == 1 and "not red: MUST-6" in out, out


def test_draw_depends_on_the_seed_only(top):
    tree(top)
    a = run("tools/rfc9293", "--top", top, "--mutate", "2", "--seed", "3")
    b = run("tools/rfc9293", "--top", top, "--mutate", "2", "--seed", "3")
    assert a == b and a[1].count("| MUST-") == 2, a


main(globals())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/amalgamate keeps apart what only shares a name, and hides what is not public."""
import os
import re

from tap import main, run, write

SPDX = "/* SPDX-License-Identifier: MIT */\n"

FILES = {
    "include/couplet/addr.h": """#ifndef ADDR_H
#define ADDR_H
struct cpl_addr { int bytes; };
#endif
""",
    "include/couplet/couplet.h": """#ifndef COUPLET_H
#define COUPLET_H
#include <couplet/addr.h>
#define CPL_VERSION "1.2.3"
enum cpl_kind {
#define KIND(name) CPL_##name,
#include <couplet/kinds.def>
	CPL_KINDS
};
#ifdef __cplusplus
extern "C" {
#endif
int cpl_sum(int a);
#ifdef __cplusplus
}
#endif
#endif
""",
    "include/couplet/kinds.def": "KIND(A)\nKIND(B)\n#undef KIND\n",
    "src/base/assert.h": """#ifndef ASSERT_H
#define ASSERT_H
_Noreturn void cpl_assert_failed(const char *expr);
#endif
""",
    "src/base/table.h": """#ifndef TABLE_H
#define TABLE_H
#include <stdint.h>
struct row { uint8_t step; };
extern const struct row rows[];
uint32_t rows_sum(const struct row *row,
		  int n);
static inline int twice(int a)
{
	return 2 * a;
}
#endif
""",
    "src/base/rows.def": "ROW(later)\nROW(step)\n#undef ROW\n",
    "src/base/table.c": """#include "base/table.h"
#include "base/assert.h"

#define SIZE 3
#define ROW(name) ROW_##name,
enum {
#include "base/rows.def"
	ROWS
};
struct __attribute__((may_alias)) entry { int step; };
enum { FIRST = 1, SECOND };
const struct row rows[] = { { 1 }, { 2 }, { SIZE } };

static struct {
	int b;
} pairs[] = { { 0 } };

static uint32_t step(const struct row *row)
{
	struct entry entry = { .step = FIRST };

	return row->step + (uint32_t)entry.step - ROWS / 2 + pairs[0].b; /* step "step" */
}

uint32_t rows_sum(const struct row *row, int n)
{
	uint32_t sum = 0;

	if (!row)
		cpl_assert_failed("row");
	for (int i = 0; i < n; i++)
		sum += step(&row[i]);
	return sum;
}
""",
    "src/stack/sum.c": """#include <couplet/couplet.h>
#include "base/table.h"

__attribute__((noinline)) static int later(int a)
{
	return a;
}

#define SIZE (SECOND + 1)
#define ROW(name) #name,
static const char *const names[] = {
#include "base/rows.def"
};
static const struct {
	struct { int a; } in;
} pairs[2] = { { { 0 } }, { { 0 } } };
typedef struct entry { const struct row *row; } entry_t;
enum { SECOND = 2, THIRD };

static int step(entry_t e)
{
	return (int)rows_sum(e.row, SIZE);
}

int cpl_sum(int a)
{
	struct entry e = { rows };

	return later(a) + pairs[1].in.a + (names[0][0] == 'l') - 1 + twice(step(e)) + THIRD + CPL_KINDS;
}
""",
    "src/host/later.h": "#ifndef LATER_H\n#define LATER_H\nint later(void);\n#endif\n",
    "src/host/later.c": '#include "host/later.h"\nint later(void)\n{\n\treturn 5;\n}\n',
    "src/host/assert.c": """#include <stdlib.h>
#include "base/assert.h"
_Noreturn void cpl_assert_failed(const char *expr)
{
	(void)expr;
	abort();
}
""",
    "main.c": '#include "couplet.h"\nint main(void)\n{\n\treturn cpl_sum(1) == 18 ? 0 : 1;\n}\n',
    "hook.c": '#include "couplet.h"\nvoid cpl_assert_failed(const char *e)\n{\n\tfor (; e;)\n\t\t;\n}'
              "\nint main(void)\n{\n\treturn 0;\n}\n",
}


def build(top, compiler, program):
    for path, text in FILES.items():
        write(top, path, SPDX + text)
    status, out = run("tools/amalgamate", "--top", top, os.path.join(top, "one"))
    assert status == 0 and not out, out
    source = os.path.join(top, "one/couplet.c")
    exe = os.path.join(top, "program")
    status, out = run(compiler, "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-I" + top + "/one",
                      "-o", exe, os.path.join(top, program), source)
    assert status == 0, out
    return exe


def test_same_names_stay_apart_under_gcc(top):
    status, _ = run(build(top, "gcc", "main.c"))
    assert status == 0


def test_same_names_stay_apart_under_clang(top):
    status, _ = run(build(top, "clang", "main.c"))
    assert status == 0


def test_program_may_bring_its_assert_hook(top):
    build(top, "gcc", "hook.c")


def test_only_public_symbols(top):
    build(top, "gcc", "main.c")
    obj = os.path.join(top, "couplet.o")
    run("gcc", "-std=gnu17", "-c", "-o", obj, os.path.join(top, "one/couplet.c"))
    _, out = run("nm", "-g", "--defined-only", "-j", obj)
    assert out.split() == ["cpl_assert_failed", "cpl_sum"], out


def test_the_open_one_names_the_lines_of_the_tree(top):
    for path, text in FILES.items():
        write(top, path, SPDX + text)
    one = os.path.join(top, "one")
    status, out = run("tools/amalgamate", "--top", top, "--open", "--lines", one)
    assert status == 0 and not out, out
    obj = os.path.join(top, "couplet.o")
    status, out = run("gcc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-g", "-c", "-o", obj,
                      os.path.join(one, "couplet.c"))
    assert status == 0, out
    _, out = run("nm", "-g", "-l", "--defined-only", obj)
    found = {line.split()[2]: line.split("/one/")[-1].split("\t")[-1] for line in out.splitlines()}
    for name, path in (("cpl_sum", "src/stack/sum.c"), ("rows_sum", "src/base/table.c"),
                       ("rows", "src/base/table.c"), ("later", "src/host/later.c")):
        lines = (SPDX + FILES[path]).split("\n")
        number = next(n for n, line in enumerate(lines, 1)
                      if re.match(rf"[a-z].*\b{name}\W", line) and not line.endswith(";")
                      or line.startswith(f"const struct row {name}["))
        assert found[name].endswith(f"{path}:{number}"), (name, number, out)


def test_header_is_cxx_and_names_the_version(top):
    build(top, "gcc", "main.c")
    path = os.path.join(top, "one/couplet.h")
    status, out = run("g++", "-Wall", "-Werror", "-fsyntax-only", "-x", "c++", path)
    assert status == 0, out
    with open(path) as file:
        text = file.read()
    assert "libcouplet 1.2.3" in text and "<couplet/" not in text, text


main(globals())

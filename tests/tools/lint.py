#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each rule of tools/lint finds what it is for, and is silent about what is right."""
import os
import subprocess

from tap import main, run, write

SPDX = "/* SPDX-License-Identifier: MIT */\n"


def lint(top, *more):
    write(top, "docs/rfc9293.tsv", "id\tlevel\nMUST-1\tMUST\n")
    return run("tools/lint", "--top", top, *more)


def finds(top, rule, where, what=""):
    status, out = lint(top, rule)
    assert status == 1, out
    assert f"{where}: {rule}: {what}" in out, out
    assert out.count("\n") == 1, out


def compile(top, source):
    obj = os.path.join(top, "out/release/obj", source[:-2] + ".o")
    os.makedirs(os.path.dirname(obj), exist_ok=True)
    subprocess.run(["cc", "-O2", "-I", os.path.join(top, "src"), "-c", "-o", obj,
                    os.path.join(top, source)], check=True)
    return obj


def test_silent_about_a_good_tree(top):
    write(top, "src/base/seq.h", SPDX + "int seq(int a);\n")
    write(top, "src/tcp/tcb.c", SPDX + '#include <string.h>\n#include "base/seq.h"\n'
          "/* MUST-1: so it is */\nint tcb(void)\n{\n\treturn seq(1);\n}\n")
    compile(top, "src/tcp/tcb.c")
    status, out = lint(top)
    assert status == 0 and "skipped: not built" in out and out.count("\n") == 1, out


def test_upward_include(top):
    write(top, "src/tcp/tcb.h", SPDX)
    write(top, "src/loss/rtt.c", SPDX + '\n#include "tcp/tcb.h"\n')
    finds(top, "floors", "src/loss/rtt.c:3", "loss (floor 2) includes tcp/tcb.h (floor 3)")


def test_sideways_include(top):
    write(top, "src/cc/cc.h", SPDX)
    write(top, "src/ip/route.c", SPDX + '#include "../cc/cc.h"\n')
    finds(top, "floors", "src/ip/route.c:2")


def test_view_of_the_core(top):
    write(top, "src/tcp/tcb.h", SPDX)
    write(top, "src/view/pair.c", SPDX + '#include "tcp/tcb.h"\n')
    finds(top, "floors", "src/view/pair.c:2", "view reads snapshots")


def test_folder_without_floor(top):
    write(top, "src/misc/a.c", SPDX)
    finds(top, "floors", "src/misc/a.c:1", "folder misc has no floor")


def test_system_header_in_the_core(top):
    write(top, "src/ip/route.c", SPDX + "#include <stdint.h>\n#include <stdio.h>\n")
    finds(top, "core-headers", "src/ip/route.c:3", "<stdio.h>")


def test_include_cycle(top):
    write(top, "src/base/a.h", SPDX + '#include "base/b.h"\n')
    write(top, "src/base/b.h", SPDX + '#include "base/a.h"\n')
    finds(top, "include-cycles", "src/base/a.h:1", "src/base/a.h -> src/base/b.h -> src/base/a.h")


def test_long_function(top):
    body = "\tx++; /* } */\n" * 77
    write(top, "src/base/a.c", SPDX + f"int a(int x)\n{{\n{body}}}\nint b(int x)\n{{\n{body}\n}}\n")
    finds(top, "function-length", "src/base/a.c:82", "b() has 81 lines")


def test_long_file(top):
    write(top, "src/base/a.c", SPDX + "\n" * 699 + "int a;\n")
    finds(top, "file-length", "src/base/a.c:700", "701 lines")


def test_wide_line(top):
    write(top, "src/base/a.c", SPDX + "\t/*" + "x" * 88 + "*/\n\t/*" + "x" * 89 + "*/\n")
    finds(top, "line-length", "src/base/a.c:3", "101 columns")


def test_trailing_space(top):
    write(top, "src/base/a.c", SPDX + "int a; \n")
    finds(top, "white-space", "src/base/a.c:2", "space at the end of the line")


def test_no_line_end(top):
    write(top, "README.md", "# A")
    finds(top, "white-space", "README.md:0", "not one line end")


def test_no_license(top):
    write(top, "src/base/a.c", "int a;\n")
    finds(top, "spdx", "src/base/a.c:1")


def test_unfinished_business(top):
    write(top, "src/base/a.c", SPDX + "int todo; /* TO" + "DO: more */\n")
    finds(top, "words", "src/base/a.c:2", '"TO' + 'DO"')


def test_path_of_one_machine(top):
    write(top, "README.md", "See /ho" + "me/x/y.\n")
    finds(top, "words", "README.md:1")


def test_dead_link(top):
    write(top, "README.md", "[a](b.md), [c](README.md#d), [e](http://f/g)\n")
    finds(top, "links", "README.md:1", "no b.md")


def test_link_out_of_the_tree(top):
    write(top, "docs/a.md", "[a](../../b)\n")
    finds(top, "links", "docs/a.md:1", "no ../../b")


def test_folder_that_the_map_forgets(top):
    write(top, "src/base/a.c", SPDX)
    write(top, "src/wire/a.c", SPDX)
    write(top, "ARCHITECTURE.md", "`src/base/`\n")
    finds(top, "code-map", "ARCHITECTURE.md:1", "does not name src/wire/")


def test_script_that_cannot_run(top):
    write(top, "tests/interop/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n")
    finds(top, "script-mode", "tests/interop/a.sh:1")


def test_unknown_tag(top):
    write(top, "src/base/a.c", SPDX + "/* MUST-1, MUST-2 */\n")
    finds(top, "tags", "src/base/a.c:2", "no requirement MUST-2")


def test_mutable_global(top):
    write(top, "src/base/a.c", SPDX + "const int *const fine[] = { 0 };\nint used(void)\n{\n"
          "\tstatic int calls;\n\treturn ++calls + !fine[0];\n}\n")
    compile(top, "src/base/a.c")
    finds(top, "globals", "src/base/a.c:5", "calls")


def test_initialised_global(top):
    write(top, "src/base/a.c", SPDX + "int level = 3;\n")
    compile(top, "src/base/a.c")
    finds(top, "globals", "src/base/a.c:2", "level in .data")


def test_undeclared_export(top):
    write(top, "include/couplet/couplet.h", SPDX + "int cpl_known(void);\n")
    write(top, "src/base/a.c", SPDX + "int cpl_known(void)\n{\n\treturn 0;\n}\nint cpl_new;\n")
    obj = compile(top, "src/base/a.c")
    out = os.path.join(top, "out/release")
    subprocess.run(["ar", "rcs", os.path.join(out, "libcouplet.a"), obj], check=True)
    finds(top, "symbols", "src/base/a.c:1", "cpl_new is not in include/couplet/")


def test_tap_counts_rules(top):
    write(top, "src/base/a.c", "int a; \n")
    status, out = lint(top, "--tap", "spdx", "white-space", "tags")
    assert status == 1 and out.count("\nnot ok") + out.startswith("not ok") == 2, out
    assert "ok 3 lint: a tag" in out and out.endswith("1..3\n"), out


def test_unknown_rule_is_usage(top):
    status, out = lint(top, "spelling")
    assert status == 2 and "no such rule: spelling" in out, out


main(globals())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/table prints every row with a figure, and says in a sentence what is missing or wrong."""
import importlib.machinery
import importlib.util
import os
import re
import shutil
import sys

from tap import TOP, main, run

loader = importlib.machinery.SourceFileLoader("table", os.path.join(TOP, "bench/table"))
table = importlib.util.module_from_spec(importlib.util.spec_from_loader("table", loader))
sys.dont_write_bytecode = True
loader.exec_module(table)

OUT = os.environ.get("OUT", "out/release")
PEER = f"{OUT}/bench/libcouplet-peer.so"


def bench(top, *argv, **env):
    return run(sys.executable, "bench/table", "--out", OUT, "--plots", f"{top}/plots", *argv,
               env={**os.environ, "QUICK": "1", "PEERS": "", **env})


def test_every_row_has_a_positive_figure_within_80_columns(top):
    status, out = bench(top)
    assert status == 0, out
    assert max(map(len, out.splitlines())) <= 80 and "note:" not in out, out
    for row in table.ROWS.values():
        what = re.escape(row.what).replace("%s", r"\w+")
        figure = re.search(rf"(?m)^{row.section}\s*{what} +([\d.,]+)[kM]? {row.unit}", out)
        assert figure, f"no figure for {row.what}:\n{out}"
        assert float(figure[1].replace(",", "")) > 0 or row.unit == "s", figure[0]
        if row.of:
            assert re.search(rf"(?m)^{row.section}\s*{what} .* {row.of} +[\d.,]+[kM]? ", out), out
    for others in ("10", "100", "1k"):
        assert re.search(rf"(?m)^ +{others} .* [\d,]{{3,}}", out), out
    for plot in ("growth", "ratios"):
        with open(f"{top}/plots/{plot}.svg", encoding="utf-8") as file:
            assert file.read().count("<path") > 10, plot


def test_another_stack_stands_in_the_rows_of_ours(top):
    os.mkdir(f"{top}/bin")
    os.symlink(shutil.which("ip"), f"{top}/bin/ip")
    status, out = bench(top, "W3", PEERS=f"twin={PEER}", PATH=f"{top}/bin")
    assert status == 0 and re.search(r"(?m)^W3 .* twin +[\d.,]+[kM]? +\d", out), out
    for missing in ("valgrind", "gnuplot-nox"):
        assert re.search(rf"(?m)^note: no \w+: there is no .*\(Debian: {missing}\)$", out), out


def test_what_is_wrong_is_said_in_one_sentence(top):
    with open(f"{top}/text.so", "w", encoding="ascii") as file:
        file.write("no object\n")
    for argv, env, said in (
            ((), {"PEERS": "twin"}, "PEERS: twin: NAME=FILE.so is wanted"),
            ((), {"PEERS": "twin=/none.so"}, "/none.so cannot be read"),
            ((), {"PEERS": f"twin={top}/text.so"}, "is no stack as bench/peer.h wants one"),
            ((), {"PEERS": f"twin={OUT}/libcouplet-packetdrill.so"}, "is no stack"),
            (("W7",), {}, "W7: there are W1"),
            (("W1", "--out", f"{top}/none"), {}, "make benches first"),
            (("W1",), {"QUICK": "0", "REPS": "0"}, "REPS=0: a whole number is wanted")):
        status, out = bench(top, *argv, **env)
        assert status == 1 and out.startswith("bench/table: ") and out.count("\n") == 1, out
        assert said in out, out


main(globals())

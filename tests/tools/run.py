#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/run counts single results, and lets nothing that went wrong pass."""
import os
import time

from tap import main, run, write

SCRIPT = "#!/bin/sh\n# SPDX-License-Identifier: MIT\n"


def script(top, name, body):
    write(top, f"tests/part/{name}.sh", SCRIPT + body, 0o755)


def tests(top, *more, seconds=20):
    write(top, "tests/budget", f"# a comment\nunit 5\npart {seconds}\n")
    return run("tests/run", "--top", top, "--scale", "1", *more)


def fails(top, what, counts):
    status, out = tests(top)
    assert status == 1, out
    assert f"failed: {what}" in out, out
    assert out.splitlines()[-1] == counts, out


def test_counts_results_of_all_tests(top):
    script(top, "a", "echo 1..2; echo ok 1 - one; echo ok 2 two\n")
    script(top, "b", "echo ok 1 three; echo 1..1\n")
    status, out = tests(top)
    assert status == 0 and out.splitlines()[-1] == "3 passed, 0 failed", out


def test_failed_result(top):
    script(top, "a", "echo ok 1 - one; echo not ok 2 - two; exit 1\n")
    fails(top, "two", "1 passed, 1 failed")


def test_why_it_failed(top):
    script(top, "a", "echo '# no'; echo ok 1 one; echo '# before'; echo not ok 2 two; "
                     "echo '# after'; echo ok 3 three\n")
    _, out = tests(top)
    assert "failed: two\n      # before\n      # after\n" in out, out
    assert "# no" not in out, out


def test_skip_with_reason(top):
    script(top, "a", "echo ok 1 one; echo 'ok 2 two # SKIP no device'\n")
    status, out = tests(top)
    assert status == 0 and "skipped: two: no device" in out, out
    assert out.splitlines()[-1] == "1 passed, 0 failed, 1 skipped", out


def test_skip_of_a_whole_script(top):
    script(top, "a", "echo '1..0 # SKIP no namespaces'\n")
    script(top, "b", "echo ok 1\n")
    status, out = tests(top)
    assert status == 0 and "skipped: part/a.sh: no namespaces" in out, out


def test_skip_without_reason_fails(top):
    script(top, "a", "echo ok 1 one; echo 'ok 2 two # SKIP'\n")
    fails(top, "two: skipped without a reason", "1 passed, 1 failed")


def test_skip_of_cmocka(top):
    script(top, "a", "echo 1..2; echo ok 1 - one; echo '# no clock'; echo 'not ok 2 # SKIP two'\n")
    status, out = tests(top)
    assert status == 0 and "skipped: two: no clock" in out, out


def test_bad_exit_status(top):
    script(top, "a", "echo ok 1 one; exit 3\n")
    fails(top, "exit status 3", "1 passed, 1 failed")


def test_crash(top):
    script(top, "a", "echo ok 1 one; kill -SEGV $$\n")
    fails(top, "killed by SIGSEGV", "1 passed, 1 failed")


def test_missing_result(top):
    script(top, "a", "echo 1..3; echo ok 1 one; echo ok 2 two\n")
    fails(top, "ended after 2 of 3 results", "2 passed, 1 failed")


def test_silence(top):
    script(top, "a", "true\n")
    fails(top, "printed no result", "0 passed, 1 failed")


def test_program_that_was_not_built(top):
    write(top, "tests/base/test_a.c", "")
    fails(top, "exit status 127", "0 passed, 1 failed")


def test_time_out_ends_all_of_it(top):
    script(top, "a", f"echo ok 1 one; (sleep 4.5; touch {top}/late) & sleep 60\n")
    start = time.monotonic()
    status, out = tests(top, seconds=1)
    assert status == 1 and "over three times the time budget (3 s left for it)" in out, out
    assert out.splitlines()[-1] == "1 passed, 1 failed", out
    time.sleep(max(0, start + 5 - time.monotonic()))
    assert not os.path.exists(os.path.join(top, "late"))


def test_slow_is_said(top):
    script(top, "a", "sleep 1.2; echo ok 1 one\n")
    status, out = tests(top, seconds=1)
    assert status == 0 and "slow: part took 1 s; its budget is 1 s" in out, out


def test_part_without_budget(top):
    write(top, "tests/other/a.sh", SCRIPT, 0o755)
    status, out = tests(top)
    assert status == 1 and "no time budget for other" in out, out


def test_budget_of_all_parts_is_bounded(top):
    script(top, "a", "echo ok 1\n")
    status, out = tests(top, seconds=356)
    assert status == 1 and "gives 361 seconds; there are 360" in out, out


def test_nothing_to_run_is_no_success(top):
    status, out = tests(top)
    assert status == 1 and out.splitlines()[-1] == "0 passed, 0 failed", out


def test_log_holds_both_streams(top):
    script(top, "a", "echo ok 1 one; echo why >&2; exit 1\n")
    status, out = tests(top)
    assert "log: out/check/part-a.sh.log" in out, out
    with open(os.path.join(top, "out/check/part-a.sh.log")) as log:
        text = log.read()
    assert "why" in text and "ok 1 one" in text, text


def test_choice_by_name(top):
    script(top, "a", "echo ok 1\n")
    script(top, "b", "echo not ok 1\n")
    status, out = tests(top, "part/a")
    assert status == 0 and out.splitlines()[-1] == "1 passed, 0 failed", out


main(globals())

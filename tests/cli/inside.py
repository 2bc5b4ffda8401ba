# SPDX-License-Identifier: MIT
"""What the tests of the commands share: a network namespace and a /run of their own, where no stack
of this machine is seen, and TAP output."""
import os
import shutil
import subprocess
import sys
import traceback

COUPLET = os.path.abspath(os.path.join(os.environ.get("OUT", "out/release"), "couplet"))
INSIDE = os.environ.get("CLI_INSIDE")  # "root" or "user", in the namespace


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def enter(program, *tools):
    """PROGRAM again, inside. TOOLS: programs without which its tests are skipped."""
    for tool in ("ip", "unshare", *tools):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
    how = "-mn" if os.getuid() == 0 else "-rmn"
    inside = "mount -t tmpfs none /run && ip link set lo up && exec \"$0\" \"$@\""
    probe = subprocess.run(["unshare", how, "sh", "-c", inside, "true"], capture_output=True,
                           text=True)
    if probe.returncode:
        skip("no network namespace: " + probe.stderr.strip().split("\n")[0])
    os.environ["CLI_INSIDE"] = "root" if os.getuid() == 0 else "user"
    os.execvp("unshare", ["unshare", how, "sh", "-c", inside, sys.executable,
                          os.path.abspath(program)])


def attempt(function):
    """What went wrong, as comments; "" if nothing did."""
    try:
        function()
        return ""
    except Exception:
        return "".join(f"# {line}\n" for line in traceback.format_exc().split("\n"))


def tell(number, function, comments, about=""):
    """The result of a test; returns whether it failed."""
    name = about + function.__name__.replace("_", " ")
    print(f"{comments}{'not ' if comments else ''}ok {number} - {name}", flush=True)
    return bool(comments)

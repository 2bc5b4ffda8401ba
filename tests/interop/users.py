#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet serve and get for who is not root, where something is refused, and after mistakes."""
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import world
from world import COUPLET, INSIDE, Program, Serve, eventually, run, scratch, write

NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000


def make_files():
    write(scratch("www/hello"), b"hello\n")
    os.makedirs(scratch("home"))
    shutil.copy(COUPLET, scratch("couplet"))  # a copy that anybody can run
    if INSIDE == "root":
        os.chown(scratch("home"), NOBODY, NOBODY)


def couplet(*argv, status=0, **more):
    """As an ordinary user: the same files, no privilege."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if INSIDE != "root":  # which this user is not: only a namespace more
        become = []
        argv = argv[:1] + ("--namespace",) + argv[1:]
    more.setdefault("cwd", scratch("home"))
    done = run(*become, scratch("couplet"), *argv, ok=False,
               env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **more)
    done.said = done.stderr.decode()
    assert done.returncode == status, f"{argv}: status {done.returncode}: {done.said}"
    return done


@contextlib.contextmanager
def device(mode):
    """/dev/net/tun for everybody (0o666), for root (0o600), or not there (None)."""
    if INSIDE != "root":  # it is what it is: we are here because it could be opened
        yield
        return
    run("mount", "-t", "tmpfs", "none", "/dev/net")
    try:
        if mode is not None:
            os.mknod("/dev/net/tun", stat.S_IFCHR | mode, os.makedev(10, 200))
            os.chmod("/dev/net/tun", mode)
        yield
    finally:
        run("umount", "/dev/net")


def an_ordinary_user():
    with device(0o666):
        for options in ((), ("--tap",), ("--no-offload",)):
            done = couplet("serve", *options, scratch("www"), "--", "curl", "-gsS",
                           "http://10.99.0.2/hello", "http://[fd99::2]/hello")
            assert done.stdout == b"hello\nhello\n", done.said
        done = couplet("serve", "-q", scratch("www"), "--", scratch("couplet"), "netstat", "-anp")
        assert b"couplet serve" in done.stdout and b"LISTEN" in done.stdout, done.stdout
        done = couplet("get", "http://10.99.0.1:8000/hello", "--", "python3", "-m", "http.server",
                       "8000", cwd=scratch("www"))
        assert done.stdout == b"hello\n"
        done = couplet("get", "http://10.99.0.1:8000/hello", status=1)
        assert "namespace of our own" in done.said and "-- COMMAND" in done.said, done.said
        done = couplet("serve", scratch("www"), "--", "ip", "-brief", "link")
        names = [line.split()[0] for line in done.stdout.decode().splitlines()]
        assert names == ["lo", "cpltun0"], "an empty namespace"


def the_exit_status():
    """That of the command; 128 and the signal; what the shell says of what cannot be run."""
    for command, status in ((("true",), 0), (("sh", "-c", "exit 7"), 7),
                            (("sh", "-c", "kill -9 $$"), 137), (("/no/such/program",), 127),
                            (("/etc/passwd",), 126)):
        done = run(COUPLET, "serve", "-q", scratch("www"), "--", *command, ok=False)
        assert done.returncode == status, (command, done.returncode, done.stderr)


def ends_with_what_it_runs():
    """No orphan, no interface, no control socket is left, however it is ended."""
    for signo in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        with Program(COUPLET, "serve", scratch("www"), "--", "sleep", "777",
                     cwd=scratch("home")) as serve:
            serve.says(" is at ")
            child = eventually(lambda: children(serve.pid))
            serve.child.send_signal(signo)
            serve.child.wait(5)
            eventually(lambda: not [c for c in child if alive(c)], 5)
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
    # a shell does not end by SIGTERM
    with Program(COUPLET, "serve", scratch("www"), "--", "sh", "-c",
                 "trap '' TERM; while :; do sleep 1; done") as serve:
        serve.says(" is at ")
        time.sleep(0.1)
        started = time.monotonic()
        serve.child.send_signal(signal.SIGTERM)
        serve.child.wait(10)
        assert time.monotonic() - started < 5


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def alive(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def two_at_once():
    """In one namespace the second says that it is the second; in namespaces they do not meet."""
    with Serve(scratch("www")):
        done = run(COUPLET, "serve", scratch("www"), "--", "true", ok=False)
        assert done.returncode == 3 and b"10.99.0.1 is on cpltun0 already" in done.stderr, done
        done = run(COUPLET, "serve", "-q", "--namespace", scratch("www"), "--", "curl", "-sS",
                   "http://10.99.0.2/hello")
        assert done.stdout == b"hello\n"


def refused():
    """One sentence with the reason, and the line that does it."""
    line = f"; run: sudo {scratch('couplet')} serve {scratch('www')} -- sh -c 'exit  0'\n"
    command = ("serve", scratch("www"), "--", "sh", "-c", "exit  0")
    if INSIDE == "root":
        with device(None):
            done = couplet(*command, status=3)
            assert "cannot open /dev/net/tun: No such file" in done.said, done.said
        with device(0o600):
            done = couplet(*command, status=3)
            assert "/dev/net/tun: Permission denied" in done.said, done.said
            assert done.said.endswith(line) and done.said.count("\n") == 1, done.said
        done = without_namespaces(scratch("couplet"), *command)
        assert done.returncode == 3, done
        said = done.stderr.decode()
        assert "cannot make a network namespace" in said and said.endswith(line), said
        assert said.count("\n") == 1, said


def without_namespaces(*argv):
    """As an ordinary user of a user namespace in which no further ones may be made."""
    ready, go = os.pipe(), os.pipe()

    def enter():
        os.close(ready[0])
        os.close(go[1])
        assert LIBC.unshare(CLONE_NEWUSER) == 0
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        world.write_sysctl("user/max_user_namespaces", 0)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    result = []

    def start():
        result.append(subprocess.run(argv, capture_output=True, timeout=20, preexec_fn=enter,
                                     cwd=scratch("home"), pass_fds=(ready[1], go[0])))

    import threading
    thread = threading.Thread(target=start)
    thread.start()
    os.read(ready[0], 1)
    child, = [c for c in children_of_threads(os.getpid()) if c]
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w") as file:
            file.write("0 0 65535")
    os.write(go[1], b"x")
    thread.join(20)
    for fd in ready + go:
        with contextlib.suppress(OSError):
            os.close(fd)
    return result[0]


def children_of_threads(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(word) for word in file.read().split()]
    return found


def mistakes():
    """What a newcomer types: each is answered by what to do."""
    www = scratch("www")
    for argv, status, words in (
            (("serve",), 2, ("which directory?", "usage: couplet serve")),
            (("serve", "--", "curl"), 2, ("which directory?",)),
            (("serve", "nowhere", "--", "true"), 3, ("nowhere: No such file",)),
            (("serve", f"{www}/hello", "--", "true"), 3, ("is not a directory",)),
            (("serve", www, "curl"), 2, ("curl", 'after "--"')),
            (("serve", www, "-p", "81"), 2, ("-p", "before")),
            (("serve", www, "--"), 2, ("which command",)),
            (("serve", "-p", "0", www), 2, ("1 to 65535",)),
            (("serve", "-p", "http", www), 2, ("1 to 65535",)),
            (("serve", "--mtu", "100", www), 2, ("576 to 65535",)),
            (("serve", "--idle", "-1", www), 2, ("--idle",)),
            (("serve", "--frob", www), 2, ("--frob", "couplet serve --help")),
            (("serve", "--pcapng", "/no/such/dir/x", www, "--", "true"), 3, ("/no/such/dir/x",)),
            (("get",), 2, ("which URL?",)),
            (("get", "10.99.0.1/x"), 2, ("a URL looks like http://",)),
            (("get", "ftp://10.99.0.1/x"), 2, ("a URL looks like http://",)),
            (("get", "http://"), 2, ("a URL looks like",)),
            (("get", "http://10.99.0.1:99999/"), 2, ("a URL looks like",)),
            (("get", "http://10.99.0.1/a b"), 2, ("a URL looks like",)),
            (("get", "https://example.com/"), 3, ("https is not spoken",)),
            (("get", "http://10.99.0.1/", "python3"), 2, ("python3", 'after "--"')),
            (("get", "-o", "/no/such/dir/x", "http://10.99.0.1/"), 3, ("/no/such/dir/x",))):
        done = run(COUPLET, *argv, ok=False)
        said = done.stderr.decode()
        assert done.returncode == status, (argv, done.returncode, said)
        for word in words:
            assert word in said, (argv, said)
        assert not done.stdout
    for command in "serve", "get":
        done = run(COUPLET, command, "--help")
        assert done.stdout.startswith(b"usage: couplet " + command.encode())
        assert max(map(len, done.stdout.splitlines())) <= 80


TESTS = [("an ordinary user", an_ordinary_user), ("the exit status", the_exit_status),
         ("it ends with what it runs", ends_with_what_it_runs), ("two at once", two_at_once),
         ("refused", refused), ("mistakes", mistakes)]

if __name__ == "__main__":
    world.main(TESTS, make_files, tools=("curl", "setpriv"))

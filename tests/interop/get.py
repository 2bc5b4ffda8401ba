#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet get: from nginx, from python's http.server, and from servers that misbehave."""
import contextlib
import functools
import http.server
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time

import world
from world import (CHECKED, COUPLET, FAMILY, KERNELS, LINKS, MIB, SOAK, Program, eventually,
                   random_file, read, run, scratch, sha256, url_host)

BIG = (1024 if SOAK else 64) * MIB
SUMS = {}
NGINX = """
daemon off; worker_processes 1; pid {top}/nginx.pid; error_log {top}/error.log;
user root;
events {{ worker_connections 1024; }}
http {{
	access_log off; root {top}/www; sendfile on; default_type text/plain;
	client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;
	uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;
	server {{
		listen 8000; listen [::]:8000;
		location = /moved {{ return 301 /elsewhere; }}
		location = /query {{ return 200 "$request_uri $http_host"; }}
	}}
}}
"""


def make_files():
    SUMS["big"] = random_file(scratch("www/big"), BIG)
    SUMS["small"] = random_file(scratch("www/small"), 1234)
    world.write(scratch("www/empty"), b"")
    world.write(scratch("nginx.conf"), NGINX.format(top=world.SCRATCH).encode())


def url(path="", version=4, port=8000):
    return f"http://{url_host(KERNELS[version])}:{port}/{path}"


def get(*argv, status=0, program=COUPLET, **more):
    done = run(program, "get", *argv, ok=False, **more)
    assert done.returncode == status, f"{argv}: status {done.returncode}: {done.stderr}"
    done.said = done.stderr.decode()
    return done


@contextlib.contextmanager
def nginx():
    with Program("nginx", "-p", world.SCRATCH, "-c", scratch("nginx.conf"), "-e",
                 scratch("error.log")) as server:
        eventually(lambda: os.path.exists(scratch("nginx.pid")) or server.child.poll() is not None)
        assert server.child.poll() is None, server.said + read(scratch("error.log")).decode()
        yield server


# ---- nginx ------------------------------------------------------------------------------------

def from_nginx(options):
    for version in (4, 6):
        done = get(*options, "-o", scratch("got"), url("big", version))
        assert world.sha256_file(scratch("got")) == SUMS["big"]
        seconds = re.search(rf"{BIG:,} bytes in (.*)", done.said)
        assert seconds, done.said
        world.note(f"{BIG // MIB} MiB in {seconds.group(1)}")
        assert sha256(get(*options, url("small", version)).stdout) == SUMS["small"]
        assert get(*options, url("empty", version)).stdout == b""
        done = get(*options, url("missing", version), status=1)
        assert ": 404 Not Found, " in done.said and b"404" in done.stdout, done.said
        done = get(*options, "-I", url("big", version))
        assert done.stdout == b"" and ": 200 OK, 0 bytes" in done.said, done.said
        done = get(*options, url("moved", version))
        assert "301" in done.said and re.search(r"sends you to http://.*/elsewhere, which is not "
                                                r"followed", done.said), done.said
        host = f"{url_host(KERNELS[version])}:8000"
        assert get(url("query?a=b#c", version)).stdout.decode() == f"/query?a=b {host}"
        assert "403 Forbidden" in get(f"http://{host}?x", status=1).said  # "/" is no file


def nginx_on_every_link():
    with nginx():
        for name, options in LINKS.items():
            started = time.monotonic()
            from_nginx(options)
            world.note(f"{name}: {time.monotonic() - started:.2f} s")


# ---- A command beside it ----------------------------------------------------------------------

def python_beside_it():
    """http.server is started by couplet get itself, in a namespace of its own, and ended."""
    command = ("--", sys.executable, "-m", "http.server", "--bind", "::", "8000")
    for options in ((), ("--tap",)):
        done = get("--namespace", *options, "-o", scratch("got"), url("big", 6), *command,
                   cwd=scratch("www"), timeout=120)
        assert world.sha256_file(scratch("got")) == SUMS["big"]
    done = get("--namespace", url("small"), *command, cwd=scratch("www"))
    assert sha256(done.stdout) == SUMS["small"]  # what the command prints is not mixed in
    assert "Serving HTTP on" in done.said, done.said
    done = get("--namespace", url(), *command, cwd=scratch("www"))
    assert b'<a href="small">' in done.stdout
    assert not [p for p in os.listdir("/proc") if p.isdigit() and works_in(p, scratch("www"))]


def works_in(pid, directory):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd") == directory
    return False


def commands_that_fail():
    done = get("--namespace", url(), "--", "sh", "-c", "exit 7", status=1)
    assert "the command has ended with status 7" in done.said, done.said
    done = get("--namespace", url(), "--", "no-such-program", status=1)
    assert "cannot run no-such-program" in done.said and "status 127" in done.said, done.said
    started = time.monotonic()  # one that does not hear SIGTERM
    get("--namespace", url(), "--", "sh", "-c", "trap '' TERM; exec python3 -m http.server 8000",
        cwd=scratch("www"))
    assert time.monotonic() - started < 8


def both_ends():
    with nginx():
        done = get("-b", "-o", scratch("got"), url("big"))
        text = done.stdout.decode()
        assert "ESTABLISHED" in text and "kernel" in text, text
        assert "disagree" not in text, text


# ---- Servers that misbehave -------------------------------------------------------------------

class Answer(socketserver.BaseRequestHandler):
    """Says what the path asks for."""

    def handle(self):
        self.request.settimeout(20)
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.request.recv(65536)
        with contextlib.suppress(OSError):
            getattr(self, "say_" + request.split()[1].decode().strip("/"))(self.request)

    def say_chunked(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 15, 16, 4095, 65536, 300000):
            s.sendall(b"%x;name=value\r\n" % size + b"c" * size + b"\r\n")
        s.sendall(b"0\r\nTrailer: x\r\n\r\n")

    def say_dribble(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in (b"HTTP/1.1 302 Found\r\nlocation: /far/\x9b31m away\r\n"
                      b"Content-Length: 3\r\n\r\nabc"):
            s.sendall(bytes([octet]))
            time.sleep(0.001)

    def say_interim(self, s):
        s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal")

    def say_until_close(self, s):
        s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"u" * 100000)

    def say_short(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"s" * 70000)

    def say_long(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + b"l" * 70000)

    def say_short_chunk(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    def say_nothing(self, s):
        pass

    def say_nonsense(self, s):
        s.sendall(b"\0\xff nonsense" * 1000)

    def say_both_lengths(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")

    def say_endless_head(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000000)

    def say_reset(self, s):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"r" * 1000)
        time.sleep(0.2)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


@contextlib.contextmanager
def server(handler=Answer, port=8000):
    with Server(("0.0.0.0", port), handler) as s:
        threading.Thread(target=s.serve_forever, args=(0.05,), daemon=True).start()
        yield s
        s.shutdown()


def answers_of_every_kind():
    ask = functools.partial(get, program=CHECKED)
    with server():
        assert ask(url("chunked")).stdout == b"c" * (1 + 15 + 16 + 4095 + 65536 + 300000)
        done = ask(url("dribble"))
        assert done.stdout == b"abc" and "sends you to /far/?31m away, which is not followed" \
            in done.said, done.said
        done = ask(url("interim"))
        assert done.stdout == b"final" and ": 200 OK, 5 bytes" in done.said, done.said
        assert ask(url("until_close")).stdout == b"u" * 100000
        assert ask(url("long")).stdout == b"lllll"
        for path, body, said in (
                ("short", b"s" * 70000, "closed after 70,000 bytes of 100,000 bytes"),
                ("short_chunk", b"hello", "closed before the answer was complete"),
                ("nothing", b"", "closed before the answer was complete"),
                ("nonsense", b"", "not HTTP"), ("both_lengths", b"", "not HTTP"),
                ("endless_head", b"", "not HTTP"),
                ("reset", b"r" * 1000, "Connection reset by peer")):
            done = ask(url(path), status=1)
            assert done.stdout == body and said in done.said, (path, done.said, len(done.stdout))
        done = ask("-o", "/dev/full", url("until_close"), status=3)
        assert "No space left" in done.said, done.said


def nobody_there():
    started = time.monotonic()
    done = get(url(port=9), status=1)
    assert "nothing listens on port 9 of 10.99.0.1" in done.said, done.said
    assert time.monotonic() - started < 3
    done = get("http://127.0.0.1:8000/", status=3)
    assert "loopback" in done.said and "10.99.0.1" in done.said, done.said
    done = get("http://localhost/", status=3)
    assert "loopback" in done.said, done.said
    done = get("http://192.0.2.1/", status=3)
    assert "192.0.2.1 is out of reach" in done.said, done.said
    done = get("http://[2001:db8::1]/", status=3)
    assert "2001:db8::1 is out of reach" in done.said, done.said


def a_server_that_hangs():
    """The peer has the connection, and never says anything: SIGTERM ends it."""
    with socket.socket() as s:
        s.bind(("0.0.0.0", 8001))
        s.listen()
        with Program(COUPLET, "get", url(port=8001)) as program:
            s.accept()[0].close()
            assert program.wait(5) == 1
        with Program(COUPLET, "get", url(port=8001)) as program:
            peer = s.accept()[0]
            assert program.stop(signal.SIGTERM, 5) in (-signal.SIGTERM, 128 + signal.SIGTERM)
            peer.close()


def interfaces_are_gone():
    names = [name for _, name in socket.if_nameindex()]
    assert names == ["lo"], names


TESTS = [("nginx on every kind of link", nginx_on_every_link),
         ("a command beside it", python_beside_it),
         ("commands that fail", commands_that_fail),
         ("both ends", both_ends),
         ("answers of every kind", answers_of_every_kind),
         ("nobody there", nobody_there),
         ("a server that hangs up, or hangs", a_server_that_hangs),
         ("no interface is left behind", interfaces_are_gone)]

if __name__ == "__main__":
    world.main(TESTS, make_files, tools=("nginx",))

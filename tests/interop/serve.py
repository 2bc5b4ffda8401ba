#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet serve: the kernel's TCP, through curl and through sockets, on every kind of link."""
import collections
import concurrent.futures
import contextlib
import functools
import json
import os
import re
import socket
import threading
import time

import world
from world import (CHECKED, FAMILY, LINKS, MIB, OURS, SOAK, Serve, curl, eventually, random_file,
                   receive_all, resident, run, scratch, sha256, url_host, write)

BIG = (1024 if SOAK else 64) * MIB
SUMS = {}


def make_files():
    root = scratch("www")
    SUMS["big"] = random_file(os.path.join(root, "big"), BIG)
    SUMS["medium"] = random_file(os.path.join(root, "medium"), 3 * MIB + 17)
    for number in range(12):
        SUMS[f"file{number}"] = random_file(os.path.join(root, f"file{number}"), 1 + 5000 * number)
    write(os.path.join(root, "empty"), b"")
    write(os.path.join(root, "page.html"), b"<p>a page</p>\n")
    write(os.path.join(root, "sub", "inner.txt"), b"inner\n")
    write(os.path.join(root, "with index", "index.html"), b"the index\n")
    write(scratch("secret"), b"secret\n")
    os.symlink("../secret", os.path.join(root, "out"))
    os.symlink(scratch("secret"), os.path.join(root, "absolute"))
    os.symlink("sub/inner.txt", os.path.join(root, "inside"))
    os.symlink("loop", os.path.join(root, "loop"))
    os.mkfifo(os.path.join(root, "fifo"))
    write(os.path.join(root, "locked"), b"not for others\n")
    write(os.path.join(root, "<b>&\"x", "y"), b"")


def url(path, version=4, port=80):
    return f"http://{url_host(OURS[version])}:{port}/{path}"


def connect(version=4, receive=0):
    s = socket.socket(FAMILY[version], socket.SOCK_STREAM)
    s.settimeout(30)
    if receive:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    s.connect((OURS[version], 80))
    return s


def talk(data, version=4, close=True):
    """What the server answers to DATA, all of it."""
    with connect(version) as s:
        s.sendall(data)
        if close:
            s.shutdown(socket.SHUT_WR)
        return receive_all(s)


def get(path, more="", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def one_answer(s):
    """The next one on S, and no octet of what follows it."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        part = s.recv(1)
        assert part, data
        data += part
    length = int(re.search(rb"Content-Length: (\d+)", data).group(1))
    body = receive_all(s, length)
    assert len(body) == length, f"{len(body)} of {length} octets"
    return status_of(data), body


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d+) ", answer)
    assert match, answer[:200]
    return int(match.group(1))


def answers(data):
    """The answers in DATA, each (status, body)."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data[:300]
        length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
        assert len(rest) >= length, f"{len(rest)} of {length} octets"
        found.append((status_of(head), rest[:length]))
        data = rest[length:]
    return found


# ---- On every link ----------------------------------------------------------------------------

def several_files(version):
    """One connection carries them all."""
    names = [f"file{n}" for n in range(12)]
    argv = []
    for name in names:
        argv += ["-o", scratch(f"got-{name}"), url(name, version)]
    done = curl("-w", "%{num_connects} %{http_code}\n", *argv)
    assert done.stdout.split() == [b"1", b"200"] + [b"0", b"200"] * 11, done.stdout
    for name in names:
        assert world.sha256_file(scratch(f"got-{name}")) == SUMS[name], name


def small_answers(version):
    done = curl("-i", url("empty", version))
    assert status_of(done.stdout) == 200 and done.stdout.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0\r\n" in done.stdout
    assert curl(url("page.html", version)).stdout == b"<p>a page</p>\n"
    assert status_of(curl("-i", url("missing", version)).stdout) == 404
    done = curl("-I", url("medium", version))
    assert status_of(done.stdout) == 200
    assert f"Content-Length: {3 * MIB + 17}\r\n".encode() in done.stdout


def big_file(version):
    done = curl("-o", scratch("got"), "-w", "%{speed_download}", url("big", version))
    assert world.sha256_file(scratch("got")) == SUMS["big"]
    world.note(f"{BIG // MIB} MiB: {float(done.stdout) / 1e6:.0f} MB/s")


def pipelined(version):
    """Three requests in one segment, and the half-close right behind: three answers, in order."""
    data = talk(get("/file3") + get("/nothing") + get("/medium"), version)
    got = answers(data)
    assert [status for status, _ in got] == [200, 404, 200], got
    assert sha256(got[0][1]) == SUMS["file3"] and sha256(got[2][1]) == SUMS["medium"]


def many_at_once(version, count=200):
    sockets = [connect(version) for _ in range(count)]
    for number, s in enumerate(sockets):
        s.sendall(get(f"/file{number % 12}", "Connection: close\r\n"))
    for number, s in enumerate(sockets):
        with s:
            (status, body), = answers(receive_all(s))
            assert status == 200 and sha256(body) == SUMS[f"file{number % 12}"]


def on_link(link):
    with Serve(scratch("www"), "-q", *LINKS[link]):
        for version in (4, 6):
            several_files(version)
            small_answers(version)
            pipelined(version)
            many_at_once(version)
            big_file(version)


def with_mtu(mtu, *options):
    with Serve(scratch("www"), "-q", "--mtu", str(mtu), *options):
        for version in (4, 6):
            several_files(version)
            done = curl("-o", scratch("got"), url("big", version))
            assert world.sha256_file(scratch("got")) == SUMS["big"], done


# ---- Requests ---------------------------------------------------------------------------------

def ranges():
    whole = world.read(scratch("www/medium"))
    for spec, want in (("0-0", whole[:1]), ("100-199", whole[100:200]), ("-17", whole[-17:]),
                       ("3145000-", whole[3145000:]), ("0-99999999", whole)):
        done = curl("-i", "-r", spec, url("medium"))
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert status_of(head) == 206 and body == want, (spec, head)
        first = len(whole) - 17 if spec == "-17" else int(spec.split("-")[0])
        said = f"Content-Range: bytes {first}-{first + len(want) - 1}/{len(whole)}"
        assert said.encode() in head, (spec, head)
    head, _, body = curl("-i", "-r", "3145745-", url("medium")).stdout.partition(b"\r\n\r\n")
    assert status_of(head) == 416 and f"bytes */{len(whole)}".encode() in head, head
    # What is not understood is not there: several ranges, another unit, an end before its start.
    for spec in ("bytes=0-1,4-5", "lines=1-2", "bytes=5-1", "bytes=", "bytes=-", "bytes=-0",
                 "bytes=a-b", "bytes=1-2x", "bytes=99999999999999999999-", "bytes=+1-2",
                 "bytes= 1-2", "bytes=0-" + "9" * 400):
        (status, body), = answers(talk(get("/medium", f"Range: {spec}\r\n")))
        assert (status, len(body)) in ((200, len(whole)), (416, len(body))), (spec, status)
    (status, body), = answers(talk(get("/empty", "Range: bytes=0-\r\n")))
    assert (status, body) == (200, b"")


def conditions():
    """If-Modified-Since and If-Range (RFC 9110 13): a copy that is current is not sent again."""
    head = curl("-I", url("medium")).stdout.decode()
    date = re.search(r"Last-Modified: (.* GMT)\r\n", head).group(1)
    assert re.search(r"\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n", head), head
    done = talk(get("/medium", f"If-Modified-Since: {date}\r\n"))
    assert status_of(done) == 304 and done.endswith(b"\r\n\r\n"), done[:300]
    old = "Sun, 06 Nov 1994 08:49:37 GMT"
    (status, body), = answers(talk(get("/file3", f"If-Modified-Since: {old}\r\n")))
    assert status == 200 and len(body) == 15001
    (status, body), = answers(talk(get("/file3", "Range: bytes=0-9\r\nIf-Range: \"etag\"\r\n")))
    assert status == 200 and len(body) == 15001
    (status, body), = answers(talk(get("/medium", f"Range: bytes=0-9\r\nIf-Range: {date}\r\n")))
    assert status == 206 and len(body) == 10


def other_methods():
    done = curl("-i", "-d", "x=y", url("page.html"))
    assert status_of(done.stdout) == 405 and b"Allow: GET, HEAD\r\n" in done.stdout
    # A body too large to be waited for: it is refused, and the refusal can be read.
    done = curl("-i", "--data-binary", "@" + scratch("www/medium"), url("page.html"), ok=False)
    assert b"HTTP/1.1 405 " in done.stdout, (done.stdout[:300], done.stderr)
    for method in ("PUT", "DELETE", "OPTIONS", "CONNECT", "PROPFIND", "TRACE"):
        data = talk(get("/page.html", method=method))
        assert status_of(data) in (405, 400), (method, data)
    # With a length, without a body: it is answered all the same.
    with connect() as s:
        s.sendall(get("/x", "Content-Length: 1000000\r\n", "POST"))
        assert status_of(receive_all(s, 100)) == 405


def bodies_are_skipped():
    """A GET may have one; the next request follows it."""
    data = talk(get("/file1", "Content-Length: 5\r\n") + b"hello" +
                get("/file2", "Transfer-Encoding: chunked\r\n") + b"3\r\nabc\r\n0\r\n\r\n" +
                get("/file3", "Content-Length: 300000\r\n") + b"z" * 300000 + get("/file4"))
    got = answers(data)
    assert [(status, sha256(body)) for status, body in got] == \
        [(200, SUMS[f"file{n}"]) for n in (1, 2, 3, 4)], [status for status, _ in got]


def garbage():
    for data in (b"garbage\r\n\r\n", b"\0\1\2\3" * 100, b"GET / HTTP/x\r\n\r\n",
                 b"GET /file1 HTTP/1.1\r\nHost x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
                 get("/file1", "Content-Length: 5\r\nContent-Length: 6\r\n"),
                 get("/file1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
                 get("/file1", "Host: y\r\n"), b"GET /file1 HTTP/1.1\r\n\r\n",
                 b"GET file1 HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"G" * 200000, b"x" * 3 * MIB):
        with connect() as s:
            s.settimeout(5)
            world.send_all(s, data)
            try:
                answer = receive_all(s)  # also when it has not read all of the nonsense
            except TimeoutError:
                raise AssertionError(f"no answer to {data[:60]}") from None
        assert status_of(answer) == 400, (data[:60], answer[:200])
        assert b"Connection: close\r\n" in answer
    for target in ("/%zz", "/a%00b", "/%4", "/%"):  # is HTTP, and no path
        assert [status for status, _ in answers(talk(get(target) + get("/file1")))] == [400, 200]
    assert status_of(talk(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n")) == 505
    assert status_of(talk(b"GET /file1 HTTP/1.0\r\n\r\n")) == 200  # no Host was asked for then
    assert status_of(talk(get("/" + "u" * 5000))) == 414
    assert status_of(talk(get("/file1", "X: " + "v" * 100000 + "\r\n"))) == 431
    assert status_of(talk(get("/file1", "X: y\r\n" * 5000))) == 200


def octet_by_octet():
    with connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in get("/file3", "Range: bytes=7-9\r\nConnection: close\r\n"):
            s.sendall(bytes([octet]))
        (status, body), = answers(receive_all(s))
        assert status == 206 and body == world.read(scratch("www/file3"))[7:10]


def stays_below_the_root():
    for path in ("/../secret", "/%2e%2e/secret", "/sub/../../secret", "/sub/%2e%2e/%2e%2e/secret",
                 "/..%2fsecret", "/out", "/absolute", "/%2e%2e%2fsecret", "/sub/..%2f..%2fsecret",
                 "//" + scratch("secret"), "/" + scratch("secret"), "/loop", "/fifo",
                 "/sub/../../../../../../../../etc/passwd"):
        data = talk(get(path))
        assert status_of(data) in (403, 404), (path, data)
        assert b"secret\n" not in data and b"root:" not in data, path
    assert answers(talk(get("/inside")))[0] == (200, b"inner\n")
    assert answers(talk(get("/sub/../page.html")))[0] == (200, b"<p>a page</p>\n")


def directories():
    listing = curl(url("")).stdout.decode()
    assert '<a href="sub/">sub/</a>' in listing and '<a href="with%20index/">' in listing
    assert "&#60;b&#62;&#38;&#34;x" in listing and "<b>" not in listing
    done = curl("-i", url("sub"))
    assert status_of(done.stdout) == 301 and b"\r\nLocation: /sub/\r\n" in done.stdout
    assert curl("-L", url("sub")).stdout.startswith(b"<!doctype html>")
    assert curl(url("with%20index/")).stdout == b"the index\n"
    # Nothing of the request gets into the head, and nobody is sent to another host.
    assert b"\r\nX: y" not in talk(get("/sub%0d%0aX:%20y"))
    assert b"Location: //" not in talk(get("//sub"))


def http_versions():
    assert curl("--http1.0", url("page.html")).stdout == b"<p>a page</p>\n"
    done = curl("--http2", "-w", "%{http_version}", url("page.html"))
    assert done.stdout == b"<p>a page</p>\n1.1", done.stdout
    data = talk(b"GET /file1 HTTP/1.0\r\n\r\nGET /file2 HTTP/1.0\r\n\r\n")
    assert len(answers(data)) == 1  # 1.0 does not keep the connection
    data = talk(b"GET /file1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" +
                b"GET /file2 HTTP/1.0\r\n\r\n")
    assert len(answers(data)) == 2 and b"Connection: keep-alive\r\n" in data


# ---- Clients that misbehave -------------------------------------------------------------------

def two_requests_then_silence():
    with connect() as s:
        for _ in range(2):
            s.sendall(get("/file1"))
            assert sha256(one_answer(s)[1]) == SUMS["file1"]
            time.sleep(0.6)
        started = time.monotonic()
        assert receive_all(s) == b""  # a FIN, no RST
        assert 0.2 < time.monotonic() - started < 3


def a_request_without_end():
    with connect() as s:
        s.sendall(b"GET /")
        started = time.monotonic()
        for _ in range(10):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(b"x")
            time.sleep(0.2)
        with contextlib.suppress(ConnectionResetError):
            assert receive_all(s) == b""
        assert time.monotonic() - started < 4


def slow_and_still():
    """One that is slow, and one that does not read what it wanted."""
    with connect(receive=4096) as slow, connect(receive=4096) as still:
        slow.sendall(get("/medium"))
        still.sendall(get("/medium"))
        got = b""
        for _ in range(6):
            time.sleep(0.4)
            got += slow.recv(1000)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        got += receive_all(slow, 200 + 3 * MIB + 17 - len(got) - 100)
        assert got.startswith(b"HTTP/1.1 200 ") and len(got) > 3 * MIB
        with contextlib.suppress(ConnectionResetError):
            assert len(receive_all(still)) < 3 * MIB


def keep_alive_and_idle():
    """All at once, since they wait most of the time."""
    with Serve(scratch("www"), "-q", "--idle", "1"), \
            concurrent.futures.ThreadPoolExecutor() as threads:
        for client in [threads.submit(f) for f in (two_requests_then_silence,
                                                   a_request_without_end, slow_and_still)]:
            client.result()


def no_reader_stops_the_others():
    """200 clients ask for the big file and do not read: they cost no more than their buffers."""
    with Serve(scratch("www"), "-q") as serve:
        idle = []
        for _ in range(200):
            s = connect(receive=4096)
            s.sendall(get("/big"))
            idle.append(s)
        time.sleep(0.5)
        several_files(4)
        pipelined(6)
        memory = resident(serve.pid)
        world.note(f"200 clients that do not read: {memory / MIB:.0f} MiB resident")
        assert memory < 400 * MIB, memory
        for s in idle[::2]:
            s.close()  # with data unread: RST
        data = b""
        while len(data) < MIB:  # the others go on where they were
            data += idle[1].recv(MIB)
        for s in idle[1::2]:
            s.close()
        several_files(6)


def killed_in_mid_transfer():
    with Serve(scratch("www"), "-q") as serve:
        for _ in range(20):
            child = world.Program("curl", "-gsS", "--limit-rate", "4M", "-o", "/dev/null",
                                  url("big"))
            time.sleep(0.05)
            child.child.kill()
            child.wait()
        several_files(4)
        eventually(lambda: len(os.listdir(f"/proc/{serve.pid}/fd")) < 20)


def a_file_that_shrinks():
    """The length promised cannot be kept: the connection is reset, not filled up."""
    path = scratch("www/shrinking")
    random_file(path, 32 * MIB)
    with Serve(scratch("www"), "-q"):
        with connect(receive=4096) as s:
            s.sendall(get("/shrinking"))
            s.recv(1000)
            os.truncate(path, MIB)
            try:
                got = len(receive_all(s))
            except ConnectionResetError:
                got = -1
            assert got < 32 * MIB, got
        several_files(4)
    os.unlink(path)


def a_thousand_connections():
    """All stay open, each gets its answers."""
    with Serve(scratch("www"), "-q") as serve:
        before = resident(serve.pid)
        sockets = [connect() for _ in range(1000)]
        for turn in range(3):
            for s in sockets:
                s.sendall(get(f"/file{turn}"))
            for s in sockets:
                assert sha256(one_answer(s)[1]) == SUMS[f"file{turn}"]
        grown = resident(serve.pid) - before
        world.note(f"1,000 idle connections: {grown / 1000:.0f} bytes each of couplet serve")
        for s in sockets:
            s.close()
        several_files(4)


def on_cores(*options):
    """Each connection is one stack's, whichever queue the kernel puts its packets into."""
    with Serve(scratch("www"), "-q", "--cores", "3", *options) as serve:
        sockets = [connect() for _ in range(60)]
        for s in sockets:
            s.sendall(get("/file1"))
        for s in sockets:
            assert sha256(one_answer(s)[1]) == SUMS["file1"]
        found = json.loads(run(world.COUPLET, "netstat", "--json", "state", "established").stdout)
        # Three new stacks number their connections alike, but not all: a number comes once in each
        # stack at most.
        numbers = collections.Counter(one["id"] for one in found["snapshots"]
                                      if one["source"] == "couplet" and one["pid"] == serve.pid)
        assert sum(numbers.values()) == 60, numbers
        assert max(numbers.values()) == 3 and len(numbers) < 45, numbers
        for s in sockets:
            s.close()
        for version in (4, 6):
            several_files(version)
            many_at_once(version)
            big_file(version)


def open_files_are_not_the_limit():
    """More downloads at once than descriptors by default."""
    with Serve(scratch("www"), "-q"):
        sockets = []
        for _ in range(1200):
            s = connect(receive=4096)
            s.sendall(get("/medium"))
            sockets.append(s)
        for s in sockets:
            assert status_of(s.recv(100)) == 200
        for s in sockets:
            s.close()


def is_a_guest():
    """The requests above, one server under the sanitizers for all of them."""
    with Serve(scratch("www"), "-q", program=CHECKED):
        for function in (ranges, conditions, other_methods, bodies_are_skipped, garbage,
                         octet_by_octet, stays_below_the_root, directories, http_versions):
            started = time.monotonic()
            function()
            world.note(f"{function.__name__}: {time.monotonic() - started:.2f} s")
        threads = [threading.Thread(target=talk, args=(get("/medium"),)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def the_log():
    with Serve(scratch("www")) as serve:
        curl(url("file1"), url("nowhere"))
        talk(get("/\x1b[31mred"))
        talk(get("/%1b[31mred"))
    assert "couplet serve: GET /file1: 200, 5,001 bytes" in serve.said, serve.said
    assert "couplet serve: GET /nowhere: 404, " in serve.said, serve.said
    assert "\x1b" not in serve.said


def both_ends():
    done = run(world.COUPLET, "serve", "-b", scratch("www"), "--", "curl", "-gsS", "-o", "/dev/null",
               url("big"))
    text = done.stdout.decode()
    assert "couplet" in text and "kernel" in text and "ESTABLISHED" in text, text
    assert "disagree" not in text, text


TESTS = [(f"curl over {link}", functools.partial(on_link, link)) for link in LINKS]
TESTS += [("MTU 1280", functools.partial(with_mtu, 1280)),
          ("MTU 9000", functools.partial(with_mtu, 9000)),
          ("MTU 1280, TAP without offload", functools.partial(with_mtu, 1280, "--tap",
                                                              "--no-offload")),
          ("MTU 9000, TAP without offload", functools.partial(with_mtu, 9000, "--tap",
                                                              "--no-offload")),
          ("requests of every kind", is_a_guest),
          ("keep-alive, and clients that are silent", keep_alive_and_idle),
          ("clients that do not read", no_reader_stops_the_others),
          ("clients killed in mid-transfer", killed_in_mid_transfer),
          ("a file that shrinks", a_file_that_shrinks),
          ("a thousand connections", a_thousand_connections),
          ("three cores over TUN", on_cores),
          ("three cores over TAP, without offload", functools.partial(on_cores, "--tap",
                                                                      "--no-offload")),
          ("1,200 downloads at once", open_files_are_not_the_limit),
          ("the log", the_log),
          ("both ends", both_ends)]


if __name__ == "__main__":
    world.main(TESTS, make_files, tools=("curl",))

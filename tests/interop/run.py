#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet run: programs as they are in the distribution, on Couplet's TCP, with the kernel's at the
other end of a TUN, and with each other. Each test looks at the connections in couplet netstat: they
have to be there, with program, process and descriptor, and to be Couplet's."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

import world
from world import (COUPLET, KERNELS, MIB, OURS, SOAK, Program, curl, eventually, random_file, read,
                   run, scratch, sha256, url_host)

BIG = (256 if SOAK else 16) * MIB
SUMS = {}
NGINX = """
{daemon} worker_processes 2; pid {top}/{name}.pid; error_log {top}/{name}.log; user root;
events {{ worker_connections 4096; }}
http {{
	access_log off; root {top}/www; sendfile on; tcp_nopush on; keepalive_timeout 65;
	default_type text/plain; client_body_temp_path {top}/t1; proxy_temp_path {top}/t2;
	fastcgi_temp_path {top}/t3; uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5;
	server {{ listen {port}; listen [::]:{port}; }}
}}
"""
ECHO = """
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(echo, None, 7000)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
URLLIB = """
import hashlib, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=30) as answer:
    print(hashlib.sha256(answer.read()).hexdigest())
"""
NODE = """
const http = require('http');
http.createServer((request, response) => {
	let n = 0;
	request.on('data', (d) => { n += d.length; });
	request.on('end', () => response.end('node got ' + n + ' of ' + request.url));
}).listen(3000, () => console.error('ready'));
"""


def make_files():
    SUMS["big"] = random_file(scratch("www/big"), BIG)
    SUMS["small"] = random_file(scratch("www/small"), 1234)
    for name, port, daemon in (("here", 8000, "daemon off;"), ("run", 80, "daemon off;"),
                               ("daemon", 80, "")):
        world.write(scratch(name + ".conf"), NGINX.format(top=world.SCRATCH, name=name, port=port,
                                                          daemon=daemon).encode())


INLINE = []


def inline(function):
    """FUNCTION, a test, with the stack in the programs' own threads."""
    def test():
        INLINE[:] = ["--inline", "all"]
        try:
            function()
        finally:
            INLINE.clear()
    test.tolerated = getattr(function, "tolerated", ())
    return test


def with_inline(options):
    return (*options, *INLINE) if "tun" in options else options


class Run(Program):
    """couplet run --link tun -- ARGV, until the end of the with block."""

    def __init__(self, *argv, options=("--link", "tun"), **more):
        super().__init__(COUPLET, "run", "-v", *with_inline(options), "--", *argv, **more)
        self.says("couplet run: ")

    def stop(self, signo=signal.SIGTERM, seconds=20):
        """What it has sent may wait for its ACK for 10 seconds."""
        return super().stop(signo, seconds)


def on_couplet(*argv, options=("--link", "tun"), **more):
    return run(COUPLET, "run", *with_inline(options), "--", *argv, **more)


def connections(*words):
    """What couplet netstat tells of Couplet's own connections."""
    done = run(COUPLET, "netstat", "-a", "--json", *words, ok=False)
    assert done.returncode in (0, 1), done.stderr
    return [c for c in json.loads(done.stdout)["snapshots"] if not c["source"].startswith("kernel")]


def held_by(program, port, least=1):
    """Connections of PROGRAM at PORT, of either end; each names its process and descriptor."""
    def look():
        found = [c for c in connections() if c.get("program", "").startswith(program) and
                 port in (c["local_port"], c.get("remote_port"))]
        return found if len(found) >= least else None
    found = eventually(look, 30)
    for c in found:
        assert c["pid"] > 0 and c["fd"] >= 0, c
    return found


@contextlib.contextmanager
def kernel_nginx():
    with Program("nginx", "-p", world.SCRATCH, "-c", scratch("here.conf"), "-e",
                 scratch("here.log")) as server:
        eventually(lambda: run("sh", "-c", "ss -tln | grep -q :8000", ok=False).returncode == 0)
        yield server


def url(path="", version=4, port=8000):
    return f"http://{url_host(KERNELS[version])}:{port}/{path}"


# ---- Clients ----------------------------------------------------------------------------------

def curl_gets():
    with kernel_nginx():
        for version in (4, 6):
            done = on_couplet("curl", "-gsS", url("big", version))
            assert sha256(done.stdout) == SUMS["big"]
        many = [word for i in range(20) for word in ("-o", scratch(f"got{i}"), url("small"))]
        on_couplet("curl", "-gsS", "-Z", *many)
        assert all(sha256(read(scratch(f"got{i}"))) == SUMS["small"] for i in range(20))
        done = on_couplet("curl", "-gsS", url("", port=9), ok=False)
        assert done.returncode == 7, done.stderr


def curl_is_in_netstat():
    with kernel_nginx(), Run("curl", "-gsS", "--limit-rate", "1M", "-o", "/dev/null", url("big")):
        found = held_by("curl", 8000)
        assert found[0]["state"] == "ESTABLISHED" and found[0]["remote_addr"] == KERNELS[4], found
        peers = json.loads(run(COUPLET, "netstat", "--json", "sport = :8000").stdout)["snapshots"]
        assert any(p["source"].startswith("kernel") and p["remote_port"] == found[0]["local_port"]
                   for p in peers), "the kernel's end of it is not there"


def wget_gets():
    with kernel_nginx():
        on_couplet("wget", "-q", "-O", scratch("wgot"), url("big"))
        assert sha256(read(scratch("wgot"))) == SUMS["big"]


def python_gets():
    with kernel_nginx():
        done = on_couplet("python3", "-c", URLLIB, url("big"))
        assert done.stdout.decode().strip() == SUMS["big"]


def user_link_leads_out():
    """Whoever is not root gets out as well, through the same forwarder."""
    with kernel_nginx():
        link = ("--link", "user")
        done = on_couplet("curl", "-gsS", url("big"), options=link)
        assert sha256(done.stdout) == SUMS["big"]
        if world.INSIDE == "root":
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env",
                      "XDG_RUNTIME_DIR=" + scratch("nobody")]
            os.makedirs(scratch("nobody"), mode=0o700, exist_ok=True)
            os.chown(scratch("nobody"), 65534, 65534)
            done = run(*nobody, COUPLET, "run", *link, "--", "curl", "-gsS", url("big"))
            assert sha256(done.stdout) == SUMS["big"]
        done = on_couplet("curl", "-gsS", url("", port=9), options=link, ok=False)
        assert done.returncode == 7, done.stderr


def names_are_found():
    """By this machine's own resolver: localhost is in /etc/hosts; what is nowhere is not found."""
    done = on_couplet("python3", "-c", "import socket; print(socket.getaddrinfo('localhost', 80, "
                      "socket.AF_INET, socket.SOCK_STREAM))")
    assert b"127.0.0.1" in done.stdout, done.stdout
    done = on_couplet("curl", "-sS", "http://nowhere.invalid/", ok=False)
    assert done.returncode == 6, done.stderr


def dns_answer(question):
    """To the question for any name's PTR: far.example (RFC 1035 3.3.12)."""
    end = question.index(b"\0", 12) + 5
    kind = int.from_bytes(question[end - 4:end - 2], "big")
    head = question[:2] + (b"\x81\x80" if kind == 12 else b"\x81\x83") + b"\0\1"
    if kind != 12:
        return head + bytes(6) + question[12:end]
    name = b"\3far\7example\0"
    return (head + b"\0\1" + bytes(4) + question[12:end] + b"\xc0\x0c\0\x0c\0\1\0\0\0\1" +
            len(name).to_bytes(2, "big") + name)


@contextlib.contextmanager
def dns_server():
    """The one that this mount namespace's resolver asks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 53))

        def serve():
            with contextlib.suppress(OSError):
                while len((heard := s.recvfrom(512))[0]) > 12:
                    s.sendto(dns_answer(heard[0]), heard[1])
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        world.write(scratch("resolv.conf"), b"nameserver 127.0.0.1\n")
        world.write(scratch("nsswitch.conf"), b"hosts: files dns\nservices: files\n")
        for name in ("resolv.conf", "nsswitch.conf"):
            run("mount", "--bind", scratch(name), os.path.realpath("/etc/" + name))
        try:
            yield
        finally:
            for name in ("resolv.conf", "nsswitch.conf"):
                run("umount", os.path.realpath("/etc/" + name))
            s.sendto(b"", ("127.0.0.1", 53))
            thread.join()


def addresses_have_names():
    """As this machine's own resolver says, which asks a server in this network namespace."""
    code = ("import socket as s\n"
            "print(s.getnameinfo(('192.0.2.7', 80), 0), s.gethostbyaddr('2001:db8::7')[0::2],\n"
            "      s.getnameinfo(('192.0.2.7', 80), s.NI_NUMERICHOST))")
    with dns_server():
        done = on_couplet("python3", "-c", code)
    assert done.stdout.decode().strip() == \
        "('far.example', 'http') ('far.example', ['2001:db8::7']) ('192.0.2.7', 'http')", done


# ---- Servers ----------------------------------------------------------------------------------

def nginx_serves():
    with Run("nginx", "-p", world.SCRATCH, "-c", scratch("run.conf"), "-e", scratch("run.log")):
        eventually(lambda: curl(f"http://{OURS[4]}/small", ok=False).returncode == 0)
        for version in (4, 6):
            done = curl(f"http://{url_host(OURS[version])}/big")
            assert sha256(done.stdout) == SUMS["big"]
        clients, seconds = (1000, 20) if SOAK else (200, 1)
        wrk = Program("wrk", "-c", str(clients), "-t", "1", "-d", f"{seconds}s", "--timeout", "2s",
                      f"http://{OURS[4]}/small", stdout=subprocess.PIPE)
        found = held_by("nginx", 80, clients * 9 // 10 if SOAK else 50)
        master = int(read(scratch("run.pid")))
        assert all(c["pid"] != master for c in found if c["state"] == "ESTABLISHED"), found[0]
        said = wrk.stdout.read().decode()
        wrk.wait()
        assert re.search(r"\d+ requests in", said), said
        world.note("nginx, wrk: " + re.search(r"Requests/sec: *\S+", said)[0])
        assert "Socket errors" not in said and "Non-2xx" not in said, said


def answers_soon():
    with Run("sleep", "60") as server:
        program = run("pgrep", "-P", str(server.child.pid)).stdout.split()[0].decode()
        ours, its = (re.search(rb"^se.slice\s*:\s*(\d+)", read(f"/proc/{pid}/sched"), re.M)[1]
                     for pid in (server.child.pid, program))
        assert int(ours) == 100000 < int(its), (ours, its)


def nginx_becomes_a_daemon():
    with Run("nginx", "-p", world.SCRATCH, "-c", scratch("daemon.conf"), "-e",
             scratch("daemon.log")) as server:
        eventually(lambda: curl(f"http://{OURS[4]}/small", ok=False).returncode == 0)
        assert server.child.poll() is None, "the daemon is attached still"
        os.kill(int(read(scratch("daemon.pid"))), 15)
        assert server.wait() == 0


def redis_serves():
    with Run("redis-server", "--save", "", "--protected-mode", "no", "--dir", world.SCRATCH):
        cli = ("redis-cli", "-h", OURS[4])
        eventually(lambda: run(*cli, "ping", ok=False).stdout == b"PONG\n")
        run(*cli, "set", "name", "value")
        assert run(*cli, "get", "name").stdout == b"value\n"
        held_by("redis-server", 6379)
        done = run("redis-benchmark", "-h", OURS[4], "-n", "200000" if SOAK else "5000", "-c", "50",
                   "-t", "set,get", "-q", "-P", "1", timeout=300)
        world.note("redis: " + " ".join(done.stdout.decode().replace("\r", "\n").split("\n")[-3:]))
        assert b"SET" in done.stdout and b"GET" in done.stdout, done.stdout


def redis_cli_asks():
    server = Program("redis-server", "--save", "", "--protected-mode", "no", "--port", "6400",
                     "--dir", world.SCRATCH, stdout=subprocess.DEVNULL)
    with server:
        eventually(lambda: run("redis-cli", "-p", "6400", "ping", ok=False).stdout == b"PONG\n")
        cli = ("redis-cli", "-h", KERNELS[4], "-p", "6400")
        assert on_couplet(*cli, "set", "a", "b").stdout == b"OK\n"
        assert on_couplet(*cli, "get", "a").stdout == b"b\n"


def python_serves():
    with Run("python3", "-m", "http.server", "8080", "--directory", scratch("www")):
        eventually(lambda: curl(f"http://{OURS[4]}:8080/small", ok=False).returncode == 0)
        assert sha256(curl(f"http://{OURS[4]}:8080/big").stdout) == SUMS["big"]
        held_by("python3", 8080)


def asyncio_echoes():
    with Run("python3", "-c", ECHO, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        data = os.urandom(MIB)

        def talk(results, i):
            with socket.create_connection((OURS[4], 7000), timeout=30) as s:
                thread = world.send_all(s, data)
                got = b""
                while len(got) < len(data):
                    got += s.recv(MIB)
                thread.join()
                results[i] = got == data
        results = [False] * 20
        threads = [threading.Thread(target=talk, args=(results, i)) for i in range(20)]
        for t in threads:
            t.start()
        held_by("python3", 7000)
        for t in threads:
            t.join(60)
        assert all(results), results


def node_serves():
    with Run("node", "-e", NODE) as server:
        server.says("ready", 20)
        done = curl("-d", "@" + scratch("www/small"), f"http://{OURS[4]}:3000/there")
        assert re.fullmatch(rb"node got \d+ of /there", done.stdout), done.stdout
        held_by("node", 3000)


def socat_echoes():
    with Run("socat", "TCP-LISTEN:7001,fork,reuseaddr", "EXEC:cat"):
        def talk():
            with socket.create_connection((OURS[4], 7001), timeout=5) as s:
                s.sendall(b"hello\n")
                s.shutdown(socket.SHUT_WR)
                return world.receive_all(s)

        def answered():
            with contextlib.suppress(OSError):
                return talk() == b"hello\n"
        eventually(answered)
    with Program("socat", "TCP-LISTEN:7002,fork,reuseaddr", "EXEC:cat"):
        eventually(lambda: run("sh", "-c", "ss -tln | grep -q :7002", ok=False).returncode == 0)
        done = on_couplet("socat", "-t5", "-", f"TCP:{KERNELS[4]}:7002", stdin=None,
                          input=b"to and fro\n")
        assert done.stdout == b"to and fro\n", done


# ---- Both ways --------------------------------------------------------------------------------

def iperf3_runs():
    def rate(done):
        report = json.loads(done.stdout)
        assert "error" not in report, report.get("error")
        return report["end"]["sum_received"]["bits_per_second"] / 1e9
    much = ("-t", "10") if SOAK else ("-n", "32M")
    with Program("iperf3", "-s", "-p", "5300", stdout=subprocess.DEVNULL):
        eventually(lambda: run("sh", "-c", "ss -tln | grep -q :5300", ok=False).returncode == 0)
        client = ("iperf3", "-c", KERNELS[4], "-p", "5300", *much, "-J")
        up, down = rate(on_couplet(*client)), rate(on_couplet(*client, "-R"))
        four = rate(on_couplet(*client, "-P", "4"))
    world.note(f"iperf3: {up:.2f} Gbit/s to the kernel, {down:.2f} from it, {four:.2f} by four")
    assert min(up, down, four) > 0.1
    with Run("iperf3", "-s", "-1", "-p", "5301", stdout=subprocess.DEVNULL) as server:
        held_by("iperf3", 5301)
        rate(run("iperf3", "-c", OURS[4], "-p", "5301", *much, "-J"))
        assert server.wait() == 0


def ssh_keys():
    """Where sshd's and the user's are, anew; the words to start each with."""
    top = scratch("ssh")
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top, mode=0o700)
    os.makedirs("/run/sshd", exist_ok=True)
    for key in ("host", "user"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{top}/{key}")
    world.write(f"{top}/authorized", read(f"{top}/user.pub"))
    os.chmod(f"{top}/authorized", stat.S_IRUSR | stat.S_IWUSR)
    server = ("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "2200", "-h", f"{top}/host",
              "-o", f"AuthorizedKeysFile={top}/authorized", "-o", "StrictModes=no", "-o",
              "UsePAM=no", "-o", f"PidFile={top}/pid", "-o", "PermitRootLogin=yes")
    client = ("ssh", "-F", "none", "-i", f"{top}/user", "-p", "2200", "-o", "BatchMode=yes", "-o",
              "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={top}/known")
    return server, client


def ssh_logs_in():
    server, ssh = ssh_keys()
    with Program(*server) as sshd:
        sshd.says("listening", 10)
        done = on_couplet(*ssh, KERNELS[4], f"cat {scratch('www/big')}", timeout=90)
        assert sha256(done.stdout) == SUMS["big"], done.stderr
        done = on_couplet(*ssh, KERNELS[4], "cat >" + scratch("ssh/up") + "; exit 3", ok=False,
                          stdin=None, input=b"up it goes")
        assert done.returncode == 3 and read(scratch("ssh/up")) == b"up it goes", done.stderr


def sshd_serves():
    """Its child that reads what strangers send is in a sandbox, without another descriptor."""
    server, ssh = ssh_keys()
    with Run(*server) as sshd:
        sshd.says("listening", 10)
        done = run(*ssh, OURS[4], f"cat {scratch('www/big')}", timeout=90)
        assert sha256(done.stdout) == SUMS["big"], done.stderr
        done = run(*ssh, OURS[4], "exit 3", ok=False)
        assert done.returncode == 3, done.stderr


def couplet_to_couplet():
    """Two stacks, each behind a TUN of its own; the kernel between them only forwards."""
    world.write_sysctl("net/ipv4/ip_forward", 1)
    try:
        with Run("nginx", "-p", world.SCRATCH, "-c", scratch("run.conf"), "-e", scratch("run.log")):
            eventually(lambda: curl(f"http://{OURS[4]}/small", ok=False).returncode == 0)
            other = ("--link", "tun", "--address", "10.97.0.2", "--gateway", "10.97.0.1")
            done = on_couplet("curl", "-gsS", f"http://{OURS[4]}/big", options=other)
            assert sha256(done.stdout) == SUMS["big"]
    finally:
        world.write_sysctl("net/ipv4/ip_forward", 0)


def two_at_once():
    """Each is told where it is; what the kernel has already is not given to it again."""
    with kernel_nginx(), Run("sleep", "60"):
        done = on_couplet("curl", "-gsS", "http://10.99.1.1:8000/small")
        assert sha256(done.stdout) == SUMS["small"]
        assert b"curl is at 10.99.1.2 and fd99:0:0:1::2; the kernel is" in done.stderr, done
        done = on_couplet("true", options=("--link", "tun", "--gateway", KERNELS[4]), ok=False)
        assert done.returncode == 3 and b"give --address and --gateway" in done.stderr, done
        # An address alone says where the kernel is: first in the same network.
        done = on_couplet("curl", "-gsS", "http://10.97.3.1:8000/small",
                          options=("--link", "tun", "--address", "10.97.3.9/28"))
        assert sha256(done.stdout) == SUMS["small"]


def within_one_run():
    """A server and its client under one couplet run, over the stack's own loopback."""
    done = on_couplet("sh", "-c", f"python3 -m http.server 8081 --directory {scratch('www')} "
                      "2>/dev/null & server=$!; for i in 1 2 3 4 5 6 7 8 9; do "
                      "curl -gsS --retry-connrefused --retry 9 --retry-delay 1 "
                      f"-o {scratch('within')} http://127.0.0.1:8081/big && break; sleep 0.2; done; "
                      "kill $server")
    assert sha256(read(scratch("within"))) == SUMS["big"], done.stderr


# ---- What can't be ----------------------------------------------------------------------------

def refusals():
    world.write(scratch("static.c"), b"int main(void) { return 0; }\n")
    run("cc", "-static", "-o", scratch("static"), scratch("static.c"))
    for argv, status, said in (
            ((scratch("static"),), 3, "statically linked"),
            (("no-such-program",), 3, "there is no program no-such-program in PATH"),
            ((scratch("www"),), 3, "it is a directory"),
            ((scratch("run.conf"),), 3, "it is not executable"),
            ((), 2, "which command?")):
        done = on_couplet(*argv, ok=False)
        assert done.returncode == status and said in done.stderr.decode(), (argv, done)
    for option, said in ((("--cc", "none-such"), "--cc none-such: no such congestion control"),
                         (("--set", "net.ipv4.tcp_sack=9"), "not a value that it can have"),
                         (("--set", "net.none"), "NAME=VALUE"), (("--publish", "0"), "1 to 65535"),
                         (("--publish", "[::1:80"), "--publish [::1:80: "),
                         (("--address", "10.0.0.1/40"), "a length of 1 to 32"),
                         (("--address", "127.0.0.1"), "not an address that a host"),
                         (("--address", "ff02::1"), "not an address that a host"),
                         (("--inline", "all"), "--inline is for --link tun and tap")):
        done = on_couplet("true", options=option, ok=False)
        assert done.returncode == 2 and said in done.stderr.decode(), (option, done)
    assert on_couplet("sh", "-c", "exit 5", ok=False).returncode == 5
    os.mkdir(scratch("alone"))  # couplet without its library
    shutil.copy(COUPLET, scratch("alone/couplet"))
    done = run(scratch("alone/couplet"), "run", "true", ok=False)
    assert done.returncode == 3 and b"build it with make, or install both" in done.stderr, done
    done = run("sh", "-c", f"mount -t tmpfs none /dev/net && {COUPLET} run --link tun "
               "-- true; status=$?; umount /dev/net; exit $status", ok=False)
    assert done.returncode == 3 and b"load the kernel module tun" in done.stderr, done
    assert on_couplet("sh", "-c", "kill -9 $$", ok=False).returncode == 137


STATIC = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	int stream = socket(AF_INET, SOCK_STREAM, 0), why = errno;
	int six = socket(AF_INET6, SOCK_DGRAM, 0), raw = socket(AF_INET, SOCK_RAW, 1);
	long ring = syscall(SYS_io_uring_setup, 8, (char[200]){ 0 });
	printf("%d %s %d %d %ld %s %d\\n", stream, strerror(why), six, raw, ring, strerror(errno),
	       socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
}
"""


def calls_past_the_library_are_refused():
    """By name, of a statically linked program that a shell starts; those by number are carried."""
    world.write(scratch("past.c"), STATIC.encode())
    run("cc", "-static", "-o", scratch("past"), scratch("past.c"))
    for options in (("--link", "none"), ("--link", "user")):
        done = on_couplet("sh", "-c", scratch("past") + "; true", options=options)
        assert done.stdout == (b"-1 Address family not supported by protocol -1 -1 -1 "
                               b"Function not implemented 1\n"), done
        said = done.stderr.decode()
        for word in ("makes a socket past our library", "neither TCP's nor UDP's", "io_uring"):
            assert re.search(r"couplet run: past \(process \d+\) .*" + word + ".*: refused", said), said
        assert said.count("makes a socket past") == 1, said  # once is enough
    done = on_couplet("env", "-i", sys.executable, "-c", "import socket; socket.socket()", ok=False)
    assert re.search(rb"python3\S* \(process \d+\) makes a socket without our library: it was started "
                     rb"without LD_PRELOAD, as env -i does: refused", done.stderr), done
    code = ("import ctypes\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "fd = libc.syscall(41, 2, 1, 0)\n"
            "addr = bytes([2, 0, 0x1f, 0x40, 10, 99, 0, 1]) + bytes(8)\n"
            "assert libc.syscall(42, fd, addr, 16) == 0\n"
            "get = b'GET /small HTTP/1.0\\r\\n\\r\\n'\n"
            "assert libc.syscall(44, fd, get, len(get), 0, None, 0) == len(get)\n"
            "import os\n"
            "print(os.read(fd, 12))\n")
    with kernel_nginx():
        if os.uname().machine == "x86_64":
            assert on_couplet("python3", "-c", code).stdout == b"b'HTTP/1.1 200'\n"


def options_that_are_not_there():
    """Fail as the man page says, and are told of, each once: of the server's calls and inline."""
    code = ("import socket\n"
            "s = socket.socket()\n"
            "for level, name in (6, 31), (1, 26), (6, 31), (1, 50):\n"
            "    try: s.setsockopt(level, name, b'tls\\0\\1\\0\\0\\0')\n"
            "    except OSError as e: print(e.errno, end=' ')\n")
    for inline in ((), ("--inline", "alone")):
        done = on_couplet("python3", "-c", code, options=("--link", "tun", *inline))
        assert done.stdout == b"2 92 2 92 ", done
        said = re.findall(r"couplet run: (?:python3 \(process \d+\)|a program) asks for (\S+), which "
                          "is not there: refused", done.stderr.decode())
        assert said == ["TCP_ULP", "SO_ATTACH_FILTER", "SO_ATTACH_BPF"], done


def a_killed_program_is_heard_of():
    """SIGKILL in mid-transfer: the other end is told, as by the kernel."""
    with Run("python3", "-c", "import socket, time\ns = socket.create_server(('', 7100))\n"
             "print('ready', flush=True)\nc, _ = s.accept()\nc.sendall(b'x')\n"
             "while True: c.sendall(bytes(65536))", stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        with socket.create_connection((OURS[4], 7100), timeout=10) as s:
            assert s.recv(1) == b"x"
            pid = held_by("python3", 7100)[0]["pid"]
            os.kill(pid, 9)
            with contextlib.suppress(ConnectionResetError):
                world.receive_all(s)
        assert server.wait() == 137


TESTS = [
    ("curl gets files, many at once, over IPv4 and IPv6", curl_gets),
    ("curl's connection is in couplet netstat, and the kernel's end of it", curl_is_in_netstat),
    ("wget gets a file", wget_gets),
    ("python's urllib gets a file", python_gets),
    ("the user link leads out, as root and not", user_link_leads_out),
    ("names are found by this machine's resolver", names_are_found),
    ("and names of addresses", addresses_have_names),
    ("nginx, master and workers, serves curl and wrk", nginx_serves),
    ("nginx becomes a daemon, and couplet run stays as long", nginx_becomes_a_daemon),
    ("redis-server serves redis-cli and redis-benchmark", redis_serves),
    ("redis-cli asks a server of the kernel's", redis_cli_asks),
    ("python's http.server serves", python_serves),
    ("asyncio echoes 20 connections at once", asyncio_echoes),
    ("a node HTTP server serves", node_serves),
    ("socat echoes, as server and as client", socat_echoes),
    ("iperf3 runs both ways, as client and as server", iperf3_runs),
    ("ssh logs in to a kernel's sshd", ssh_logs_in),
    ("sshd serves a kernel's ssh, from its sandbox", sshd_serves),
    ("curl on Couplet gets from nginx on Couplet", couplet_to_couplet),
    ("two of them at once do not get in each other's way", two_at_once),
    ("a server and its client in one couplet run", within_one_run),
    ("what can't be run is refused by name", refusals),
    ("calls past the library are refused by name", calls_past_the_library_are_refused),
    ("options that are not there are refused by name", options_that_are_not_there),
    ("a program that is killed is heard of at the other end", a_killed_program_is_heard_of),
]

if [int(n) for n in os.uname().release.split(".")[:2]] >= [6, 12] and \
        os.path.exists("/proc/self/sched") and b"se.slice" in read("/proc/self/sched"):
    TESTS.append(("couplet run has short slices, its program has not", answers_soon))
if SOAK:  # but for what can't be, and who is killed
    TESTS += [(name + ", inline", inline(function)) for name, function in TESTS[:21]]

if __name__ == "__main__":
    world.main(TESTS, make_files, tools=("curl", "nginx"))

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nginx, redis and iperf3 on Couplet (couplet run, over a TUN) and on the kernel (over a veth pair,
offloads on): the same program, the same client, in turn. The client and the kernel's end of the TUN
are in one network namespace, the kernel's server in another.

    bench/programs.py [--reps N] [--seconds S] [--out out/release] [--inline never] [WORK...]

Prints the median of each and the ratio of Couplet to the kernel with its least and greatest. Needs
root, nginx, wrk, redis-server, redis-benchmark and iperf3.
"""
import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

OURS, KERNELS = "10.99.0.2", "10.96.0.2"
NGINX = """daemon off; worker_processes 1; user root; pid {top}/pid; error_log {top}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; root {top}/www; sendfile on; tcp_nopush on; keepalive_requests 1000000;
client_body_temp_path {top}/t1; proxy_temp_path {top}/t2; fastcgi_temp_path {top}/t3;
uwsgi_temp_path {top}/t4; scgi_temp_path {top}/t5; server {{ listen 80; }} }}
"""


def sh(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def client(*argv, timeout=120):
    return sh("nsenter", "--net=/run/netns/cplc", *argv, timeout=timeout)


@contextlib.contextmanager
def namespaces():
    for name in ("cplc", "cpls"):
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
    sh("ip", "-n", "cplc", "link", "add", "vc", "type", "veth", "peer", "name", "vs", "netns", "cpls")
    for name, dev, addr in (("cplc", "vc", "10.96.0.1/24"), ("cpls", "vs", KERNELS + "/24")):
        sh("ip", "-n", name, "address", "add", addr, "dev", dev)
        sh("ip", "-n", name, "link", "set", dev, "up")
    try:
        yield
    finally:
        for name in ("cplc", "cpls"):
            sh("ip", "netns", "del", name)


@contextlib.contextmanager
def server(on, argv, port):
    """ARGV on Couplet or on the kernel; yields its address once it answers."""
    if on == "couplet":
        how = ["nsenter", "--net=/run/netns/cplc", COUPLET, "run", "--quiet", "--link", "tun",
               "--inline", INLINE, "--"]
    else:
        how = ["nsenter", "--net=/run/netns/cpls"]
    address = OURS if on == "couplet" else KERNELS
    child = subprocess.Popen(how + argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             stdin=subprocess.DEVNULL)
    try:
        probe = ("import socket, sys, time\n"
                 "for i in range(200):\n"
                 "    try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close(); break\n"
                 "    except OSError: time.sleep(0.05)\n"
                 "else: raise SystemExit(1)\n")
        client("python3", "-c", probe, address, str(port))
        yield address
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stderr.close()


def wrk(address, path, connections, seconds):
    said = client("wrk", "-c", str(connections), "-t", "1", "-d", f"{seconds}s", "--latency",
                  f"http://{address}/{path}")
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    return {"requests/s": rate,
            "p99 us": float(p99[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[p99[2]]}


def nginx(on, seconds, top):
    results = {}
    with server(on, ["nginx", "-p", top, "-c", f"{top}/nginx.conf", "-e", f"{top}/log"], 80) as at:
        for path, n in (("small", 1), ("small", 100), ("large", 20)):
            for name, value in wrk(at, path, n, seconds).items():
                results[f"nginx, {path} file, {n} clients: {name}"] = value
    return results


def redis(on, seconds, top):
    results = {}
    argv = ["redis-server", "--save", "", "--protected-mode", "no", "--port", "6379", "--dir", top]
    with server(on, argv, 6379) as at:
        for clients, pipeline in ((1, 1), (50, 1), (50, 16)):
            n = int(seconds * (20000 if clients == 1 else 60000 * min(pipeline, 4)))
            said = client("redis-benchmark", "-h", at, "-n", str(n), "-c", str(clients), "-P",
                          str(pipeline), "-t", "set,get", "--csv")
            for line in said.splitlines()[1:]:
                words = [w.strip('"') for w in line.split(",")]
                key = f"redis {words[0]}, {clients} clients, {pipeline} at once"
                results[f"{key}: requests/s"] = float(words[1])
                results[f"{key}: p99 us"] = float(words[6]) * 1000
    return results


def iperf3(on, seconds, top):
    del top
    results = {}
    with server(on, ["iperf3", "-s", "-p", "5201"], 5201) as at:
        for name, extra in (("to it", ()), ("from it", ("-R",)), ("from it, 4 streams", ("-R", "-P4"))):
            said = client("iperf3", "-c", at, "-p", "5201", "-t", str(seconds), "-J", *extra)
            rate = json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9
            results[f"iperf3 {name}: Gbit/s"] = rate
            time.sleep(0.3)
    return results


WORKS = {"nginx": nginx, "redis": redis, "iperf3": iperf3}


def main():
    global COUPLET, INLINE
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--out", default="out/release")
    parser.add_argument("--inline", default="all", help="as of couplet run: never, alone or all")
    parser.add_argument("work", nargs="*", help=f"{', '.join(WORKS)}: all unless given")
    args = parser.parse_args()
    COUPLET = os.path.abspath(os.path.join(args.out, "couplet"))
    INLINE = args.inline
    if os.geteuid() != 0:
        sys.exit("bench/programs.py: needs root, for network namespaces")
    results = {"couplet": {}, "kernel": {}}
    with tempfile.TemporaryDirectory() as top, namespaces():
        os.chmod(top, 0o755)
        os.makedirs(f"{top}/www")
        for name, size in (("small", 612), ("large", 1 << 20)):
            with open(f"{top}/www/{name}", "wb") as file:
                file.write(os.urandom(size))
        with open(f"{top}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(NGINX.format(top=top))
        for rep in range(args.reps):
            for work in args.work or WORKS:
                for on in ("couplet", "kernel") if rep % 2 else ("kernel", "couplet"):
                    for key, value in WORKS[work](on, args.seconds, top).items():
                        results[on].setdefault(key, []).append(value)
    print("| work | Couplet | kernel | ratio, median (least, greatest) |\n|---|---|---|---|")
    for key, ours in results["couplet"].items():
        kernels = results["kernel"][key]
        ratios = [a / b for a, b in zip(ours, kernels)]
        print(f"| {key} | {statistics.median(ours):,.1f} | {statistics.median(kernels):,.1f} | "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f}) |")


if __name__ == "__main__":
    main()

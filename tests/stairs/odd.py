# SPDX-License-Identifier: MIT
"""couplet doctor HOST PORT: destinations that are odd and healthy; nothing may be found there."""
import os
import shutil
import subprocess
import time

import ground
from ground import FAR, HERE, doctor, far_machine, healthy, hosts, ip, machine, nft, router, serve, \
    settled, socket, sysctl


def a_server_takes_two_seconds():
    def slow(connection):
        connection.recv(9000)
        time.sleep(2)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    serve("127.0.0.1", 8080, slow)
    told = healthy(doctor("localhost", 8080))
    assert "answered after 2." in told.text["program reads"], told


def a_server_refuses_the_request():
    def answer(line):
        return lambda connection: (connection.recv(9000), connection.sendall(line))

    serve("127.0.0.1", 8080, answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    serve("127.0.0.2", 8080, answer(b"HTTP/1.1 403 Forbidden\r\n\r\n"))
    serve("127.0.0.3", 8080, answer(b"SSH-2.0-Odd\r\n"))
    serve("127.0.0.4", 8080, answer(bytes.fromhex("0000060400000000000005000fffff")))  # HTTP/2
    serve("127.0.0.5", 8443, answer(bytes.fromhex("15030300020228")))  # a TLS alert
    for number in range(1, 5):
        healthy(doctor(f"127.0.0.{number}", 8080))
    told = healthy(doctor("127.0.0.5", 8443))
    assert "alert" in told.text["program reads"], told


def a_banner_comes_in_pieces():
    def pieces(connection):
        for part in b"22", b"0 ready", b"\r\n":
            time.sleep(0.05)
            connection.sendall(part)
        connection.recv(1)

    serve("127.0.0.1", 25, pieces)
    told = healthy(doctor("127.0.0.1", 25))
    assert "220 ready" in told.text["data"], told


def one_socket_listens_in_both_families():
    far_machine()
    serve("::", 80, ground.http, "far", only6=False)
    for version in 4, 6:
        healthy(doctor(FAR[version], 80))
    serve("::", 8080, ground.http, only6=False)
    for to in "127.0.0.1", "::1", HERE[4], HERE[6], "0.0.0.0", "::", "localhost":
        healthy(doctor(to, 8080))


def a_name_has_a_dead_family():
    """No IPv6 at all here: the name's IPv6 address fails at once, and nobody waits for it."""
    machine("far")
    ground.link("eth0", "far:eth0", ("10.1.0.1/24", "10.1.0.2/24"))
    hosts("10.1.0.2 box", "2001:db8::2 box")
    serve(FAR[4], 80, ground.http, "far")
    told = healthy(doctor("box", 80))
    assert "1 of 2 addresses" in told.text["SYN"], told


def a_port_is_published_from_a_container():
    far_machine()
    serve("0.0.0.0", 8080, ground.http, "far")
    ground.run("nft", "add table ip nat; add chain ip nat output { type nat hook output priority "
               "-100; }; add rule ip nat output tcp dport 80 dnat to 10.1.0.2:8080")
    healthy(doctor(HERE[4], 80))


def behind_a_router():
    router()
    serve("10.2.0.2", 80, ground.http, "far")
    serve("fd02::2", 80, ground.http, "far")
    for to in "10.2.0.2", "fd02::2":
        told = healthy(doctor(to, 80))
        assert "through" in told.text["route"], told
        assert "python" in told.text["handshake"], told
    nft("router", "forward", "icmp type echo-request drop")
    ip("rule add to 10.2.0.0/24 lookup 100")
    ip("route add 10.2.0.0/24 via 10.1.0.2 table 100")
    told = healthy(doctor("10.2.0.2", 80))
    assert "table 100" in told.text["route"], told


def two_containers_have_the_same_address():
    """Each behind a router of its own: only one of them is ours."""
    far_machine()
    for name in "other", "third":
        machine(name)
        ip("link add eth0 type bridge", name)
        ip("address add 10.1.0.2/24 dev eth0", name)
        serve("0.0.0.0", 81, ground.http, name)
    serve("0.0.0.0", 80, ground.http, "far")
    told = healthy(doctor(FAR[4], 80))
    assert "python" in told.text["handshake"], told
    told = ground.ill(doctor(FAR[4], 81), "SYN", "no_listener")
    assert "namespace far" in told.evidence, told


def reverse_path_filtering_is_strict_and_right():
    far_machine()
    serve("0.0.0.0", 80, ground.http, "far")
    for netns in None, "far":
        for interface in "all", "eth0":
            sysctl(f"ipv4/conf/{interface}/rp_filter", 1, netns)
    healthy(doctor(FAR[4], 80))


def jumbo_frames():
    machine("far")
    ground.link("eth0", "far:eth0", ("10.1.0.1/24", "10.1.0.2/24"), ("fd01::1/64", "fd01::2/64"),
                mtu=9000)
    settled("far")
    for version in 4, 6:
        serve(FAR[version], 80, ground.http, "far")
        healthy(doctor(FAR[version], 80))


def couplet_itself_serves():
    """Its stack is no namespace of this machine; on a TUN there are no neighbours."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise ground.Skip("/dev/net/tun may not be opened")
    os.mkdir("/run/www")
    for options, hop in ([], "not needed"), (["--tap"], "holds"):
        child = ground.hold(subprocess.Popen(
            [ground.COUPLET, "serve", "-q", *options, "/run/www", "--", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        line = child.stderr.readline()
        assert "http://" in line, line
        for to in "http://10.99.0.2/", "http://[fd99::2]/":
            told = healthy(doctor(to))
            assert told.result["neighbour"] == hop, told
        told = ground.ill(doctor("10.99.0.2", 81), "SYN", "syn_refused")
        child.stdin.close()
        assert child.wait(10) == 0


def a_web_server_of_the_world():
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if not nginx:
        raise ground.Skip("nginx is not installed")
    ground.certificate()
    os.mkdir("/run/nginx")
    ground.write("/run/nginx/conf", """
        daemon off; pid /run/nginx/pid; error_log /dev/null; user root;
        events {} http { access_log off; client_body_temp_path /run/nginx/a;
        proxy_temp_path /run/nginx/b; fastcgi_temp_path /run/nginx/c; uwsgi_temp_path /run/nginx/d;
        scgi_temp_path /run/nginx/e;
        server { listen 8080; root /run/nginx; }
        server { listen 8443 ssl; ssl_certificate /run/cert.pem; ssl_certificate_key /run/key.pem; }}
        """)
    ground.hold(subprocess.Popen([nginx, "-c", "/run/nginx/conf", "-e", "/dev/null"]))
    ground.eventually(lambda: socket.socket().connect_ex(("127.0.0.1", 8443)) == 0)
    healthy(doctor("http://127.0.0.1:8080"))
    healthy(doctor("https://127.0.0.1:8443"))
    ground.ill(doctor("https://127.0.0.1:8080"), "data", "tls_on_plain_port")
    ground.ill(doctor("http://127.0.0.1:8443"), "data", "tls_on_plain_port")


def a_busy_server_has_many_callers():
    far_machine()
    serve(FAR[4], 80, ground.http, "far", backlog=64)
    for _ in range(60):
        ground.hold(socket.create_connection((FAR[4], 80)))
    healthy(doctor(FAR[4], 80))


CASES = (a_server_takes_two_seconds, a_server_refuses_the_request, a_banner_comes_in_pieces,
         one_socket_listens_in_both_families, a_name_has_a_dead_family,
         a_port_is_published_from_a_container, behind_a_router,
         two_containers_have_the_same_address, reverse_path_filtering_is_strict_and_right,
         jumbo_frames, couplet_itself_serves, a_web_server_of_the_world,
         a_busy_server_has_many_callers)

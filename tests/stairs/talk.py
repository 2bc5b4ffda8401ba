# SPDX-License-Identifier: MIT
"""couplet doctor HOST PORT: connections that stand and do not serve; names; proxies."""
import os
import signal
import socketserver
import struct
import threading
import time

import ground
from ground import FAR, HERE, as_user, doctor, far_machine, healthy, hosts, ill, ip, listener, \
    machine, nft, router, serve, socket, sysctl


# ---- TLS and plain ------------------------------------------------------------------------------

def tls_is_spoken():
    far_machine()
    context = ground.certificate()
    for version in 4, 6:
        serve(FAR[version], 443, ground.tls(context), "far")
        told = healthy(doctor(FAR[version], 443))
        assert "TLS" in told.text["program reads"], told
        assert "full segments" in told.text["data"], told


def tls_is_spoken_to_a_plain_port():
    far_machine()
    serve("0.0.0.0", 8000, ground.http, "far")

    def lines(connection):  # waits for a whole line, as many programs do
        if b"HEAD" in connection.makefile("rb").readline():
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    serve("0.0.0.0", 8001, lines, "far")
    told = ill(doctor(f"https://{FAR[4]}:8000"), "data", "tls_on_plain_port")
    assert f"http://{FAR[4]}:8000/" in told.json["findings"][0].get("next", f"http://{FAR[4]}:8000/")
    ill(doctor(f"https://{FAR[4]}:8001"), "data", "tls_on_plain_port")


def plain_is_spoken_to_a_tls_port():
    far_machine()
    serve("::", 8443, ground.tls(ground.certificate()), "far", only6=False)
    for version in 4, 6:
        host = FAR[version] if version == 4 else f"[{FAR[version]}]"
        told = ill(doctor(f"http://{host}:8443/"), "data", "tls_on_plain_port")
        assert "TLS record" in told.evidence, told


def openssl_is_told_from_plain():
    ground.certificate()
    server = ground.hold(ground.subprocess.Popen(
        ["openssl", "s_server", "-accept", "8443", "-cert", "/run/cert.pem", "-key",
         "/run/key.pem", "-www", "-quiet"], stdout=ground.subprocess.DEVNULL,
        stderr=ground.subprocess.DEVNULL))
    ground.eventually(lambda: b":20FB" in ground.read("/proc/net/tcp6").encode() or
                      b":20FB" in ground.read("/proc/net/tcp").encode())
    healthy(doctor("https://localhost:8443"))
    ill(doctor("http://localhost:8443"), "data", "tls_on_plain_port")
    assert server.poll() is None


# ---- What stands and does not serve -------------------------------------------------------------

def the_server_closes_at_once():
    far_machine()
    serve(FAR[4], 7001, lambda connection: None, "far")
    told = ill(doctor(FAR[4], 7001), "data", "closed_at_once")
    assert "FIN" in told.evidence, told
    serve(FAR[4], 80, lambda connection: connection.recv(9000), "far")
    ill(doctor(FAR[4], 80), "data", "closed_at_once")


def the_server_does_not_read():
    far_machine()
    serve(FAR[4], 80, ground.keep, "far")
    told = ill(doctor(FAR[4], 80), "program reads", "no_answer")
    assert "has not read" in told.evidence, told


def the_server_reads_and_does_not_answer():
    far_machine()
    serve(FAR[4], 80, ground.swallow, "far")
    told = ill(doctor(FAR[4], 80), "program reads", "no_answer")
    assert "has read" in told.evidence, told


def an_ordinary_user_sees_that_no_answer_comes():
    as_user()
    far_machine()
    serve(FAR[4], 80, ground.keep, "far")
    told = ill(doctor(FAR[4], 80, user=True), "program reads", "no_answer")
    assert "far host" in told.unseen, told


def the_server_has_no_room():
    far_machine()
    with ground.inside("far"):
        s = ground.hold(socket.socket())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    s.bind((FAR[4], 80))
    s.listen()
    threading.Thread(target=lambda: ground.hold(s.accept()), daemon=True).start()
    told = ill(doctor(FAR[4], 80), "program reads", "zero_window_stuck")
    assert "Recv-Q" in told.evidence, told
    assert told.json["findings"][0]["pid"] == os.getpid(), told


STOPPED = ("import socket,time; s=socket.socket(); s.bind(('0.0.0.0', 80)); s.listen(); "
           "print('ready', flush=True); c=s.accept(); time.sleep(60)")


def the_server_is_stopped():
    far_machine()
    child = ground.program(STOPPED, "far")
    child.send_signal(signal.SIGSTOP)
    told = ill(doctor(FAR[4], 80), "program reads", "process_stopped")
    assert "kill -CONT" in told.json["findings"][0].get("next", "kill -CONT"), told
    assert told.json["findings"][0]["pid"] == child.pid, told


def a_user_sees_that_the_own_server_is_stopped():
    as_user()
    child = ground.program(STOPPED.replace("80", "8080"), user=65534, group=65534)
    child.send_signal(signal.SIGSTOP)
    told = ill(doctor("localhost", 8080, user=True), "program reads", "process_stopped")
    assert told.json["findings"][0]["pid"] == child.pid, told


def the_server_does_not_accept():
    far_machine()
    listener(FAR[4], 7001, "far")
    told = ill(doctor(FAR[4], 7001), "program reads", "accept_queue_full")
    assert "1 of 17" in told.evidence, told


def the_server_waits_for_data_before_it_accepts():
    far_machine()
    s = serve(FAR[4], 80, ground.http, "far")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    healthy(doctor(FAR[4], 80))
    s = listener(FAR[4], 7001, "far")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    told = healthy(doctor(FAR[4], 7001), "data", "program reads")
    assert "TCP_DEFER_ACCEPT" in told.text["handshake"], told


# ---- Bytes that do not get through --------------------------------------------------------------

def the_handshake_is_completed_here_only():
    far_machine()
    listener(FAR[4], 7001, "far")
    nft("far", "input", "tcp flags & (syn | ack) == ack drop")
    told = ill(doctor(FAR[4], 7001), "handshake", "black_hole")
    assert "SYN-RECEIVED" in told.evidence, told


def data_vanishes():
    far_machine()
    nft("far", "input", "tcp dport 80 meta length > 90 drop")
    for version in 4, 6:
        serve(FAR[version], 80, ground.http, "far")
        told = ill(doctor(FAR[version], 80), "data", "black_hole")
        assert "not acknowledged" in told.evidence, told


def large_packets_vanish_on_the_way():
    router(mtu=1400)
    serve("10.2.0.2", 80, ground.http, "far")
    serve("fd02::2", 80, ground.http, "far")
    nft("router", "output", "meta l4proto icmp drop",
        "icmpv6 type packet-too-big drop")
    for to in "10.2.0.2", "fd02::2":
        told = ill(doctor(to, 80), "data", "mtu_black_hole")
        assert "segments of 14" in told.text["data"], told


def a_smaller_mtu_on_the_way_is_no_trouble():
    router(mtu=1400)
    serve("10.2.0.2", 80, ground.http, "far")
    serve("fd02::2", 80, ground.http, "far")
    for to in "10.2.0.2", "fd02::2":
        healthy(doctor(to, 80))


def a_port_lingers_in_the_other_family():
    """Its TIME-WAIT is not an end of the next connection, which has the same two ports."""
    far_machine()
    sysctl("ipv4/ip_local_port_range", "40000 40001")
    for version in 4, 6:
        serve(FAR[version], 80, ground.http, "far")
    for version in 4, 6:
        healthy(doctor(FAR[version], 80))


def large_packets_vanish_on_the_way_back():
    def long_answer(connection):
        connection.recv(9000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4000 + b"\r\n\r\n")
        time.sleep(20)

    far_machine()
    serve(FAR[4], 80, long_answer, "far")
    nft(None, "input", "tcp sport 80 meta length > 1400 drop")
    ip("link set eth0 gso_max_segs 1", "far")
    told = ill(doctor(FAR[4], 80), "data", "mtu_black_hole")
    assert "answer" in told.text["data"], told


def acknowledgments_do_not_come_back():
    far_machine()
    serve(FAR[4], 80, ground.swallow, "far")
    nft("far", "output", "tcp flags & (syn | ack) == ack drop")
    told = ill(doctor(FAR[4], 80), "data", "ack_path_broken")
    assert "bytes" in told.evidence, told


# ---- Names --------------------------------------------------------------------------------------

def a_name_is_not_known():
    told = ill(doctor("no-such-host.example", 80), "name", "name_unknown")
    assert "example" in told.evidence, told
    for wrong in "two words", "a..b", "x" * 64 + ".org", ".", "a/b":
        told = ill(doctor(wrong, 80), "name", "name_unknown")
        assert "cannot be a name" in told.evidence, told


class Zone(socketserver.BaseRequestHandler):
    """A name server that knows one name: A RECORD for everything."""

    records = {}

    def handle(self):
        query, out = self.request
        end = query.index(b"\0", 12) + 5
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        address = self.records.get(".".join(labels)) if query[end - 4:end - 2] == b"\0\1" else None
        answers = b""
        if address:
            answers = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answers), 0, 0)
        out.sendto(head + query[12:end] + answers, self.client_address)


def name_server(**records):
    Zone.records = {name.replace("_", "."): address for name, address in records.items()}
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Zone)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def a_name_comes_from_dns():
    far_machine()
    name_server(box_example=FAR[4])
    serve(FAR[4], 80, ground.http, "far")
    told = healthy(doctor("http://box.example/"))
    assert told.text["name"] == "10.1.0.2 (from DNS)", told
    ill(doctor("other.example", 80), "name", "name_unknown")


def the_hosts_file_hides_what_dns_knows():
    far_machine()
    name_server(box_example=FAR[4])
    serve(FAR[4], 80, ground.http, "far")
    hosts("# a comment", f"{HERE[4]} old.example box.example")
    told = ill(doctor("box.example", 80), "name", "name_wrong_address")
    assert "line 4" in told.evidence and FAR[4] in told.evidence, told
    hosts("10.1.0.77 box.example")
    ill(doctor("--timeout", 1.3, "box.example", 80), "name", "name_wrong_address")
    hosts(f"{FAR[4]} box.example")
    healthy(doctor("box.example", 80))


def the_own_name_leads_to_loopback():
    far_machine()
    listener(HERE[4], 7001)
    hosts("127.0.1.1 mybox")
    told = ill(doctor("mybox", 7001), "name", "name_wrong_address")
    assert "127.0.1.1" in told.evidence and "line 3" in told.evidence, told


# ---- Proxies ------------------------------------------------------------------------------------

def a_proxy_variable_is_in_the_way():
    far_machine()
    serve(FAR[4], 80, ground.http, "far")
    proxy = "http://user:secret@proxy.example:3128"

    def warned(*words, **environment):
        told = doctor(*words, **environment)
        assert told.status == 0 and not told.failing, told
        assert told.found in ([], ["proxy_in_the_way"]), told
        assert "secret" not in str(told), told
        return bool(told.found)

    url = f"http://{FAR[4]}/"
    assert warned(url, http_proxy=proxy)
    assert not warned(url, https_proxy=proxy)
    assert not warned(url, HTTP_PROXY=proxy)  # may come from a header: nobody heeds it
    assert warned(url, ALL_PROXY=proxy)
    assert warned(FAR[4], 80, https_proxy=proxy)
    assert not warned(url, http_proxy=proxy, no_proxy="localhost, 10.0.0.0/8")
    assert warned(url, http_proxy=proxy, no_proxy="10.2.0.0/16,.example")
    assert not warned(url, http_proxy=proxy, NO_PROXY="*")
    assert not warned(url, http_proxy="")


def the_proxy_variable_of_another_process():
    far_machine()
    serve(FAR[4], 80, ground.http, "far")
    child = ground.program("print('ready', flush=True); import time; time.sleep(60)",
                           env=dict(os.environ, http_proxy="proxy.example:3128"))
    told = doctor("--environment", child.pid, f"http://{FAR[4]}/")
    assert told.found == ["proxy_in_the_way"] and told.status == 0, told
    assert f"process {child.pid}" in told.evidence, told


CASES = (data_vanishes, large_packets_vanish_on_the_way, large_packets_vanish_on_the_way_back,
         the_server_is_stopped, tls_is_spoken, tls_is_spoken_to_a_plain_port,
         plain_is_spoken_to_a_tls_port, openssl_is_told_from_plain, the_server_closes_at_once,
         the_server_does_not_read, the_server_reads_and_does_not_answer,
         an_ordinary_user_sees_that_no_answer_comes, the_server_has_no_room,
         a_user_sees_that_the_own_server_is_stopped, the_server_does_not_accept,
         the_server_waits_for_data_before_it_accepts, the_handshake_is_completed_here_only,
         a_smaller_mtu_on_the_way_is_no_trouble, a_port_lingers_in_the_other_family,
         acknowledgments_do_not_come_back, a_name_is_not_known, a_name_comes_from_dns,
         the_hosts_file_hides_what_dns_knows,
         the_own_name_leads_to_loopback, a_proxy_variable_is_in_the_way,
         the_proxy_variable_of_another_process)

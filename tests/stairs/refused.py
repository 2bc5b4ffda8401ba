# SPDX-License-Identifier: MIT
"""couplet doctor HOST PORT: healthy destinations, and calls that are refused."""
import json
import subprocess

import ground
from ground import FAR, HERE, as_user, doctor, far_machine, healthy, hosts, ill, ip, \
    listener, machine, nft, router, serve, settled, sysctl


def every_step_holds_to_a_healthy_web_server():
    far_machine()
    for version in (4, 6):
        serve(FAR[version], 80, ground.http, "far")
        told = healthy(doctor(FAR[version], 80))
        assert told.result["name"] == told.result["address"].replace("holds", "not needed"), told
        assert "200 OK" in told.text["program reads"], told
        assert "full segments" in told.text["data"], told
        assert "python" in told.text["handshake"], told


def an_ordinary_user_sees_a_healthy_web_server():
    as_user()
    far_machine()
    serve(FAR[4], 80, ground.http, "far")
    told = healthy(doctor(FAR[4], 80, user=True))
    assert "same address" in told.unseen, told


def every_step_holds_on_this_machine_by_name():
    serve("127.0.0.1", 8080, ground.http)
    told = healthy(doctor("localhost:8080"))
    assert "hosts" in told.text["name"], told
    healthy(doctor("http://localhost:8080/path?query#fragment"))


def every_step_holds_to_a_link_local_address():
    far_machine()
    address = [a["local"] for a in json.loads(ground.run("ip", "-n", "far", "-j", "-6", "address",
                                                         "show", "eth0"))[0]["addr_info"]
               if a["scope"] == "link"][0]
    serve("::", 8080, ground.http, "far")
    told = healthy(doctor(address + "%eth0", 8080))
    assert "link-local" in told.text["address"], told


def a_server_that_speaks_first_is_not_spoken_to():
    heard = []

    def greet(connection):
        connection.sendall(b"220 far ESMTP\r\n")
        heard.append(connection.recv(100))

    far_machine()
    serve(FAR[4], 25, greet, "far")
    told = healthy(doctor(FAR[4], 25))
    assert "220 far ESMTP" in told.text["data"], told
    ground.eventually(lambda: heard)
    assert heard == [b""], heard


def nothing_is_sent_to_a_program_of_unknown_protocol():
    heard = []
    far_machine()
    serve(FAR[4], 5555, lambda c: heard.append(c.recv(100)), "far")
    told = healthy(doctor(FAR[4], 5555), "data")
    assert "--probe-data" in told.unseen, told
    ground.eventually(lambda: heard)
    assert heard == [b""], heard
    told = ill(doctor("--probe-data", FAR[4], 5555), "data", "closed_at_once")
    ground.eventually(lambda: len(heard) > 1)
    assert heard[1].startswith(b"HEAD / HTTP/1.1\r\n"), heard


def nobody_listens():
    far_machine()
    for version in (4, 6):
        told = ill(doctor(FAR[version], 7000), "SYN", "no_listener")
        assert "namespace far" in told.evidence, told
        ill(doctor(HERE[version], 7000), "SYN", "no_listener")


def an_ordinary_user_learns_who_refuses():
    as_user()
    far_machine()
    ill(doctor(HERE[4], 7000, user=True), "SYN", "no_listener")
    ill(doctor("localhost", 7000, user=True), "SYN", "no_listener")
    told = ill(doctor(FAR[4], 7000, user=True), "SYN", "syn_refused")
    assert "another machine" in told.unseen, told


def the_program_listens_on_another_address():
    far_machine()
    listener("127.0.0.1", 7001)
    listener("127.0.0.1", 7001, "far")
    listener(HERE[4], 7002)
    listener(FAR[6], 7003, "far")
    told = ill(doctor(HERE[4], 7001), "SYN", "listener_other_address")
    assert "127.0.0.1:7001" in told.evidence, told
    ill(doctor(FAR[4], 7001), "SYN", "listener_other_address")
    ill(doctor("localhost", 7002), "SYN", "listener_other_address")
    ill(doctor(FAR[4], 7003), "SYN", "listener_other_address")


def the_program_listens_in_the_other_family():
    far_machine()
    listener("::1", 7001)
    listener("127.0.0.1", 7002)
    listener("0.0.0.0", 7003)
    listener("::", 7004)
    listener("0.0.0.0", 7005, "far")
    ill(doctor("127.0.0.1", 7001), "SYN", "listener_other_family")
    ill(doctor("::1", 7002), "SYN", "listener_other_family")
    ill(doctor(HERE[6], 7003), "SYN", "listener_other_family")
    ill(doctor(HERE[4], 7004), "SYN", "listener_other_family")
    told = ill(doctor(FAR[6], 7005), "SYN", "listener_other_family")
    assert "IPv4 only" in told.evidence, told


def a_port_inside_a_container_is_not_published():
    machine("container")
    told_pid = ground.program("import socket,time; s=socket.socket(); s.bind(('0.0.0.0', 8080)); "
                              "s.listen(); print('ready', flush=True); time.sleep(60)", "container")
    told = ill(doctor("localhost", 8080), "SYN", "port_not_published")
    assert f"pid {told_pid.pid}" in told.evidence and "container" in told.evidence, told


def a_firewall_refuses_by_rst():
    far_machine()
    listener("0.0.0.0", 7001, "far")
    nft("far", "input", "tcp dport 7001 reject with tcp reset")
    told = ill(doctor(FAR[4], 7001), "SYN", "syn_refused")
    assert "listens" in told.evidence and "firewall" in told.text["SYN"], told


def a_firewall_refuses_by_icmp():
    far_machine()
    nft("far", "input", "tcp dport 7001 reject with icmpx admin-prohibited",
        "tcp dport 7002 reject with icmpx port-unreachable")
    nft(None, "output", "tcp dport 7003 reject with icmpx admin-prohibited")
    for version in (4, 6):
        told = ill(doctor(FAR[version], 7001), "SYN", "syn_icmp")
        assert "prohibited" in told.evidence and "the destination" in told.evidence, told
        told = ill(doctor(FAR[version], 7002), "SYN", "syn_icmp")
        assert "port unreachable" in told.evidence, told
        told = ill(doctor(FAR[version], 7003), "SYN", "syn_icmp")
        assert "this machine itself" in told.evidence, told


def a_router_does_not_know_the_way():
    router()
    told = ill(doctor("10.3.0.1", 80), "SYN", "syn_icmp")
    assert "10.1.0.2" in told.evidence and "the gateway" in told.evidence, told
    told = ill(doctor("fd03::1", 80), "SYN", "syn_icmp")
    assert "fd01::2" in told.evidence, told


def an_ordinary_user_learns_of_icmp():
    as_user()
    far_machine()
    nft("far", "input", "tcp dport 7001 reject with icmpx admin-prohibited")
    told = ill(doctor(FAR[4], 7001, user=True), "SYN", "syn_icmp")
    assert FAR[4] in told.evidence, told


def no_local_port_is_left():
    far_machine()
    s = listener(FAR[4], 7001, "far")
    sysctl("ipv4/ip_local_port_range", "40000 40003")
    for _ in range(4):
        ground.hold(ground.socket.create_connection((FAR[4], 7001)))
    told = ill(doctor(FAR[4], 7001), "SYN", "ports_exhausted")
    assert "40000-40003" in told.evidence, told
    s.close()


def no_route_leads_there():
    far_machine()
    told = ill(doctor("10.9.0.1", 80), "route", "no_route")
    assert "no route" in told.evidence, told
    ill(doctor("fd09::1", 80), "route", "no_route")
    for number, kind in enumerate(("unreachable", "blackhole", "prohibit")):
        ip(f"route add {kind} 10.{20 + number}.0.0/16")
        ip(f"-6 route add {kind} fd{20 + number}::/16")
        for to in (f"10.{20 + number}.0.1", f"fd{20 + number}::1"):
            told = ill(doctor(to, 80), "route", "no_route")
            assert kind in told.evidence, told


def an_interface_is_down():
    far_machine()
    ip("link set eth0 down")
    told = ill(doctor(FAR[4], 80), "route", "no_route")
    assert "eth0" in told.evidence and "down" in told.evidence, told


def an_interface_has_no_carrier():
    far_machine()
    ip("link set eth0 down", "far")
    told = ill(doctor(FAR[4], 80), "route", "no_route")
    assert "carrier" in told.evidence, told


def this_machine_has_no_address_of_that_family():
    machine("far")
    ground.link("eth0", "far:eth0", ("10.1.0.1/24", "10.1.0.2/24"))
    ill(doctor("2001:db8::1", 80), "address", "no_route")
    ill(doctor("224.0.0.5", 80), "address", "no_route")


def the_other_host_knows_no_way_back():
    far_machine()
    ip("address add 10.7.0.1/32 dev lo")
    ip("route add 10.1.0.2/32 dev eth0 src 10.7.0.1")
    listener(FAR[4], 7001, "far")
    told = ill(doctor("--timeout", 1.3, FAR[4], 7001), "SYN", "no_route")
    assert "no way back to 10.7.0.1" in told.evidence, told


def what_makes_no_sense_is_refused():
    def said(*words):
        done = subprocess.run([*ground.DOCTOR, *words], capture_output=True, text=True, timeout=20)
        return done.returncode, done.stderr.splitlines()[0] if done.stderr else ""

    for words, sentence in (
            (("box", "99999"), "99999 is no port: ports are 1 to 65535"),
            (("http://box:0/",), "0 is no port"), (("https://",), "which host?"),
            (("nosuch://box",), "which port of box?"), (("http://[fd00::1/",), "never closed"),
            (("http://fd00::1:80/",), "[fd00::1:80]:PORT"), (("--timeout", "x", "box", "80"), "wait"),
            (("--environment", "0", "box", "80"), "is no process"), (("--nosuch",), "--nosuch")):
        status, error = said(*words)
        assert status == 2 and sentence in error, (words, status, error)
    # Names of connections stay what they are.
    for words in ((":7000",), ("pid:1",), ("sport", "7000"), ("127.0.0.1:1-127.0.0.1:2",)):
        status, error = said(*words)
        assert status != 2 and "port" not in error.split("\"")[0], (words, status, error)


CASES = (an_interface_has_no_carrier, nothing_is_sent_to_a_program_of_unknown_protocol,
         every_step_holds_to_a_healthy_web_server, an_ordinary_user_sees_a_healthy_web_server,
         every_step_holds_on_this_machine_by_name, every_step_holds_to_a_link_local_address,
         a_server_that_speaks_first_is_not_spoken_to, nobody_listens,
         an_ordinary_user_learns_who_refuses, the_program_listens_on_another_address,
         the_program_listens_in_the_other_family, a_port_inside_a_container_is_not_published,
         a_firewall_refuses_by_rst, a_firewall_refuses_by_icmp, a_router_does_not_know_the_way,
         an_ordinary_user_learns_of_icmp, no_local_port_is_left, no_route_leads_there,
         an_interface_is_down, this_machine_has_no_address_of_that_family,
         the_other_host_knows_no_way_back, what_makes_no_sense_is_refused)

# SPDX-License-Identifier: MIT
"""couplet doctor HOST PORT: neighbours that do not answer, calls that vanish, full queues."""
import signal
import subprocess
import threading
import time

import ground
from ground import FAR, as_user, doctor, far_machine, healthy, hold, ill, ip, \
    listener, machine, nft, router, serve, settled, socket, sysctl

SHORT = ("--timeout", 1.3)


def pending(address, port, source=None):
    s = hold(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
    s.setblocking(False)
    if source:
        s.bind((source, 0))
    s.connect_ex((address, port))
    return s


def a_neighbour_is_silent():
    far_machine()
    told = ill(doctor("10.1.0.77", 80), "neighbour", "neighbour_silent")
    assert "eth0" in told.evidence, told
    for to in "10.1.0.78", "fd01::77":
        ill(doctor(*SHORT, to, 80), "neighbour", "neighbour_silent")


def a_silent_neighbour_is_forgotten():
    """The kernel has no entry of it any more, as on a busy machine, where it is looked for late."""
    far_machine()
    for version, to in (("-4", "10.1.0.77"), ("-6", "fd01::77")):
        forget = subprocess.Popen(["ip", version, "-batch", "-"], stdin=subprocess.PIPE, text=True)
        over = threading.Event()

        def feed(to=to, pipe=forget.stdin, over=over):
            while not over.is_set():
                pipe.write(f"neigh flush to {to} nud failed\n" * 100)

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            ill(doctor("--timeout", 4, to, 80), "neighbour", "neighbour_silent")
        finally:
            over.set()
            thread.join()
            forget.communicate()


def a_gateway_is_silent():
    far_machine()
    ip("route add default via 10.1.0.254")
    told = ill(doctor("198.51.100.1", 80), "neighbour", "neighbour_silent")
    assert "10.1.0.254" in told.text["neighbour"] and "gateway" in told.text["neighbour"], told


def an_ordinary_user_sees_a_silent_neighbour():
    as_user()
    far_machine()
    ill(doctor(*SHORT, "10.1.0.77", 80, user=True), "neighbour", "neighbour_silent")


def the_netmask_is_wrong():
    machine("far")
    ground.link("eth0", "far:eth0", ("10.1.0.1/8", "10.1.0.2/8"), ("fd01::1/16", "fd01::2/16"))
    settled("far")
    ip("route add default via 10.1.0.2")
    ip("-6 route add default via fd01::2")
    told = ill(doctor(*SHORT, "10.200.0.5", 80), "neighbour", "wrong_netmask")
    assert "10.1.0.1/8" in told.evidence and "10.1.0.2" in told.evidence, told
    ill(doctor(*SHORT, "fd01:200::5", 80), "neighbour", "wrong_netmask")
    ill(doctor(*SHORT, "10.1.0.5", 80), "neighbour", "neighbour_silent")


def switch(*machines):
    """A bridge with eth0 of us and of the machines."""
    machine("switch")
    ip("link add sw type bridge", "switch")
    ip("link set sw up", "switch")
    for number, name in enumerate(("", *machines)):
        ground.link(f"{name}:eth0" if name else "eth0", f"switch:p{number}")
        ip(f"link set p{number} master sw", "switch")


def two_machines_have_the_address():
    machine("far")
    machine("twin")
    switch("far", "twin")
    ip("address add 10.1.0.1/24 dev eth0")
    ip("address add fd01::1/64 dev eth0 nodad")
    for name in "far", "twin":
        ip("address add 10.1.0.2/24 dev eth0", name)
        ip("address add fd01::2/64 dev eth0 nodad", name)
        serve("0.0.0.0", 80, ground.http, name)
        serve("::", 80, ground.http, name)
    settled("far", "twin")
    for version in 4, 6:
        told = ill(doctor(FAR[version], 80), "neighbour", "duplicate_address")
        assert "2 machines" in told.evidence, told


def another_machine_has_our_own_address():
    machine("far")
    machine("twin")
    switch("far", "twin")
    ip("address add 10.1.0.1/24 dev eth0")
    ip("address add 10.1.0.1/24 dev eth0", "twin")
    ip("address add 10.1.0.2/24 dev eth0", "far")
    ip("link set eth0 address 02:00:00:00:00:07", "twin")
    serve("10.1.0.2", 80, ground.http, "far")
    told = ill(doctor(FAR[4], 80), "address", "duplicate_address")
    assert "02:00:00:00:00:07" in told.evidence, told


def the_firewall_there_drops():
    far_machine()
    listener("0.0.0.0", 7001, "far")
    listener("::", 7001, "far")
    nft("far", "input", "tcp dport 7001 drop")
    for version in 4, 6:
        told = ill(doctor(*SHORT, FAR[version], 7001), "SYN", "syn_dropped")
        assert "namespace far" in told.text["SYN"] and "does listen" in told.evidence, told
        if ground.ROOT:
            assert "NETFILTER" in told.evidence or "drops" in told.unseen, told


def the_firewall_here_drops_on_the_way_out():
    far_machine()
    listener("0.0.0.0", 7001, "far")
    nft(None, "output", "tcp dport 7001 drop")
    told = ill(doctor(*SHORT, FAR[4], 7001), "SYN", "syn_dropped")
    assert "no SYN left eth0" in told.evidence, told
    assert told.json["findings"][0]["certainty"] == "certain", told


def the_firewall_here_drops_the_answer():
    far_machine()
    listener(FAR[4], 7001, "far")
    nft(None, "input", "tcp sport 7001 drop")
    told = ill(doctor(*SHORT, FAR[4], 7001), "SYN", "syn_dropped")
    assert "did not get through this machine's firewall" in told.evidence, told


def a_firewall_between_drops():
    router()
    listener("10.2.0.2", 7001, "far")
    nft("router", "forward", "tcp dport 7001 drop")
    ill(doctor(*SHORT, "10.2.0.2", 7001), "SYN", "syn_dropped")


def an_ordinary_user_sees_silence():
    as_user()
    far_machine()
    nft("far", "input", "tcp dport 7001 drop")
    told = ill(doctor(*SHORT, FAR[4], 7001, user=True), "SYN", "syn_dropped")
    assert told.json["findings"][0]["certainty"] == "likely", told
    for what in "left this machine", "reasons for drops", "far host":
        assert what in told.unseen, told


def the_far_host_filters_by_reverse_path():
    far_machine()
    ip("address add 10.7.0.1/32 dev lo")
    ip("route add 10.1.0.2/32 dev eth0 src 10.7.0.1")
    ip(f"neighbour add 10.1.0.2 lladdr {ground.mac('eth0', 'far')} dev eth0")
    ip("link add d0 type bridge", "far")
    ip("link set d0 up", "far")
    ip("route add 10.7.0.1/32 dev d0", "far")
    listener("0.0.0.0", 7001, "far")
    for interface in "all", "eth0":
        sysctl(f"ipv4/conf/{interface}/rp_filter", 1, "far")
    told = ill(doctor(*SHORT, FAR[4], 7001), "SYN", "rp_filter")
    assert "namespace far" in told.evidence, told


def this_machine_filters_the_answer_by_reverse_path():
    far_machine()
    ground.link("eth1", "far:eth1")
    ip("route add 10.1.0.1/32 dev eth1 src 10.1.0.2", "far")
    # ARP would be filtered as well
    ip(f"neighbour add 10.1.0.1 lladdr {ground.mac('eth1')} dev eth1", "far")
    listener("0.0.0.0", 7001, "far")
    for interface in "all", "eth1":
        sysctl(f"ipv4/conf/{interface}/rp_filter", 1)
    told = ill(doctor(*SHORT, FAR[4], 7001), "SYN", "rp_filter")
    assert "left by eth0, its answer (SYN,ACK) came by eth1" in told.evidence, told
    assert "net.ipv4.conf.eth1.rp_filter=2" in told.json["findings"][0]["next"], told
    if ground.ROOT:
        ill(doctor(*SHORT, FAR[4], 7001, user=True), "SYN", "rp_filter")


def the_accept_queue_is_full():
    far_machine()
    for version in 4, 6:
        s = listener(FAR[version], 7001, "far", backlog=1)
        for _ in range(4):
            pending(FAR[version], 7001)
        told = ill(doctor(*SHORT, FAR[version], 7001), "SYN", "accept_queue_full")
        assert "2 connections wait" in told.evidence, told
        s.close()
    listener("127.0.0.1", 7002, backlog=1)
    for _ in range(4):
        pending("127.0.0.1", 7002)
    ill(doctor(*SHORT, "localhost", 7002, user=ground.ROOT), "SYN", "accept_queue_full")


def a_stopped_program_lets_its_queue_fill():
    child = ground.program("import socket,time; s=socket.socket(); s.bind(('127.0.0.1', 7001)); "
                           "s.listen(1); print('ready', flush=True); time.sleep(60)")
    child.send_signal(signal.SIGSTOP)
    for _ in range(4):
        pending("127.0.0.1", 7001)
    told = ill(doctor(*SHORT, "localhost", 7001), "SYN", "accept_queue_full", "process_stopped")
    assert f"pid {child.pid}" in told.evidence, told


def a_program_has_no_descriptor_left():
    child = ground.program("import resource,socket,time; s=socket.socket(); "
                           "s.bind(('127.0.0.1', 7001)); s.listen(1); "
                           "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)); "
                           "print('ready', flush=True); time.sleep(60)")
    for _ in range(4):
        pending("127.0.0.1", 7001)
    ill(doctor(*SHORT, "localhost", 7001), "SYN", "accept_queue_full", "fd_limit")
    assert child.poll() is None


def the_queue_of_half_open_connections_is_full():
    far_machine()
    ip("address add 10.1.0.9/24 dev eth0")
    sysctl("ipv4/tcp_syncookies", 0, "far")
    sysctl("ipv4/tcp_max_syn_backlog", 4, "far")
    listener(FAR[4], 7001, "far", backlog=4)
    nft("far", "output", "ip daddr 10.1.0.9 drop")
    flood = threading.Event()

    def again_and_again():
        while not flood.wait(0.02):
            pending(FAR[4], 7001, "10.1.0.9")

    threading.Thread(target=again_and_again, daemon=True).start()
    time.sleep(0.5)
    for _ in range(5):  # where the flood is held up, there is room for a moment
        told = doctor(*SHORT, FAR[4], 7001)
        if told.failing == ["SYN"]:
            break
    flood.set()
    ill(told, "SYN", "syn_queue_full")
    assert "half-open" in told.evidence, told


def an_address_of_the_name_is_dead():
    far_machine()
    ground.hosts("10.1.0.77 box", "10.1.0.2 box", "fd01::2 box")
    serve(FAR[4], 80, ground.http, "far")
    serve(FAR[6], 81, ground.keep, "far")
    told = doctor(*SHORT, "-4", "box", 80)
    assert told.status == 0 and told.found == ["address_dead"] and not told.failing, told
    assert "10.1.0.77" in told.evidence, told
    told = doctor(*SHORT, "-6", "box", 81)
    assert told.found == [] and told.result["SYN"] == "holds", told


def localhost_has_two_addresses_of_which_one_is_enough():
    serve("127.0.0.1", 8080, ground.http)
    healthy(doctor("localhost", 8080))


CASES = (a_neighbour_is_silent, the_firewall_there_drops, the_accept_queue_is_full,
         the_netmask_is_wrong, a_silent_neighbour_is_forgotten, a_gateway_is_silent,
         an_ordinary_user_sees_a_silent_neighbour, two_machines_have_the_address,
         another_machine_has_our_own_address,
         the_firewall_here_drops_on_the_way_out, the_firewall_here_drops_the_answer,
         a_firewall_between_drops, an_ordinary_user_sees_silence,
         the_far_host_filters_by_reverse_path, this_machine_filters_the_answer_by_reverse_path,
         a_stopped_program_lets_its_queue_fill, a_program_has_no_descriptor_left,
         the_queue_of_half_open_connections_is_full, an_address_of_the_name_is_dead,
         localhost_has_two_addresses_of_which_one_is_enough)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet doctor over two machines: what only both ends together can tell."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pairs as shared
from pairs import Connection, couplet, eventually, join, machine, main, sees_numbers


def doctor(here, there, *args, status=0):
    return couplet("doctor", "--peer-cmd", join(machine(there)), "--peer-couplet", shared.COUPLET,
                   "--for=0.3", *args, before=machine(here), status=status)


def healthy(world):
    a, b = world.two("m")
    connections = [Connection(world, a, b) for _ in range(3)]
    for connection in connections:
        connection.talk()
    for here, there in ((a, b), (b, a)):
        doctor(here, there).has("6 connections, 6 of them from both ends", "no trouble found")
    # Alone, each sees its own ends only, and calls nothing half-open.
    for host in (a, b):
        couplet("doctor", "--for=0.3", before=machine(host), status=0).has("3 connections", "no trouble found")


def half_open(world):
    a, b = world.two("m")
    died = Connection(world, a, b)
    died.talk()
    b.nft(f"output: tcp sport {died.port} drop")
    died.server.do("abort", died.s)
    for here, there in ((a, b), (b, a)):
        doctor(here, there, status=1).has("(half-open)", "1 trouble")


def forged(world):
    a, b = world.two("m")
    connection = Connection(world, a, b)
    connection.talk()
    connection.forge(b"INJECTED!!")
    eventually(lambda: connection.server.do("readable", connection.s) == 10)
    doctor(a, b, status=1).has("(forged-bytes)", "10 bytes", "1 trouble")


main([
    ("doctor sees both ends through a peer, from either side", healthy),
    ("doctor names half a connection over two machines", half_open),
    ("doctor names forged bytes over two machines", forged),
])

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet doctor HOST PORT: each trouble made, each named. With arguments: only the cases of these
names. Most of the time is waiting for what does not come, so that all cases are run by one program,
many beside each other."""
import ground
import odd
import peer
import refused
import silent
import talk

if __name__ == "__main__":
    ground.main(*silent.CASES, *talk.CASES, *peer.CASES, *refused.CASES, *odd.CASES)

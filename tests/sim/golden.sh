#!/bin/sh
# SPDX-License-Identifier: MIT
# The golden table (sim/golden.h): a cut of it, with SOAK=1 all. A row may drift within
# golden_differs(), since any change to what is sent when draws other losses; more is a change of
# behaviour, which belongs into the commit that makes it:
# out/release/bench/goodput all >tests/sim/golden.txt
exec "$OUT/bench/goodput" check ${SOAK:+all}

#!/bin/sh
# SPDX-License-Identifier: MIT
# The rules of the house, each a test.
exec tools/lint --tap --format --out "$OUT"

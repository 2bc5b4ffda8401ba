#!/bin/sh
# SPDX-License-Identifier: MIT
# What is generated from the code and committed is what the code generates now.
exec tools/docs --tap --out "$OUT"

# SPDX-License-Identifier: MIT
"""RFC 9293's requirements (docs/rfc9293.tsv) and where the tags in comments put them."""
import os
import re
from collections import namedtuple

import csource

TAG = re.compile(r"\b(?:MUST|SHLD|MAY|REC)-\d+\b")

Requirement = namedtuple("Requirement", "id level text section test")
# A tag in a file: which function or table it stands in or above; offsets of its comment.
Place = namedtuple("Place", "path name start end inside")


def load(top):
    rows = csource.read(top, "docs/rfc9293.tsv").strip().split("\n")[1:]
    return [Requirement(*row.split("\t")) for row in rows]


def reasons(top):
    """docs/rfc9293.why: id, tab, why the requirement has no code or no test."""
    path = "docs/rfc9293.why"
    if not os.path.exists(os.path.join(top, path)):
        return {}
    lines = csource.read(top, path).split("\n")
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def owner(text, code, functions, start, end):
    """(name, inside) of what a comment belongs to; (None, False) for a file's opening comment."""
    for function in functions:
        if function.head <= start <= function.close:
            return function.name, start > function.open
    for function in functions:
        if function.head >= end and not text[end:function.head].strip():
            return function.name, False
    # A table: the comment stands in its initialiser, or above it.
    before = code[:start]
    if before.count("{") > before.count("}"):
        at = before.rindex("{")
        while before[:at].count("{") > before[:at].count("}"):
            at = before[:at].rindex("{")
        head = before[:at]
        if re.search(r"\b(struct|union|enum)(\s+\w+)?\s*$", head):
            return None, False  # a declaration does nothing
        names = re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:=\s*)?$", head)
        return (names[-1] if names else "table"), True
    define = re.search(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[^\n]*$", before[before.rfind("\n") + 1:]) \
        or re.match(r"\s*#[ \t]*define[ \t]+(\w+)", code[end:])
    if define:
        return define.group(1), True
    return None, False


def places_in(top, path):
    """{id: [Place]} of one C file."""
    text = csource.read(top, path)
    found = {}
    if not TAG.search(text):
        return found
    functions = csource.functions(text)
    code = csource.blank(text)
    for start, comment in csource.comments(text):
        ids = TAG.findall(comment)
        if not ids:
            continue
        name, inside = owner(text, code, functions, start, start + len(comment))
        if name:
            for one in dict.fromkeys(ids):
                place = Place(path, name, start, start + len(comment), inside)
                found.setdefault(one, []).append(place)
    return found


def places(top, *folders):
    """{id: [Place]} of all C files, and of tagged test scripts, under FOLDERS."""
    found = {}
    for path in csource.files(top, *folders, ends=(".c", ".h")):
        if not path.startswith("tests/tools/"):
            for one, where in places_in(top, path).items():
                found.setdefault(one, []).extend(where)
    for path in csource.files(top, *folders, ends=(".sh", ".py")):
        if not path.startswith("tests/tools/"):
            for one in dict.fromkeys(TAG.findall(csource.read(top, path))):
                found.setdefault(one, []).append(Place(path, "", 0, 0, False))
    return found

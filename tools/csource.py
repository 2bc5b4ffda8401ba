# SPDX-License-Identifier: MIT
"""What the tools need to know of a C source: its comments, its functions, its tokens."""
import os
import re
import subprocess
import sys
from collections import namedtuple

sys.dont_write_bytecode = True

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<string>"(?:\\.|[^"\\\n])*")
  | (?P<char>'(?:\\.|[^'\\\n])*')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\.?[0-9](?:[eEpP][-+]|[\w.])*)
  | (?P<space>(?:\s|\\\n)+)
  | (?P<punct>->|\.\.\.|.)
""", re.X | re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M)
# An identifier and an opening parenthesis: what a declaration declares, unless it is one of these.
CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
NOT_NAMES = {"__attribute__", "_Alignas", "_Static_assert", "__asm__", "typeof", "__typeof__"}

Function = namedtuple("Function", "name head open close")  # head, open, close: offsets in the text


def spaces(text):
    """TEXT with everything but line ends turned into spaces."""
    return re.sub(r"[^\n]", " ", text)


def blank(text, directives=False):
    """TEXT with comments, strings and, with DIRECTIVES, # lines blanked; offsets stay the same."""
    def one(match):
        kind = match.lastgroup
        if kind == "comment":
            return spaces(match.group())
        if kind in ("string", "char"):
            return match.group()[0] + spaces(match.group()[1:-1]) + match.group()[-1]
        return match.group()
    text = TOKEN.sub(one, text)
    if directives:
        text = DIRECTIVE.sub(lambda m: spaces(m.group()), text)
    return text


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def without_parens(text):
    """TEXT less what stands in parentheses."""
    while True:
        less = re.sub(r"\([^()]*\)", " ", text)
        if less == text:
            return text
        text = less


def function_name(head):
    """The name of the function that HEAD, the text before a `{`, defines; None if it does not."""
    flat = without_parens(head).strip()
    if not head.rstrip().endswith(")") or "=" in flat or flat.startswith("typedef"):
        return None
    for match in CALL.finditer(head):
        if match.group(1) not in NOT_NAMES and head[:match.start()].count("(") == \
                head[:match.start()].count(")"):
            return match.group(1)
    return None


def functions(text):
    """The functions defined in TEXT, in order."""
    code = blank(text, directives=True)
    found, depth, head, current = [], 0, 0, None
    for match in re.finditer(r"[{};]", code):
        at, char = match.start(), match.group()
        if char == "{":
            chunk = code[head:at]
            if depth == 0 and re.fullmatch(r'\s*extern\s*"\s*"\s*', chunk):
                head = at + 1
                continue
            if depth == 0:
                name = function_name(chunk)
                first = head + len(chunk) - len(chunk.lstrip())
                current = (name, first, at) if name else None
            depth += 1
        elif char == "}" and depth > 0:
            depth -= 1
            if depth == 0:
                if current:
                    found.append(Function(*current, at))
                    current = None
                    head = at + 1
        elif char == ";" and depth == 0:
            head = at + 1
    return found


def comments(text):
    """(offset, comment) of each comment in TEXT."""
    return [(m.start(), m.group()) for m in TOKEN.finditer(text) if m.lastgroup == "comment"]


def files(top, *folders, ends=(".c", ".h", ".def")):
    """Files of the tree under FOLDERS, as paths relative to TOP, in order."""
    found = []
    for folder in folders:
        for base, dirs, names in os.walk(os.path.join(top, folder)):
            dirs[:] = sorted(d for d in dirs if d not in ("out", ".git", "__pycache__"))
            found += [os.path.relpath(os.path.join(base, n), top) for n in sorted(names)
                      if not ends or n.endswith(ends)]
    return found


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def output(*argv):
    """What a program prints on standard output."""
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout

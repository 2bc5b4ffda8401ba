# SPDX-License-Identifier: MIT
"""Disable the code that is tagged with a requirement and see its test fail.

The tree is copied to out/mutate/; there each mutation is built and the tagged test programs run. A
mutation that does not compile gives way to the next. A requirement is red when a test that is
tagged with it fails under one of the mutations of a place that is tagged with it.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import csource
import requirements

CFLAGS = "-O0 -g -DCPL_DEBUG -w -Wno-error"
COPIED = ("Makefile", "include", "src", "sim", "tests", "examples")
TEST_SECONDS = 60
HANG = 10  # a test that takes so many times longer than before hangs
MUTATIONS_MAX = 12  # tried at one place

# kind: if, loop, switch, case, return, plain; cond: offsets of what stands in the parentheses.
Node = namedtuple("Node", "kind start end cond")
Mutation = namedtuple("Mutation", "what text")


class Statements:
    """The statements of a function body, flat, in the order of their starts."""

    def __init__(self, code, start, end):
        self.code, self.end, self.nodes = code, end, []
        at = start + 1
        while (at := self.skip(at)) < end:
            at = self.statement(at)
        self.nodes.sort(key=lambda n: (n.start, -n.end))

    def skip(self, at):
        while at < self.end and self.code[at].isspace():
            at += 1
        return at

    def close(self, at):
        """The offset after the bracket that closes the one at AT."""
        depth = 0
        while at < self.end:
            depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(self.code[at], 0)
            at += 1
            if depth == 0:
                break
        return at

    def add(self, kind, start, end, cond=None):
        self.nodes.append(Node(kind, start, end, cond))
        return end

    def to_semicolon(self, at):
        while at < self.end and self.code[at] != ";":
            at = self.close(at) if self.code[at] in "({[" else at + 1
        return min(at + 1, self.end)

    def block(self, at):
        end = self.close(at)
        at += 1
        while (at := self.skip(at)) < end - 1:
            at = self.statement(at)
        return end

    def statement(self, at):
        """Record the statement at AT and those in it; returns the offset after it."""
        code = self.code
        if code[at] == "{":
            return self.add("block", at, self.block(at))
        if code[at] in "};":
            return at + 1
        word = re.compile(r"\w+").match(code, at)
        name = word.group() if word else ""
        after = self.skip(word.end()) if word else at
        if name in ("case", "default"):
            colon = code.index(":", at)
            return self.add("case", at, colon + 1)
        if name and name not in ("return", "else") and code[after] == ":" and code[after + 1] != ":":
            return after + 1
        if name == "do":
            body = self.statement(after)
            return self.add("loop", at, self.to_semicolon(body))
        if name and code[after] == "(" and name != "return":
            close = self.close(after)
            follows = self.skip(close)
            loops = follows < self.end and (code[follows] == "{" or code[follows].isalpha())
            if name in ("if", "while", "for", "switch") or loops:
                cond = (after + 1, close - 1)
                end = self.statement(follows)
                if name == "if":
                    rest = self.skip(end)
                    if re.compile(r"else\b").match(code, rest):
                        end = self.statement(self.skip(rest + 4))
                kind = {"if": "if", "switch": "switch"}.get(name, "loop")
                return self.add(kind, at, end, cond)
        return self.add("return" if name == "return" else "plain", at, self.to_semicolon(at))


def replace(text, start, end, new):
    return text[:start] + new + text[end:]


def delete(text, node, what="deleted"):
    return Mutation(what, replace(text, node.start, node.end, ";"))


def of_ternary(text, code, start, end):
    """cond ? a : b, at the top of an expression: never a, never b."""
    mark = code.find("?", start, end)
    if mark < 0:
        return
    left = max(code.rfind(c, start, mark) for c in "=(,;")
    left = max(left + 1, start)
    if code[left:mark].count("(") == code[left:mark].count(")"):
        for value in "01":
            yield Mutation(f"condition of ?: is {value}", replace(text, left, mark, f" {value} "))


def of_node(text, code, node):
    """The mutations of one statement, the plainest first."""
    if node.kind in ("if", "loop") and node.cond:
        a, b = node.cond
        cond = text[a:b]
        if node.kind == "if":
            yield Mutation("if: never", replace(text, a, b, f"0 && ({cond})"))
            yield Mutation("if: always", replace(text, a, b, f"1 || ({cond})"))
        yield delete(text, node, "deleted with its body")
        if node.kind == "if":
            yield from of_operands(text, code, a, b)
    elif node.kind == "switch":
        yield delete(text, node, "switch deleted")
    elif node.kind == "case":
        yield Mutation("case does nothing", replace(text, node.end, node.end, " break;"))
        yield Mutation("case deleted", replace(text, node.start, node.end, ";"))
    elif node.kind == "return":
        value = text[node.start + 6:node.end - 1].strip()
        for new in ("0", "1", "-1", f"!({value})") if value else ():
            yield Mutation(f"returns {new if new in ('0', '1', '-1') else 'the opposite'}",
                           replace(text, node.start, node.end, f"return {new};"))
        yield from of_ternary(text, code, node.start + 6, node.end)
        yield from of_operands(text, code, node.start + 6, node.end - 1)
        yield delete(text, node)
    else:
        yield delete(text, node)
        yield from of_ternary(text, code, node.start, node.end)
        match = re.compile(r"[^=!<>]=(?!=)").search(code, node.start, node.end)
        if match:
            for new in ("0", "1"):
                yield Mutation(f"assigns {new}",
                               replace(text, match.end(), node.end, f" {new};"))
        yield from of_values(text, code, node.start, node.end)


def of_operands(text, code, start, end):
    """Each operand of && and || at the top of a condition: true, false."""
    depth, cuts = 0, [start]
    at = start
    while at < end:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(code[at], 0)
        if depth == 0 and code[at:at + 2] in ("&&", "||"):
            cuts += [at, at + 2]
            at += 1
        at += 1
    cuts.append(end)
    if len(cuts) > 2:
        for a, b in zip(cuts[::2], cuts[1::2]):
            for value in "01":
                yield Mutation(f"`{' '.join(text[a:b].split())}` is {value}",
                               replace(text, a, b, f" {value} "))


def of_values(text, code, start, end):
    """Numbers and truth values: changed."""
    swaps = {"true": "false", "false": "true"}
    for match in re.compile(r"\b(true|false|\d\w*)\b").finditer(code, start, end):
        word = match.group()
        news = [swaps[word]] if word in swaps else ["0", f"({word} + 1)", f"({word} * 2)"]
        for new in news:
            yield Mutation(f"{word} became {new}", replace(text, match.start(), match.end(), new))


def of_line(text, code, start, end):
    """A row of a table, an enumerator, a #define: deleted, or its values changed."""
    head = re.match(r"\s*#\s*define\s+\w+(\([^)]*\))?", code[start:end])
    if not head:
        yield Mutation("line deleted", replace(text, start, end, ""))
    yield from of_values(text, code, start + (head.end() if head else 0), end)


def of_function(text, function):
    """The whole function does nothing, or gives a constant."""
    plain = re.search(rf"\bvoid\s+{function.name}\s*\(", text[function.head:function.open])
    for value in ("",) if plain else (" 0", " 1", " -1"):
        yield Mutation(f"{function.name}() returns{value or ' at once'}",
                       replace(text, function.open + 1, function.open + 1, f" return{value};"))


def line_bounds(text, at):
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return start, len(text) if end < 0 else end


def mutations(text, place):
    """The mutations of the code that the comment of PLACE tags; last, its branch not taken."""
    yield from of_place(text, place)
    plain = csource.blank(text, directives=True)
    for function in csource.functions(text):
        if function.open < place.start < function.close:
            nodes = Statements(plain, function.open, function.close).nodes
            around = [n for n in nodes if n.kind == "if" and n.cond[1] < place.start < n.end]
            if around:
                yield next(of_node(text, plain, around[-1]))


def of_place(text, place):
    code = csource.blank(text)
    plain = csource.blank(text, directives=True)
    function = next((f for f in csource.functions(text) if f.name == place.name), None)
    start, end = line_bounds(text, place.start)
    trailing = bool(code[start:place.start].strip())
    if function and not function.open < place.start < function.close:
        yield from of_function(text, function)
        return
    if not function:
        if not trailing:
            start = place.end + len(code[place.end:]) - len(code[place.end:].lstrip())
            start, end = line_bounds(text, start)
        yield from of_line(text, code, start, end)
        return

    nodes = Statements(plain, function.open, function.close).nodes
    if trailing:
        on_line = [n for n in nodes if start <= n.start < place.start and n.kind != "block"]
        around = [n for n in nodes if n.start < start and n.end > place.start]
        if on_line:
            yield from of_node(text, plain, on_line[0])
            return
        if re.search(r"[{]\s*$", code[start:place.start]) or not code[start:place.start].strip("} "):
            trailing = False  # `} else { /* tag */`: what follows is meant
        elif around:
            yield from of_operand_line(text, code, start, place.start)
            yield from of_node(text, plain, around[-1])
            return
    after = [n for n in nodes if n.start >= place.end and n.kind != "block"]
    if after and not plain[place.end:after[0].start].strip(" \t\n{}"):
        blank_line = re.compile(r"\n[ \t]*\n").search(text, after[0].start)
        stop = blank_line.start() if blank_line else function.close
        yield from of_node(text, plain, after[0])
        for node in after[1:] if after[0].kind == "plain" else ():
            if node.kind != "plain" or node.start >= stop:
                break
            yield from of_node(text, plain, node)  # the comment stands above a paragraph
        return
    around = [n for n in nodes if n.start < place.start < n.end and n.kind != "block"]
    if around:
        below = place.end + len(code[place.end:]) - len(code[place.end:].lstrip())
        yield from of_operand_line(text, code, *line_bounds(text, below))
        yield from of_node(text, plain, around[-1])
    elif function:
        yield from of_function(text, function)


def of_operand_line(text, code, start, end):
    """A line that is one operand of a condition which goes over several lines; or a table row."""
    match = re.match(r"\s*(?:&&|\|\|)?\s*(.*?)\s*(?:&&|\|\||\?|:|,)?\s*$", code[start:end], re.S)
    operand = match.group(1)
    while operand.count(")") > operand.count("(") and operand.rstrip(" ;{").endswith(")"):
        operand = operand.rstrip(" ;{")[:-1]
    if operand and operand.count("(") == operand.count(")"):
        at = start + match.start(1)
        for value in "01":
            yield Mutation(f"`{operand.strip()}` is {value}",
                           replace(text, at, at + len(operand), value))
    if code[start:end].rstrip().endswith(","):
        yield Mutation("line deleted", replace(text, start, end, ""))


class Scratch:
    """The copy of the tree in which mutations are built."""

    def __init__(self, top):
        self.source, self.seconds = top, {}
        self.top = os.path.join(top, "out/mutate")
        for name in COPIED:
            path = os.path.join(top, name)
            if os.path.isdir(path):
                for file in csource.files(top, name, ends=()):
                    self.copy(file)
                self.prune(name)
            elif os.path.exists(path):
                self.copy(name)

    def copy(self, name):
        old, new = os.path.join(self.source, name), os.path.join(self.top, name)
        if not os.path.exists(new) or open(old, "rb").read() != open(new, "rb").read():
            os.makedirs(os.path.dirname(new), exist_ok=True)
            shutil.copyfile(old, new)

    def prune(self, folder):
        for file in csource.files(self.top, folder, ends=()):
            if not os.path.exists(os.path.join(self.source, file)):
                os.unlink(os.path.join(self.top, file))

    def write(self, path, text):
        with open(os.path.join(self.top, path), "w", encoding="utf-8") as file:
            file.write(text)

    def make(self, programs):
        """None when built, else what the compiler said."""
        run = subprocess.run(["make", "--no-print-directory", "-s", "-j2", "BUILD=debug",
                              "CFLAGS=" + CFLAGS] + programs, cwd=self.top, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT,
                             env={k: v for k, v in os.environ.items() if "MAKE" not in k})
        return run.stdout if run.returncode else None

    def failing(self, program):
        """Names of the cases that fail; {"*"} if the program does not come to its end."""
        env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
        limit = min(TEST_SECONDS, HANG * self.seconds.get(program, TEST_SECONDS) + 2)
        start = time.monotonic()
        try:
            run = subprocess.run([os.path.join(self.top, program)], cwd=self.top, env=env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"*"}
        self.seconds.setdefault(program, time.monotonic() - start)
        out = run.stdout.decode(errors="replace")
        failed = set(re.findall(r"^not ok \d+ - (\S+)", out, re.M))
        planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", out, re.M))
        ended = len(re.findall(r"^(?:not )?ok \d", out, re.M)) >= planned
        if run.returncode and (not failed or not ended):
            failed.add("*")
        return failed


class Trial:
    """All mutations of one requirement."""

    def __init__(self, scratch, one, code, tests):
        self.scratch, self.id = scratch, one
        self.code = [p for p in code if p.path.endswith((".c", ".h"))]
        self.programs = {}
        for place in tests:
            if os.path.basename(place.path).startswith("test_") and place.path.endswith(".c"):
                program = "out/debug/" + place.path[:-2]
                self.programs.setdefault(program, set()).add(place.name)

    def red(self, before):
        """The test that fails now and should, as text, or None."""
        for program, names in self.programs.items():
            now = self.scratch.failing(program) - before.get(program, set())
            hit = sorted(now & names)
            if hit:
                return f"{program[len('out/debug/tests/'):]}: {hit[0]}"
            if "*" in now:
                return f"{program[len('out/debug/tests/'):]}: aborts or hangs"
            cases = before["cases"].get(program, set())
            if now and not names & cases:
                return f"{program[len('out/debug/tests/'):]}: {sorted(now)[0]}"
        return None

    def run(self, before):
        """(place, mutation, test) of the first red, or (None, what was tried, None)."""
        tried = 0
        for place in self.code:
            text = csource.read(self.scratch.source, place.path)
            try:
                for count, mutation in enumerate(mutations(text, place)):
                    if count == MUTATIONS_MAX:
                        break
                    self.scratch.write(place.path, mutation.text)
                    if self.scratch.make(list(self.programs)):
                        continue
                    tried += 1
                    test = self.red(before)
                    if test:
                        return place, mutation.what, test
            finally:
                self.scratch.write(place.path, text)
        return None, f"{tried} mutations tried at {len(self.code)} places", None


def cases_of(top, program):
    """The names given to cmocka_unit_test...() in a test program's source."""
    text = csource.blank(csource.read(top, program[len("out/debug/"):] + ".c"))
    return set(re.findall(r"\bcmocka_unit_test\w*\s*\(\s*(\w+)", text)) | \
        set(re.findall(r"^static void (\w+)\(void \*\*", text, re.M))


def main(top, count, seed, ids):
    code = requirements.places(top, "src")
    tests = requirements.places(top, "tests")
    scratch = Scratch(top)
    trials = [Trial(scratch, r.id, code[r.id], tests[r.id]) for r in requirements.load(top)
              if r.id in code and r.id in tests]
    trials = [t for t in trials if t.code and t.programs]
    if ids:
        trials = [t for t in trials if t.id in ids]
        missing = set(ids) - {t.id for t in trials}
        if missing:
            sys.exit(f"rfc9293: without tagged code and test program: {' '.join(sorted(missing))}")
    elif count < len(trials):
        trials = random.Random(seed).sample(trials, count)

    programs = sorted({p for t in trials for p in t.programs})
    broken = scratch.make(programs)
    if broken:
        sys.exit("rfc9293: the tree does not build:\n" + broken)
    before = {p: scratch.failing(p) for p in programs}
    for program, failed in before.items():
        if failed:
            print(f"{program}: fails already: {' '.join(sorted(failed))}", file=sys.stderr)
    before["cases"] = {p: cases_of(top, p) for p in programs}

    print("| id | code | disabled by | test that fails |\n|---|---|---|---|", flush=True)
    green = []
    for trial in trials:
        place, what, test = trial.run(before)
        if test:
            print(f"| {trial.id} | {place.path}: {place.name} | {what} | {test} |", flush=True)
        else:
            green.append(trial.id)
            print(f"| {trial.id} | {trial.code[0].path}: {trial.code[0].name} | {what} | "
                  "**none** |", flush=True)
    print(f"\n{len(trials) - len(green)} of {len(trials)} turn red"
          + (f"; not red: {' '.join(green)}" if green else ""))
    return 1 if green else 0

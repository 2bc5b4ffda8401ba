# SPDX-License-Identifier: MIT
"""A program in a pseudo-terminal of a given size, and what stands on its screen: as much of an
xterm as ncurses asks of one (ECMA-48 cursor movement, erasing, SGR, scrolling, alternate screen)."""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

CSI = re.compile(r"\x1b\[([?>!]?)([\d;]*)([@-~])")
OTHER = re.compile(r"\x1b(?:[()][A-Z0-9]|\][^\x07]*\x07|[=>78MDEc])")


class Screen:
    """Cells, and for each the set of SGR numbers under which it was written."""

    def __init__(self, columns, lines):
        self.columns, self.lines = columns, lines
        self.attributes, self.saved, self.rest, self.last = frozenset(), (0, 0), "", " "
        self.alternate = self.cursor_shown = None
        self.unknown = []
        self.clear()

    def clear(self):
        self.cell = [[" "] * self.columns for _ in range(self.lines)]
        self.style = [[frozenset()] * self.columns for _ in range(self.lines)]
        self.x = self.y = 0
        self.top, self.bottom = 0, self.lines - 1

    def text(self):
        return ["".join(line).rstrip() for line in self.cell]

    def feed(self, data):
        data, at = self.rest + data, 0
        self.rest = ""
        while at < len(data):
            c = data[at]
            if c == "\x1b":
                match = CSI.match(data, at) or OTHER.match(data, at)
                if not match:
                    if len(data) - at < 32:
                        self.rest = data[at:]
                        return
                    self.unknown.append(data[at:at + 8])
                    at += 1
                    continue
                if match.re is CSI:
                    self.csi(*match.groups())
                elif match.group() == "\x1bM":
                    if self.y == self.top:
                        self.scroll(-1)
                    else:
                        self.y -= self.y > 0
                elif match.group() == "\x1b7":
                    self.saved = self.x, self.y
                elif match.group() == "\x1b8":
                    self.x, self.y = self.saved
                at = match.end()
                continue
            self.one(c)
            at += 1

    def one(self, c):
        if c == "\r":
            self.x = 0
        elif c == "\n":
            if self.y == self.bottom:
                self.scroll(1)
            else:
                self.y = min(self.y + 1, self.lines - 1)
        elif c == "\b":
            self.x -= self.x > 0
        elif c == "\t":
            self.x = min(self.x // 8 * 8 + 8, self.columns - 1)
        elif c >= " ":
            if self.x >= self.columns:
                self.x = 0
                self.one("\n")
            self.cell[self.y][self.x] = self.last = c
            self.style[self.y][self.x] = self.attributes
            self.x += 1

    def scroll(self, n):
        blank, plain = [" "] * self.columns, [frozenset()] * self.columns
        for _ in range(abs(n)):
            out, into = (self.top, self.bottom) if n > 0 else (self.bottom, self.top)
            for rows, new in (self.cell, blank), (self.style, plain):
                rows.pop(out)
                rows.insert(into, list(new))

    def blank(self, y, start, end):
        for x in range(start, min(end, self.columns)):
            self.cell[y][x], self.style[y][x] = " ", frozenset()

    def csi(self, private, numbers, final):
        n = [int(i) if i else 0 for i in numbers.split(";")]
        one = max(n[0], 1)
        x = min(self.x, self.columns - 1)
        if private == "?" and final in "hl":
            self.mode(n, final == "h")
        elif private:
            pass
        elif final in "Hf":
            self.y = min(one, self.lines) - 1
            self.x = min(max(n[1], 1) if len(n) > 1 else 1, self.columns) - 1
        elif final in "ABCD":
            self.y = min(max(self.y + {"A": -one, "B": one}.get(final, 0), 0), self.lines - 1)
            self.x = min(max(x + {"C": one, "D": -one}.get(final, 0), 0), self.columns - 1)
        elif final in "G`":
            self.x = min(one, self.columns) - 1
        elif final == "d":
            self.y = min(one, self.lines) - 1
        elif final == "J":
            rows = {0: range(self.y + 1, self.lines), 1: range(self.y)}.get(n[0], range(self.lines))
            for y in rows:
                self.blank(y, 0, self.columns)
            self.blank(self.y, *{0: (x, self.columns), 1: (0, x + 1)}.get(n[0], (0, self.columns)))
        elif final == "K":
            self.blank(self.y, *{0: (x, self.columns), 1: (0, x + 1)}.get(n[0], (0, self.columns)))
        elif final == "X":
            self.blank(self.y, x, x + one)
        elif final in "P@":
            for row, new in (self.cell[self.y], " "), (self.style[self.y], frozenset()):
                for _ in range(min(one, self.columns)):
                    row.pop(x if final == "P" else -1)
                    row.insert(self.columns if final == "P" else x, new)
        elif final in "LM":
            top, self.top = self.top, self.y
            self.scroll(one if final == "M" else -one)
            self.top = top
        elif final in "ST":
            self.scroll(one if final == "S" else -one)
        elif final == "r":
            self.top = one - 1
            self.bottom = (n[1] if len(n) > 1 and n[1] else self.lines) - 1
            self.x = self.y = 0
        elif final == "b":
            for _ in range(one):
                self.one(self.last)
        elif final == "m":
            self.sgr(n)
        elif final not in "hltcn":
            self.unknown.append(f"CSI {numbers}{final}")

    def mode(self, numbers, on):
        for n in numbers:
            if n == 1049:
                self.alternate = on
                self.clear()
            elif n == 25:
                self.cursor_shown = on

    def sgr(self, numbers):
        now = set(self.attributes)
        for n in numbers:
            if n == 0:
                now.clear()
            elif n == 39:
                now -= set(range(30, 38))
            elif n == 49:
                now -= set(range(40, 48))
            elif 22 <= n <= 29:
                now -= {n - 20, 1 if n == 22 else n - 20}
            else:
                now.add(n)
        self.attributes = frozenset(now)


class Terminal:
    def __init__(self, argv, columns=80, lines=24, user=None, **environment):
        self.screen = Screen(columns, lines)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = b""
        env = {k: v for k, v in os.environ.items()
               if k not in ("NO_COLOR", "COLUMNS", "LINES") and not k.startswith("LC_")}
        env.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"}, **environment)
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                time.sleep(0.05)  # the size is set meanwhile
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)
        self.size(columns, lines)
        self.cooked = termios.tcgetattr(self.fd)
        self.status = None

    def size(self, columns, lines):
        if (columns, lines) != (self.screen.columns, self.screen.lines):
            self.screen.__init__(columns, lines)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds):
        """What comes within so much time; False: the program is gone."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                return False
            self.raw += data
            self.screen.feed(self.decoder.decode(data))

    def until(self, what, seconds=10):
        """Waits until WHAT (a pattern, or a function of the lines) is on the screen."""
        if isinstance(what, str):
            pattern = re.compile(what, re.M)
            found = lambda lines: pattern.search("\n".join(lines))  # noqa: E731
        else:
            found = what
        end = time.monotonic() + seconds
        while True:
            result = found(self.screen.text())
            if result:
                return result
            gone = not self.read(0.05)
            if time.monotonic() > end or gone:
                result = found(self.screen.text())
                if result:
                    return result
                raise AssertionError(f"not seen: {what}{' (the program is gone)' if gone else ''}\n"
                                     + self.show())

    def show(self):
        return "\n".join(f"|{line}" for line in self.screen.text())

    def press(self, keys):
        names = {"UP": "\x1bOA", "DOWN": "\x1bOB", "RIGHT": "\x1bOC", "LEFT": "\x1bOD",
                 "PGUP": "\x1b[5~", "PGDN": "\x1b[6~", "ENTER": "\r", "ESC": "\x1b", "TAB": "\t"}
        os.write(self.fd, names.get(keys, keys).encode())

    def wait(self, seconds=10):
        """Exit status, or minus the signal."""
        end = time.monotonic() + seconds
        while self.status is None and time.monotonic() < end:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        while self.status is not None and select.select([self.fd], [], [], 0)[0] and self.read(0.05):
            pass
        assert self.status is not None, "does not end\n" + self.show()
        return self.status

    def is_cooked(self):
        """The terminal is as it was: modes, screen, cursor."""
        now = termios.tcgetattr(self.fd)
        return now[:4] == self.cooked[:4] and self.screen.alternate is False and \
            self.screen.cursor_shown is not False

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

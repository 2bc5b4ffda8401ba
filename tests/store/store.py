#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet record and couplet pair --store: two network namespaces that record as two hosts, to
SQLite and to a PostgreSQL server that this test starts, and what goes wrong with a store.

SOAK=1 joins 10^6 rows on both; without it 10^4.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

OUT = os.path.abspath(os.environ.get("OUT", "out/release"))
CHECK_OUT = os.path.abspath(os.environ.get("CHECK_OUT", OUT))
COUPLET = os.path.join(OUT, "couplet")
SOAK = bool(os.environ.get("SOAK"))
INSIDE = os.environ.get("STORE_INSIDE")  # "root" or "user", in the namespace
SCRATCH = os.environ.get("STORE_SCRATCH")
URL = os.environ.get("STORE_SERVER")  # of the server, without a database
SECRET = "s3cr3t"
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def scratch(name):
    return os.path.join(SCRATCH, name)


def couplet(*args, ok=True, status=None, timeout=60, prefix=(), **more):
    done = subprocess.run([*prefix, COUPLET, *args], text=True, capture_output=True,
                          timeout=timeout, stdin=subprocess.DEVNULL, **more)
    if status is not None:
        assert done.returncode == status, (f"{args}: {done.returncode}: {done.stderr}"
                                           f"{done.stdout[-300:]}")
    elif ok:
        assert done.returncode == 0, f"{args}: {done.returncode}: {done.stderr}"
    assert SECRET not in done.stdout + done.stderr, "a password was printed"
    return done


def eventually(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


# ---- PostgreSQL ---------------------------------------------------------------------------------

class Server:
    """One for all tests, in a directory of its own, reached by its socket only."""

    def __init__(self, directory):
        self.data, self.directory = os.path.join(directory, "data"), directory
        versions = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir(
            "/usr/lib/postgresql") else []
        self.bin = f"/usr/lib/postgresql/{versions[-1]}/bin" if versions else None
        self.up = False

    def run(self, program, *args, ok=True):
        argv = [os.path.join(self.bin, program), *args]
        if os.geteuid() == 0:  # the server refuses to be root
            argv = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *argv]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, cwd=self.directory)
        assert not ok or done.returncode == 0, done.stdout

    def create(self):
        if not self.bin:
            return
        os.mkdir(self.directory, 0o755)
        if os.geteuid() == 0:
            shutil.chown(self.directory, "nobody")
        self.run("initdb", "-D", self.data, "-A", "trust", "-N", "--no-locale", "-U", "couplet")
        self.start()

    def start(self):
        options = (f"-c listen_addresses='' -c fsync=off -c full_page_writes=off "
                   f"-c unix_socket_directories={self.directory} -c shared_buffers=256MB "
                   f"-c max_wal_size=4GB")
        # pg_ctl hands its output to the server: without a log it would be waited for.
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.directory, "log"), "-o",
                 options, "start")
        self.up = True

    def stop(self, mode="fast"):
        if self.up:
            self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop", ok=False)
        self.up = False

    @property
    def url(self):
        where = self.directory.replace("/", "%2F")
        return f"postgresql://couplet:{SECRET}@{where}/"


def database(name):
    """The URL of a new database."""
    if not URL:
        raise Skip("there is no PostgreSQL server in /usr/lib/postgresql")
    sql(URL + "postgres", f"CREATE DATABASE {name}")
    return URL + name


def sql(store, statement):
    """Rows of words: what psql or sqlite3 say."""
    if store.startswith("postgresql:"):
        argv = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, store]
    else:
        argv = ["sqlite3", "-cmd", ".timeout 5000", store, statement]
    done = subprocess.run(argv, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("|") for line in done.stdout.splitlines()]


def number(store, statement):
    return int(sql(store, statement)[0][0])


def samples(store, host="a"):
    """How many this host has recorded; 0 while there is no store yet."""
    with contextlib.suppress(AssertionError):
        return number(store, "SELECT count(*) FROM couplet_samples s JOIN couplet_runs r ON "
                      "r.id = s.run JOIN couplet_hosts h ON h.id = r.host "
                      f"WHERE h.name = '{host}'")
    return 0


def server(*command):
    """Asks the process outside, which is the server's user, to stop or start it."""
    with open(scratch("orders"), "w") as orders:
        orders.write(" ".join(command))
    with open(scratch("answers")) as answers:
        assert answers.read() == "done"


# ---- Two hosts ----------------------------------------------------------------------------------

HOSTS = {}


def on(host):
    """The words before a command that run it on a host."""
    return ["nsenter", "-t", str(HOSTS[host].pid), "-n", "--"] if host in HOSTS else []


def make_hosts():
    """a is where this test runs, b and c are others; b and a are linked, c is behind b."""
    for host in "b":
        HOSTS[host] = subprocess.Popen(["unshare", "-n", "sleep", "1000"],
                                       stdin=subprocess.DEVNULL)
    mine = os.readlink("/proc/self/ns/net")
    for child in HOSTS.values():
        eventually(lambda: os.readlink(f"/proc/{child.pid}/ns/net") != mine)
    setup = [
        (None, "ip link set lo up"),
        (None, f"ip link add va type veth peer name vb netns {HOSTS['b'].pid}"),
        (None, "ip addr add 10.9.0.1/24 dev va"),
        (None, "ip addr add 10.9.0.3/24 dev va"),
        (None, "ip link set va up"),
        ("b", "ip link set lo up"),
        ("b", "ip addr add 10.9.0.2/24 dev vb"),
        ("b", "ip link set vb up"),
    ]
    for host, command in setup:
        subprocess.run(on(host) + command.split(), check=True)
        subprocess.run(on(host) + ["sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"],
                       check=True)


# Accepts on 10.9.0.2, greets everyone, reads nothing; accepts more on a word from its input.
PEER = r"""
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.9.0.2", 7777))
s.listen(64)
held = []
print("ready", flush=True)
for line in sys.stdin:
    for i in range(int(line)):
        held.append(s.accept()[0])
        held[-1].send(b"hello")
    print("done", flush=True)
"""


class Peer:
    def __init__(self):
        self.child = subprocess.Popen([*on("b"), sys.executable, "-c", PEER], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdout.readline() == "ready\n"

    def call(self, n, address=("10.9.0.2", 7777)):
        calls = [socket.create_connection(address) for _ in range(n)]
        self.child.stdin.write(f"{n}\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == "done\n"
        for one in calls:
            assert one.recv(5) == b"hello"
        return calls


def lose(connection):
    """Its end is gone, and the RST that would have told the other end is lost."""
    subprocess.run("ip link set va down".split(), check=True)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    subprocess.run("ip link set va up".split(), check=True)


def record(store, host, *args):
    return subprocess.Popen([*on(host), COUPLET, "record", "-s", store, "--host", host, "--here",
                             *args], text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(recorder, status=0, timeout=30):
    out, err = recorder.communicate(timeout=timeout)
    assert status is None or recorder.returncode == status, f"{recorder.returncode}: {out}{err}"
    assert SECRET not in out + err, "a password was printed"
    return out, err


def looked_in_turn(store, after):
    """Of the runs after that number both hosts' last samples have one of the other's before them,
    and that has one of theirs before it: by the order in the store, for on a busy machine the
    samples of two recorders lie over each other."""
    with contextlib.suppress(AssertionError):
        return number(store, "SELECT count(DISTINCT x2.run) FROM couplet_samples x2 "
                      "JOIN couplet_samples y1 ON y1.position <= x2.after "
                      "JOIN couplet_samples x1 ON x1.position <= y1.after AND x1.run = x2.run "
                      f"WHERE y1.run <> x2.run AND x2.run > {after} AND y1.run > {after}") == 2
    return False


def runs(store):
    """The number of the last run; 0 while there is no store yet."""
    with contextlib.suppress(AssertionError):
        return number(store, "SELECT coalesce(max(id), 0) FROM couplet_runs")
    return 0


def record_both(*stores):
    """Both hosts at once, until both have looked after the other had, and again."""
    before = {store: runs(store) for store in stores}
    recorders = [record(store, host, "-e", "0.15") for store in stores for host in "ab"]
    eventually(lambda: all(looked_in_turn(*one) for one in before.items()))
    for recorder in recorders:
        recorder.send_signal(signal.SIGTERM)
    for recorder in recorders:
        finish(recorder)


def pairs(store, *args):
    """What couplet pair says of all connections."""
    return json.loads(couplet("pair", "--store", store, "--json", *args, ok=False).stdout)


def port(connection):
    return connection.getsockname()[1]


def by_port(document):
    """The pairs by the port of the end on 10.9.0.1 or 10.9.0.3."""
    found = {}
    for pair in document["pairs"]:
        for end in (pair["x"], pair["y"]):
            if end and end["local_addr"].startswith("10.9.0.2"):
                found.setdefault(end["remote_port"], pair)
            elif end and end["local_addr"].startswith("10.9.0."):
                found[end["local_port"]] = pair
    return found


def both_stores(name):
    stores = [scratch(name + ".db")]
    if URL:
        stores.append(database(name))
    return stores


# ---- Tests --------------------------------------------------------------------------------------

@test
def the_ends_of_two_hosts_are_joined_and_a_half_open_one_is_named(peer):
    healthy = peer.call(5)
    (lost,) = peer.call(1)
    healthy[0].send(b"x" * 5000)
    gone = port(lost)
    lose(lost)
    stores = both_stores("two")
    record_both(*stores)
    for store in stores:
        found = by_port(pairs(store))
        for one in healthy:
            pair = found[port(one)]
            assert pair["verdict"] == "ok", pair
            assert pair["paired_by"] == "address"
            assert pair["x"]["local_port"] == port(one), "the client comes first"
            assert {pair["x_where"], pair["y_where"]} == {"a", "b"}
        pair = found[gone]
        assert pair["verdict"] == "disagree", pair
        assert pair["y"] is None and pair["x_where"] == "b" and pair["y_where"] == "a"
        verdicts = [p["verdict"] for p in found.values()]
        assert verdicts.count("disagree") == 1, verdicts
        text = couplet("pair", "--store", store, status=1).stdout
        assert "disagree for good" in text and f"10.9.0.1:{gone}" in text, text
        # One of them, in full, by the grammar that is the same everywhere.
        text = couplet("pair", "--store", store, f"10.9.0.1:{port(healthy[0])}").stdout
        assert "recv_queue   5,000" in text and "\nOK" in text, text
        couplet("pair", "--store", store, "10.1.2.3", status=1)
    for one in healthy:
        one.close()


@test
def a_translated_connection_is_paired_by_its_sequence_numbers(peer):
    if INSIDE != "root":
        raise Skip("sequence numbers are told to root only")
    if not shutil.which("nft"):
        raise Skip("there is no nft")
    subprocess.run("ip route add 10.77.0.0/24 via 10.9.0.2".split(), check=True)
    subprocess.run(["nft", "add table ip t; add chain ip t o { type nat hook output priority -100 "
                    "; }; add rule ip t o ip daddr 10.77.0.9 dnat to 10.9.0.2"], check=True)
    calls = peer.call(3, ("10.77.0.9", 7777))
    stores = both_stores("nat")
    record_both(*stores)
    for store in stores:
        found = by_port(pairs(store))
        sources = {pair["source"] for one in found.values() for pair in (one["x"],)}
        if sources == {"kernel"}:
            raise Skip("the kernel tells sequence numbers by BPF only, which is refused here")
        for one in calls:
            pair = found[port(one)]
            assert pair["paired_by"] == "sequence", pair
            assert pair["verdict"] == "ok", pair
            assert pair["x"]["remote_addr"] == "10.77.0.9"
            assert pair["y"]["local_addr"] == "10.9.0.2"
    subprocess.run(["nft", "delete table ip t"], check=True)
    for one in calls:
        one.close()


@test
def what_is_in_a_store_is_listed(peer):
    store = scratch("listed.db")
    for host in "ab":
        finish(record(store, host, "-e", "0.2", "-f", "0.2"))
    done = couplet("record", "-s", store, "--list")
    assert re.search(r"^a +20\d\d-\d\d-\d\d .* +\d+ +\d+ +200\.0 ms", done.stdout, re.M), done
    listed = json.loads(couplet("record", "-s", store, "-l", "--json").stdout)
    assert [h["host"] for h in listed["hosts"]] == ["a", "b"]
    for h in listed["hosts"]:
        assert h["samples"] == number(store, "SELECT count(*) FROM couplet_samples s JOIN "
                                      "couplet_runs r ON r.id = s.run JOIN couplet_hosts h ON "
                                      f"h.id = r.host WHERE h.name = '{h['host']}'")
        assert h["rows"] > 0 and h["whole"] and h["dropped"] == 0
    assert listed["bytes"] == os.path.getsize(store)


@test
def an_end_that_stands_still_gets_no_new_row(peer):
    calls = peer.call(3)
    store = scratch("still.db")
    time.sleep(0.3)  # delayed ACKs are sent
    recorder = record(store, "a", "-e", "0.1")
    eventually(lambda: samples(store) >= 5)
    recorder.send_signal(signal.SIGTERM)
    finish(recorder)
    for one in calls:
        # On a busy machine a clock may be read late once.
        assert number(store, "SELECT count(*) FROM couplet_ends WHERE local_port = "
                      f"{port(one)}") <= 2
        one.close()


@test
def a_limit_leaves_rows_out_and_says_so(peer):
    calls = peer.call(20)
    store = scratch("limit.db")
    out, err = finish(record(store, "a", "-e", "1", "-f", "0", "--limit", "8"), status=1)
    assert re.search(r"rows of this sample were left out: more than --limit 8 a second", err), err
    assert number(store, "SELECT count(*) FROM couplet_ends") == 8
    seen, dropped, hidden = map(int, sql(store, "SELECT seen, dropped, hidden FROM "
                                         "couplet_samples")[0])
    assert seen >= 20 and dropped == seen - 8 and hidden == seen - 8
    assert "rows left out" in couplet("record", "-s", store, "-l").stdout
    for one in calls:
        one.close()


@test
def what_is_too_old_is_deleted(peer):
    calls = peer.call(3)
    stores = both_stores("keep")
    others = [record(store, "b", "-e", "0.2", "-f", "0") for store in stores]
    recorders = [record(store, "a", "-e", "0.05", "-k", "0.3") for store in stores]
    for other in others:
        finish(other)
    for store, recorder in zip(stores, recorders):
        eventually(lambda: samples(store) and number(
            store, "SELECT count(*) FROM couplet_samples WHERE id < 4") <= 1)
        recorder.send_signal(signal.SIGTERM)
        out, err = finish(recorder)
        deleted = re.search(r"(\S+) samples, (\S+) rows .* (\S+) old rows? deleted", out)
        assert deleted, out
        taken, written, gone = (int(word.replace(",", "")) for word in deleted.groups())
        assert samples(store, "b") == 1, "another host's are left alone"
        assert 1 <= samples(store) < taken, f"{samples(store)} of {taken}"
        assert number(store, "SELECT count(*) FROM couplet_ends e JOIN couplet_samples s ON "
                      "s.id = e.sample JOIN couplet_runs r ON r.id = s.run JOIN couplet_hosts h "
                      "ON h.id = r.host WHERE h.name = 'a'") == written - gone
    for one in calls:
        one.close()
        assert number(store, "SELECT count(*) FROM couplet_ends WHERE sample NOT IN "
                      "(SELECT id FROM couplet_samples)") == 0


@test
def a_recorder_that_is_killed_leaves_a_sane_store(peer):
    calls = peer.call(10)
    for store in both_stores("killed"):
        for _ in range(2):
            recorder = record(store, "a", "-e", "0.01")
            before = samples(store)
            eventually(lambda: samples(store) > before)
            recorder.kill()
            recorder.wait()
        finish(record(store, "a", "-e", "0.1", "-f", "0.3"))
        bad = number(store, "SELECT count(*) FROM couplet_ends WHERE sample NOT IN "
                     "(SELECT id FROM couplet_samples)")
        assert bad == 0
        assert number(store, "SELECT count(DISTINCT position) FROM couplet_samples") == number(
            store, "SELECT count(*) FROM couplet_samples")
        if not store.startswith("postgresql:"):
            assert sql(store, "PRAGMA integrity_check") == [["ok"]]
    for one in calls:
        one.close()


@test
def a_server_that_goes_away_is_waited_for(peer):
    store = database("restart")
    recorder = record(store, "a", "-e", "0.1")
    eventually(lambda: samples(store) >= 2)
    server("stop", "immediate")
    time.sleep(0.3)
    server("start")
    stored = number(store, "SELECT max(id) FROM couplet_samples")
    eventually(lambda: number(store, "SELECT max(id) FROM couplet_samples") >= stored + 2)
    recorder.send_signal(signal.SIGINT)
    out, err = finish(recorder, status=1)
    missed = number(store, "SELECT CAST(sum(missed) AS bigint) FROM couplet_samples")
    assert missed >= 1, "nothing was missed"
    assert f"{missed} sample" in err and "could not be stored" in err, err
    assert err.count("trying again") == 1 and err.count("works again") == 1, err


@test
def a_file_that_is_taken_away_is_made_anew(peer):
    calls = peer.call(3)
    store = scratch("taken.db")
    recorder = record(store, "a", "-e", "0.2")
    eventually(lambda: samples(store) >= 2)
    os.rename(store, scratch("elsewhere.db"))
    eventually(lambda: os.path.exists(store) and samples(store) >= 2)
    recorder.send_signal(signal.SIGTERM)
    out, err = finish(recorder, status=None)
    assert "the file was moved or deleted; trying again" in err and "works again" in err, err
    # All of it is there, not only what has changed since.
    assert number(store, "SELECT count(*) FROM couplet_ends WHERE remote_port = 7777") >= 3
    assert number(store, "SELECT hidden FROM couplet_samples ORDER BY id DESC LIMIT 1") == 0
    for one in calls:
        one.close()


@test
def a_store_that_cannot_be_used_is_refused_with_a_sentence(peer):
    os.mkdir(scratch("closed"), 0o500)
    user = [] if INSIDE == "user" else ["setpriv", "--reuid", "nobody", "--clear-groups"]
    for where, said in (
            (scratch("no/such/directory.db"), "No such file or directory"),
            ("mysql://me@host/db", "mysql:// is not known"),
            ("", "the store: it has no name"),
            (f"postgresql://me:{SECRET}@127.0.0.1:1/db", "Connection refused"),
            (f"postgresql://me:{SECRET}%zz@host/db", "the URL is not understood"),
            (f"postgresql://me:{SECRET}@/db?host={SECRET.lower()}%2Fx&nonsense=1", "URL"),
            (__file__, "no SQLite database")):
        for args in (["record", "-f", "0", "-s", where], ["pair", "--store", where]):
            done = couplet(*args, status=3)
            assert said in done.stderr or "could not translate" in done.stderr, done.stderr
            assert done.stderr.count("\n") == 1 and not done.stdout, done
    if user:
        done = couplet("record", "-f", "0", "-s", scratch("closed/x.db"), status=3, prefix=user)
        assert "cannot be opened for writing: Permission denied" in done.stderr, done.stderr
    store = scratch("newer.db")
    finish(record(store, "a", "-f", "0"))
    sql(store, "UPDATE couplet_schema SET version = 99")
    done = couplet("record", "-f", "0", "-s", store, status=3)
    assert "a newer couplet made it (version 99" in done.stderr, done.stderr
    if URL:
        done = couplet("pair", "--store", URL + "nowhere", status=3)
        assert 'database "nowhere" does not exist' in done.stderr, done.stderr


@test
def words_that_make_no_sense_are_refused(peer):
    for args in (["record", "-e", "0"], ["record", "-f", "x"], ["record", "-k", "3"],
                 ["record", "--limit", "-1"], ["record", "--host", ""], ["record", "--json"],
                 ["record", "-l", ":80"], ["record", "#3"], ["record", "--frob"],
                 ["pair", "--at", "-5m", ":80"], ["pair", "--store", "x.db", "--at", "noon"]):
        done = couplet(*args, status=2)
        assert done.stderr.startswith("couplet "), done


@test
def a_look_at_the_past_shows_the_past(peer):
    (one,) = peer.call(1)
    store = scratch("past.db")
    record_both(store)
    then = number(store, "SELECT max(time) FROM couplet_samples") // 1000000000 + 1
    time.sleep(max(0, then + 0.1 - time.time()))
    gone = port(one)
    one.close()
    record_both(store)
    past = by_port(pairs(store, "--at", f"@{then}"))
    assert past[gone]["x"]["state"] == "ESTABLISHED", past[gone]
    assert by_port(pairs(store)).get(gone, {"x": {"state": ""}})["x"]["state"] != "ESTABLISHED"
    done = couplet("pair", "--store", store, "--at", "2001-01-01 00:00", status=3)
    assert "no host recorded anything shortly before that time" in done.stderr


@test
def the_tests_of_the_store_hold_on_postgresql(peer):
    """The C tests, which use SQLite by themselves."""
    env = dict(os.environ, STORE_URL=database("tests"), CMOCKA_MESSAGE_OUTPUT="TAP")
    for name, least in (("test_store", 10), ("test_store_trouble", 2)):
        done = subprocess.run([os.path.join(CHECK_OUT, "tests/source", name)], env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:]
        assert done.stdout.count("\nok ") >= least, done.stdout


@test
def many_rows_of_two_hosts_are_joined(peer):
    rows = 1000000 if SOAK else 10000
    stores = {"SQLite": None}
    if URL:
        stores["PostgreSQL"] = database("many")
    for name, url in stores.items():
        where = url or scratch("many.db")
        env = dict(os.environ, STORE_ROWS=str(rows))
        env["STORE_URL" if url else "STORE_FILE"] = where
        done = subprocess.run([os.path.join(OUT if SOAK else CHECK_OUT,
                                            "tests/source/test_store_join")],
                              env=env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=1200)
        assert done.returncode == 0, done.stdout[-3000:]
        for line in done.stdout.splitlines():
            if "rows" in line:
                print(line if line.startswith("#") else "# " + line)
        start = time.monotonic()
        done = couplet("pair", "--store", where, "--at", "@1700000002", timeout=600)
        print(f"# {name}: joined, compared and shown by couplet pair --store in "
              f"{time.monotonic() - start:.2f} s")
        joined = rows // 2 * 99 // 100
        assert f"{joined:,} connections: {joined:,} OK" in done.stdout, done.stdout[-500:]


# ---- Running ------------------------------------------------------------------------------------

def inside():
    make_hosts()
    peer = Peer()
    wanted = sys.argv[1:]
    tests = [t for t in TESTS if not wanted or any(w in t.__name__ for w in wanted)]
    failed = 0
    print(f"1..{len(tests)}")
    for n, function in enumerate(tests, 1):
        name = function.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            function(peer)
            print(f"# {time.monotonic() - start:.1f} s")
            print(f"ok {n} {name}")
        except Skip as reason:
            print(f"ok {n} {name} # SKIP {reason}")
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"not ok {n} {name}")
        sys.stdout.flush()
    peer.child.kill()
    for child in HOSTS.values():
        child.kill()
    return 1 if failed else 0


def serve_orders(child, postgresql):
    """Stops and starts the server when the tests inside say so."""
    while child.poll() is None:
        with open(scratch("orders")) as orders:
            words = orders.read().split()
        if words and words[0] == "end":
            break
        if words and words[0] == "stop":
            postgresql.stop(words[1])
        elif words:
            postgresql.start()
        with open(scratch("answers"), "w") as answers:
            answers.write("done")


def outside():
    global SCRATCH
    root = os.geteuid() == 0
    enter = ["unshare", "--net", "--mount"] + ([] if root else ["--user", "--map-root-user"])
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        print("1..0 # SKIP no namespace may be made here")
        return 0
    SCRATCH = tempfile.mkdtemp(prefix="couplet-store-")
    os.chmod(SCRATCH, 0o755)
    postgresql = Server(scratch("server"))
    try:
        postgresql.create()
        os.mkfifo(scratch("orders"))
        os.mkfifo(scratch("answers"))
        env = dict(os.environ, STORE_INSIDE="root" if root else "user", STORE_SCRATCH=SCRATCH)
        if postgresql.up:
            env["STORE_SERVER"] = postgresql.url
        # When the tests are over they say so, too: nobody waits for an order that never comes.
        child = subprocess.Popen([*enter, "sh", "-c", '"$0" "$@"; s=$?; echo end >"' +
                                  scratch("orders") + '"; exit $s', sys.executable, __file__,
                                  *sys.argv[1:]], env=env)
        serve_orders(child, postgresql)
        return child.wait()
    finally:
        postgresql.stop("immediate")
        shutil.rmtree(SCRATCH, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(inside() if INSIDE else outside())

#!/usr/bin/python3
"""Compares what scanners/bolt*.c say of damaged databases with what a real
containerd does with them.

usage: bolt_agreement.py [--every N] [--only PATTERN] [--jobs N] [--chroot DIR] ROOT VERDICT

ROOT is the data root of a containerd that was stopped, VERDICT the program
tests/helpers/bolt-verdict. Each case damages one of the two databases in a copy
of ROOT, asks VERDICT, starts containerd on it and puts it to use: CRI's lists
compared with the undamaged ones, a lease, a snapshot and a garbage collection.

Prints a line a case (outcome, verdict, what was found, file, kind of damage)
and the table of outcomes by verdict. --every N takes every N-th page only.
With --chroot containerd is that of a tree in which $TMPDIR has the same path.
To be run in namespaces of its own (mount, net, pid).
"""

import argparse
import collections
import fnmatch
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

import cri
from damage import Database, PAGE, HEADER, ROOT_AT, fnv1a, damage

META = "io.containerd.metadata.v1.bolt/meta.db"
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs/metadata.db"
FREELIST_AT, HIGH_WATER_AT = 32, 40
START_TIMEOUT = 20      # s
ANSWER_TIMEOUT = 6      # s until a containerd that is READY counts as hung
MEMORY = 2 << 30        # bytes
PATIENCE = 10           # times as long, before a disagreement is believed
CONFIG = """
version = 2
root = "{0}/root"
state = "{0}/state"
oom_score = 0
[grpc]
  address = "{0}/sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{0}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "test.local/pause:1"
  restrict_oom_score_adj = true
  disable_cgroup = true
  disable_apparmor = true
"""


# ---- damage -----------------------------------------------------------------

class Target(Database):
    def newest_field(self, at):
        return self.field(self.newest(), at)

    def pages(self):
        return len(self.data) // PAGE

    def set_both(self, at, value):
        for which in 0, 1:
            start = self.meta(which)
            self.data[start + at:start + at + 8] = value.to_bytes(8, "little")
            self.data[start + 56:start + 64] = fnv1a(self.data[start:start + 56]).to_bytes(8, "little")

    def noise(self, first, count=1):
        self.fill(first, count, random.Random(first).randbytes(count * PAGE))

    def cut(self, size):
        del self.data[size:]

    def freelist(self):
        return self.newest_field(FREELIST_AT)

    def own_page_in_freelist(self):
        start = self.freelist() * PAGE
        count = int.from_bytes(self.data[start + 10:start + 12], "little")
        at = start + HEADER + 8 * (count - 1)
        self.data[at:at + 8] = self.root_page().to_bytes(8, "little")

    def garbage_elements(self):
        start = self.root_page() * PAGE + HEADER
        self.data[start:start + PAGE - HEADER] = random.Random(2).randbytes(PAGE - HEADER)


    def replace(self, old, new):
        """Everywhere: a value lies right behind its key."""
        self.data[:] = self.data.replace(old, new)


KINDS = {
    "none": lambda t: None,
    "meta-random": lambda t: t.noise(0, 2),
    "meta-root-range": lambda t: t.set_both(ROOT_AT, 9999),
    "meta-freelist-range": lambda t: t.set_both(FREELIST_AT, 9999),
    "meta-high-water": lambda t: t.set_both(HIGH_WATER_AT, t.root_page()),
    "cut-1-page": lambda t: t.cut(PAGE),
    "cut-2-pages": lambda t: t.cut(2 * PAGE),
    "cut-100-bytes": lambda t: t.cut(100),
    "cut-at-root": lambda t: t.cut(t.root_page() * PAGE),
    "cut-1-byte": lambda t: t.cut(t.newest_field(HIGH_WATER_AT) * PAGE - 1),
    "freelist-zero": lambda t: t.fill(t.freelist(), 1),
    "freelist-random": lambda t: t.noise(t.freelist()),
    "freelist-own-page": lambda t: t.own_page_in_freelist(),
    "root-elements": lambda t: t.garbage_elements(),
    "data-random": lambda t: t.noise(2, t.pages() - 2),
    "all-zero": lambda t: t.fill(0, t.pages()),
    "value-time": lambda t: t.replace(b"createdat\1", b"createdat\x09"),
    "value-spec": lambda t: t.replace(b"spec\n", b"spec\xff"),
    "value-json": lambda t: t.replace(b'{"Version":"v1"', b'{"Version";"v1"'),
    "value-digest": lambda t: t.replace(b"digestsha256:", b"digestsha256;"),
}
SHARED_KINDS = ("meta-zero", "meta-checksum", "meta-version", "meta-newest", "root-zero",
                "root-random", "data-zero", "truncated", "empty", "text")


def damage_file(path, kind):
    if kind in ("absent", "directory"):
        os.unlink(path)
        if kind == "directory":
            os.mkdir(path)
        return
    with open(path, "r+b") as file:
        target = Target(file.read())
        name, _, page = kind.partition(":")
        if name == "page-random":
            target.noise(int(page))
        elif kind in KINDS:
            KINDS[kind](target)
        else:
            damage(kind, target)
        file.seek(0)
        file.write(target.data)
        file.truncate()


def cases(root, every):
    """(file, kind) of every damage; of the pages those in use by turns."""
    for file in META, SNAPSHOTTER:
        with open(os.path.join(root, file), "rb") as stream:
            target = Target(stream.read())
        kinds = list(KINDS) + list(SHARED_KINDS) + ["absent", "directory"]
        if target.freelist() >= target.pages():
            kinds = [kind for kind in kinds if not kind.startswith("freelist")]
        for kind in kinds:
            yield file, kind
        pages = range(2, target.newest_field(HIGH_WATER_AT))
        for page in pages[::every]:
            yield file, f"page-zero:{page}"
        for page in pages[every // 2::every]:
            yield file, f"page-random:{page}"


# ---- a real containerd ------------------------------------------------------

class Containerd:
    """One start on a copy of a data root; use as a context."""

    def __init__(self, root, chroot):
        self.chroot = chroot
        self.dir = tempfile.mkdtemp(prefix="agree.")
        subprocess.run(["cp", "-a", root, self.dir + "/root"], check=True)
        os.makedirs(self.dir + "/state")
        with open(self.dir + "/config.toml", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(self.dir))
        self.process = None
        self.log = self.dir + "/log"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and not self.exited():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        subprocess.run(["umount", "-R", "-q", self.dir + "/root"], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, file):
        return os.path.join(self.dir, "root", file)

    def start(self):
        with open(self.log, "wb") as log:
            # Some damage makes it take memory without end, faster than it is waited for.
            self.process = subprocess.Popen(["prlimit", f"--data={MEMORY}", "chroot", self.chroot, "containerd", "-c",
                                             self.dir + "/config.toml"], stderr=log,
                                            stdout=log, start_new_session=True,
                                            env={"PATH": os.environ["PATH"]})

    def exited(self):
        return self.process.poll() is not None

    def said(self, text):
        with open(self.log, "rb") as log:
            return text.encode() in log.read()

    def until(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.exited():
            if condition():
                return True
            time.sleep(0.02)
        return not self.exited() and condition()


class Hung(Exception):
    pass


class Degraded(Exception):
    pass


def canonical(value):
    """Maps are sent in any order, also inside a message."""
    return bytes(sorted(value)) if isinstance(value, bytes) else b"%d" % value


class User:
    """Puts a containerd that is READY to use."""

    def __init__(self, containerd, answer_timeout=ANSWER_TIMEOUT):
        self.containerd = containerd
        self.answer_timeout = answer_timeout
        self.channel = grpc.insecure_channel("unix://" + containerd.dir + "/sock")

    def call(self, method, request, stream=False, namespace="k8s.io", lease=None):
        make = self.channel.unary_stream if stream else self.channel.unary_unary
        call = make(method, request_serializer=cri.encode, response_deserializer=cri.Message)
        headers = [("containerd-namespace", namespace)]
        if lease:
            headers.append(("containerd-lease", lease))
        try:
            answer = call(request, timeout=self.answer_timeout, metadata=headers)
            return list(answer) if stream else answer
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Hung(method) from error
            raise Degraded(f"{method}: {error.code().name}: {error.details()}") from error

    def cri(self, service, method):
        deadline = time.monotonic() + self.answer_timeout
        while True:
            try:
                return self.call(f"/runtime.v1.{service}/{method}", {})
            except Degraded as error:
                if "not initialized" not in str(error) or self.containerd.exited():
                    raise
                if time.monotonic() > deadline:
                    raise Hung("not initialized") from error
                time.sleep(0.05)

    def records(self, namespace):
        """Every record of a namespace. CRI touches its images at every start."""
        services = "/containerd.services."
        found = []
        for method, updated_at, request, stream in (
                ("images.v1.Images/List", 8, {}, False),
                ("containers.v1.Containers/List", 9, {}, False),
                ("leases.v1.Leases/List", None, {}, False),
                ("content.v1.Content/List", 4, {}, True),
                ("snapshots.v1.Snapshots/List", 5, {1: "overlayfs"}, True)):
            answer = self.call(services + method, request, stream, namespace)
            for part in answer if stream else [answer]:
                found += [(method, [(field, sorted(map(canonical, values)))
                                    for field, values in sorted(record.fields.items())
                                    if field != updated_at])
                          for record in part.messages(1)]
        return sorted(found)

    def everything(self):
        lists = [sorted(item.text(1) for item in self.cri(service, method).messages(1))
                 for service, method in (("RuntimeService", "ListPodSandbox"),
                                         ("RuntimeService", "ListContainers"),
                                         ("ImageService", "ListImages"))]
        namespaces = self.call("/containerd.services.namespaces.v1.Namespaces/List", {})
        return lists + [self.records(ns.text(1)) for ns in namespaces.messages(1)]

    def work(self):
        service = "/containerd.services.snapshots.v1.Snapshots/"
        leases = "/containerd.services.leases.v1.Leases/"
        self.call(leases + "Create", {1: "agreement"})
        self.call(service + "Prepare", {1: "overlayfs", 2: "agreement"}, lease="agreement")
        self.call(service + "Remove", {1: "overlayfs", 2: "agreement"})
        self.call(leases + "Delete", {1: "agreement", 2: 1})    # collects garbage


def use(containerd, expected, patience=1):
    """What becomes of a containerd: exit, hang, degraded, lost, fine."""
    containerd.start()
    booted = lambda: containerd.said("containerd successfully booted")
    if not containerd.until(booted, START_TIMEOUT * patience):
        return ("exit", str(containerd.process.poll())) if containerd.exited() else ("hang", "before READY")
    user = User(containerd, ANSWER_TIMEOUT * patience)
    try:
        before = user.everything()
        user.work()
        after = user.everything()
    except Hung as error:
        return ("exit", "when used") if containerd.exited() else ("hang", str(error))
    except Degraded as error:
        time.sleep(0.1)
        return ("exit", "when used") if containerd.exited() else ("degraded", str(error))
    if containerd.until(lambda: False, 0.2) or containerd.exited():
        return "exit", "when used"
    if expected and (before != expected or after != expected):
        return "lost", "lists differ"
    for complaint in ("snapshot garbage collection failed", "Failed to sync snapshot stats",
                      "Failed to load"):
        if containerd.said(complaint):
            return "degraded", complaint
    return "fine", ""


# ---- the comparison ---------------------------------------------------------

def run_case(options, expected, file, kind, patience=1):
    with Containerd(options.root, options.chroot) as containerd:
        damage_file(containerd.path(file), kind)
        verdict = subprocess.run([options.verdict, containerd.dir + "/root"], check=True,
                                 capture_output=True, text=True).stdout
        fields = dict(line.split("\t", 1) for line in verdict.splitlines())
        state, _, found = fields[os.path.basename(file)].partition("\t")
        outcome, detail = use(containerd, expected, patience)
        if options.keep:
            shutil.copy(containerd.log, f"{options.keep}/{os.path.basename(file)}-{kind}.log")
    # On a machine that is busy with other tests every answer takes its time.
    if (outcome, state, patience) == ("hang", "sound", 1):
        return run_case(options, expected, file, kind, PATIENCE)
    return outcome, state, found, os.path.basename(file), kind, detail


def baseline(options):
    with Containerd(options.root, options.chroot) as containerd:
        outcome, detail = use(containerd, None)
        if outcome != "fine":
            sys.exit(f"the undamaged root: {outcome} {detail}")
        return User(containerd).everything()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="*")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--chroot", default="/")
    parser.add_argument("--keep", help="directory for containerd's logs")
    parser.add_argument("root")
    parser.add_argument("verdict")
    options = parser.parse_args()

    expected = baseline(options)
    todo = [(file, kind) for file, kind in cases(options.root, options.every)
            if fnmatch.fnmatch(f"{os.path.basename(file)}:{kind}", options.only)]
    table = collections.Counter()
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda case: run_case(options, expected, *case), todo):
            print(*result, sep="\t", flush=True)
            table[result[1], result[0]] += 1
    for (state, outcome), count in sorted(table.items()):
        print(f"table\t{state}\t{outcome}\t{count}")


if __name__ == "__main__":
    main()

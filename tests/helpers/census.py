#!/usr/bin/python3
"""Counts what pods have on a node, seen from outside.

usage: census.py [--save FILE | --left-of FILE | --names] PID

PID is the node's PID 1. Prints "KIND COUNT" of each kind, sorted.
  --save FILE     also writes what was counted, by name
  --left-of FILE  counts only what FILE names: what is left of that moment
  --names         prints the names instead
"""

import argparse
import json
import os
import re
import subprocess

STATE = "run/containerd"
DATA = "var/lib/containerd"
TASKS = "io.containerd.runtime.v2.task"
CRI = "io.containerd.grpc.v1.cri"


class Node:
    def __init__(self, pid):
        self.pid = pid
        self.root = f"/proc/{pid}/root"

    def list(self, *path):
        """Names in a directory of the node; none if there is no such directory."""
        try:
            return os.listdir(os.path.join(self.root, *path))
        except OSError:
            return []

    def list_two(self, *path):
        """The same two levels deep, "A/B"."""
        return [f"{a}/{b}" for a in self.list(*path) for b in self.list(*path, a)]

    def read(self, *path):
        try:
            with open(os.path.join(self.root, *path), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def net(self, *command):
        return subprocess.run(["nsenter", "-t", str(self.pid), "-n", *command],
                              check=True, capture_output=True, text=True).stdout

    def mounts(self):
        """(type, target) of each mount"""
        for line in self.read("proc/1/mountinfo").splitlines():
            left, right = line.split(" - ")
            yield right.split()[0], left.split()[4]

    def processes(self):
        """(is in a container, "PID@START", command line)"""
        for pid in filter(str.isdigit, self.list("proc")):
            stat = self.read("proc", pid, "stat").rpartition(")")[2].split()
            status = self.read("proc", pid, "status")
            ns_pids = re.search(r"^NSpid:(.*)", status, re.M)
            if not stat or not ns_pids:
                continue
            command = self.read("proc", pid, "cmdline").split("\0")
            yield len(ns_pids[1].split()) > 1, f"{pid}@{stat[19]}", command

    def cgroups(self):
        for line in self.read("proc/1/cgroup").splitlines():
            if line.startswith("0::"):
                for path, _, _ in os.walk(cgroup_mount() + line[3:].rpartition("/")[0]):
                    yield path


def cgroup_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return next(line.split()[4] for line in file if " - cgroup2 " in line)


def take(node):
    """{kind: [names]}"""
    mounts = list(node.mounts())
    processes = list(node.processes())
    links = json.loads(node.net("ip", "-json", "link", "show", "type", "veth") or "[]")
    rules = node.net("iptables-save").splitlines() + node.net("ip6tables-save").splitlines()
    networks = [name for name in node.list_two("var/lib/cni/networks")
                if not re.search(r"/(lock|last_reserved_ip\.\d+)$", name)]
    return {
        "shims": [command[command.index("-id") + 1] for _, _, command in processes
                  if "containerd-shim" in command[0] and "-id" in command],
        "containers": [name for inside, name, _ in processes if inside],
        "overlays": [path for kind, path in mounts if kind == "overlay" and "/rootfs" in path],
        "shms": [path for kind, path in mounts if kind == "tmpfs" and path.endswith("/shm")
                 and path != "/dev/shm"],
        "netns": sorted({path for kind, path in mounts if kind == "nsfs"} |
                        {"/run/netns/" + name for name in node.list("run/netns")}),
        "veths": [link["ifname"] for link in links],
        "reservations": [f"{name}={node.read('var/lib/cni/networks', name).split()[0]}"
                         for name in networks],
        "cache": node.list("var/lib/cni/results"),
        "rules": [rule for rule in rules if re.search(r"CNI-DN-|CNI-[0-9a-f]{24}", rule)],
        "sockets": node.list(STATE, "s"),
        "bundles": node.list_two(STATE, TASKS),
        "aside": [name for name in node.list(STATE) if name.startswith(".containerd-recover")],
        "runc": node.list_two(STATE, "runc"),
        "state-pods": node.list(STATE, CRI, "sandboxes"),
        "root-pods": node.list(DATA, CRI, "sandboxes"),
        "cgroups": [path for path in node.cgroups() if re.search(r"/[^/]*[0-9a-f]{64}[^/]*$", path)],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--save")
    parser.add_argument("--left-of")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("pid", type=int)
    options = parser.parse_args()

    census = take(Node(options.pid))
    if options.save:
        with open(options.save, "w", encoding="utf-8") as file:
            json.dump(census, file)
    if options.left_of:
        with open(options.left_of, encoding="utf-8") as file:
            before = json.load(file)
        census = {kind: sorted(set(names) & set(before[kind])) for kind, names in census.items()}
    for kind, names in sorted(census.items()):
        if options.names:
            for name in sorted(names):
                print(kind, name)
        else:
            print(kind, len(names))


if __name__ == "__main__":
    main()

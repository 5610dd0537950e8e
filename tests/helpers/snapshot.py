#!/usr/bin/python3
"""Writes down a node's state so that two moments can be compared with diff.

usage: snapshot.py --pid PID [--without KIND]... [--skip PATH]... [PATH...]

PID is the node's PID 1. Without PATHs: containerd's root and state, CNI's
directories, the quarantine and the configuration. Of every file: inode, type,
mode, owner, size, mtime and ctime, extended attributes, link target, digest of
the content. Besides: mounts, links with addresses, firewall rules, processes.
Nothing is opened that is not a regular file, and no mount is crossed.
  --without KIND  leaves out "mounts", "links", "rules" or "processes"
  --skip PATH     leaves out a path and what is below it
"""

import argparse
import hashlib
import json
import os
import stat
import subprocess

PATHS = ["var/lib/containerd", "var/lib/containerd.quarantine", "run/containerd", "run/netns",
         "var/lib/cni", "etc/cni", "etc/containerd", "var/lib/containerd-recover",
         "run/containerd-recover"]


def describe(path, entry):
    words = [f"{stat.filemode(entry.st_mode)} inode={entry.st_ino} {entry.st_uid}:{entry.st_gid}",
             f"mtime={entry.st_mtime_ns} ctime={entry.st_ctime_ns}"]
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        words.append(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}")
    if stat.S_ISLNK(entry.st_mode):
        words.append("-> " + os.readlink(path))
    if stat.S_ISREG(entry.st_mode) and entry.st_size:
        words.append(f"size={entry.st_size} {digest(path)}")
    return " ".join(words)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(root, name, skip):
    path = os.path.join(root, name)
    if name in skip:
        return
    try:
        entry = os.lstat(path)
    except FileNotFoundError:
        print(f"/{name}: none")
        return
    print(f"/{name}: {describe(path, entry)}")
    if stat.S_ISDIR(entry.st_mode) and not os.path.ismount(path):
        for child in sorted(os.listdir(path)):
            walk(root, os.path.join(name, child), skip)


def mounts(root, _):
    with open(os.path.join(root, "proc/1/mountinfo"), encoding="utf-8") as file:
        for line in sorted(line.split()[3:] for line in file):
            print("mount", *line)


def links(_, pid):
    for link in json.loads(net(pid, "ip", "-json", "-details", "address")):
        words = {key: link.get(key) for key in ("ifindex", "ifname", "flags", "master", "group",
                                                "address", "mtu", "link_netnsid")}
        words["kind"] = link.get("linkinfo", {}).get("info_kind")
        # An address is "tentative" for a while, and has an age.
        words["addresses"] = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", [])]
        print("link", json.dumps(words))


def rules(_, pid):
    for line in net(pid, "iptables-save").splitlines():
        if not line.startswith("#"):
            # Without the chains' packet counters.
            print("rule", line.partition(" [")[0])


def processes(root, _):
    proc = os.path.join(root, "proc")
    for pid in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        try:
            with open(os.path.join(proc, pid, "stat"), encoding="utf-8", errors="replace") as file:
                start = file.read().rpartition(")")[2].split()[19]
            with open(os.path.join(proc, pid, "cmdline"), "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            continue
        if "containerd" in command or "pause" in command:
            print("process", pid, start, command)


def net(pid, *command):
    return subprocess.run(["nsenter", "-t", str(pid), "-n", *command],
                          check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("paths", nargs="*", default=PATHS)
    options = parser.parse_args()

    root = f"/proc/{options.pid}/root"
    skip = {path.strip("/") for path in options.skip}
    for path in options.paths:
        walk(root, path.strip("/"), skip)
    for kind in (mounts, links, rules, processes):
        if kind.__name__ not in options.without:
            kind(root, options.pid)


if __name__ == "__main__":
    main()

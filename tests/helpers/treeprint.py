#!/usr/bin/python3
"""Prints everything that a faithful copy of a tree keeps, a line for each entry.

usage: treeprint.py [--without=sockets] DIR
"""

import hashlib
import os
import stat
import sys


def extents(path, size):
    """Where there is data; the rest is holes."""
    found, at = [], 0
    fd = os.open(path, os.O_RDONLY)
    try:
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            found.append(f"{at}-{end}")
            at = end
    finally:
        os.close(fd)
    return ",".join(found) or "-"


def xattrs_of(path):
    return " ".join(sorted(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}"
                           for name in os.listxattr(path, follow_symlinks=False)))


def describe(top, path, first_names):
    st = os.lstat(path)
    name = os.fsencode(os.path.relpath(path, top)).decode("utf-8", "backslashreplace")
    parts = [repr(name), oct(st.st_mode), str(st.st_uid), str(st.st_gid), str(st.st_mtime_ns),
             xattrs_of(path)]
    if stat.S_ISLNK(st.st_mode):
        parts.append("-> " + os.readlink(path))
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        parts.append(f"dev {st.st_rdev}")
    if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
        parts.append("= " + first_names.setdefault(st.st_ino, repr(name)))
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        parts += [str(st.st_size), extents(path, st.st_size), digest]
    return " ".join(parts)


def main(*args):
    top, first_names, paths = args[-1], {}, [args[-1]]
    for directory, dirs, files in os.walk(top):
        paths += [os.path.join(directory, name) for name in dirs + files]
    for path in sorted(paths, key=os.fsencode):
        if "--without=sockets" in args and stat.S_ISSOCK(os.lstat(path).st_mode):
            continue
        print(describe(top, path, first_names))


if __name__ == "__main__":
    main(*sys.argv[1:])

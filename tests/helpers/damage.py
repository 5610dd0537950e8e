#!/usr/bin/python3
"""Damages a bbolt file in a named way, as crashes and bad disks do.

usage: damage.py KIND FILE

  meta-zero       both meta pages zeroed
  meta-checksum   both meta pages with a wrong checksum
  meta-version    both meta pages of an unknown version, checksum right
  meta-newest     the newer meta page zeroed: bbolt falls back to the older
  root-zero       the page of the root bucket zeroed
  root-random     the same with noise in it
  freelist-zero   the page of the freelist zeroed (containerd 1.6 has one)
  data-zero       everything behind the meta pages zeroed
  truncated       cut to half
  empty           cut to nothing
  text            overwritten with text
  page-zero:N     page N zeroed
  bucket-zero:A/B the root page of bucket B in bucket A zeroed
"""

import random
import struct
import sys

PAGE = 4096     # containerd's databases on machines with 4 KiB pages
HEADER = 16     # of every page
VERSION_AT, ROOT_AT, FREELIST_AT, TXID_AT, CHECKSUM_AT = 4, 16, 32, 48, 56


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001b3) % 2**64
    return value


class Database:
    def __init__(self, data):
        self.data = bytearray(data)

    def meta(self, which):
        return which * PAGE + HEADER

    def field(self, which, at):
        return struct.unpack_from("<Q", self.data, self.meta(which) + at)[0]

    def newest(self):
        return max((0, 1), key=lambda which: self.field(which, TXID_AT))

    def root_page(self):
        return self.field(self.newest(), ROOT_AT)

    def freelist_page(self):
        return self.field(self.newest(), FREELIST_AT)

    def fill(self, first_page, count, content=None):
        size = count * PAGE
        self.data[first_page * PAGE:first_page * PAGE + size] = content or bytes(size)

    def break_checksum(self, which):
        self.data[self.meta(which) + CHECKSUM_AT] ^= 0xff

    def set_version(self, which, version):
        start = self.meta(which)
        struct.pack_into("<I", self.data, start + VERSION_AT, version)
        struct.pack_into("<Q", self.data, start + CHECKSUM_AT,
                         fnv1a(self.data[start:start + CHECKSUM_AT]))


    def items(self, page):
        """Keys and values in the leaves below a page."""
        data = self.data[page * PAGE:]
        flags, count = struct.unpack_from("<HH", data, 8)
        for at in range(HEADER, HEADER + 16 * count, 16):
            if flags == 1:  # branch
                yield from self.items(struct.unpack_from("<Q", data, at + 8)[0])
            else:
                _, pos, ksize, vsize = struct.unpack_from("<IIII", data, at)
                key = at + pos
                yield bytes(data[key:key + ksize]), bytes(data[key + ksize:key + ksize + vsize])

    def bucket_page(self, path):
        page = self.root_page()
        for name in path.split("/"):
            page = struct.unpack_from("<Q", dict(self.items(page))[name.encode()])[0]
            if page == 0:
                sys.exit(f"damage.py: bucket {name} is inline")
        return page


def damage(kind, db):
    kind, _, number = kind.partition(":")
    pages = len(db.data) // PAGE
    if kind == "meta-zero":
        db.fill(0, 2)
    elif kind == "meta-checksum":
        db.break_checksum(0)
        db.break_checksum(1)
    elif kind == "meta-version":
        db.set_version(0, 3)
        db.set_version(1, 3)
    elif kind == "meta-newest":
        db.fill(db.newest(), 1)
    elif kind == "root-zero":
        db.fill(db.root_page(), 1)
    elif kind == "root-random":
        db.fill(db.root_page(), 1, random.Random(1).randbytes(PAGE))
    elif kind == "freelist-zero":
        if db.freelist_page() < pages:
            db.fill(db.freelist_page(), 1)
        else:
            sys.exit("damage.py: there is no freelist")
    elif kind == "data-zero":
        db.fill(2, pages - 2)
    elif kind == "truncated":
        del db.data[len(db.data) // 2:]
    elif kind == "empty":
        db.data.clear()
    elif kind == "text":
        db.data[:] = b"not a database\n" * (len(db.data) // 15)
    elif kind == "page-zero":
        db.fill(int(number), 1)
    elif kind == "bucket-zero":
        db.fill(db.bucket_page(number), 1)
    else:
        sys.exit(f"damage.py: unknown kind '{kind}'")


def main(kind, path):
    # In place: the file's inode is what containerd has open and locked.
    with open(path, "r+b") as file:
        db = Database(file.read())
        damage(kind, db)
        file.seek(0)
        file.write(db.data)
        file.truncate()


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/python3
"""Asks pods all the time until told to stop, and says how many answers failed.

usage: reach.py FILE ADDRESS... [HOST:PORT...]
       reach.py serve PORT

Pings each ADDRESS, of either family, and connects to each HOST:PORT, again and
again, until FILE exists. Prints "asked N failed N". `serve` answers such connections.
"""

import ipaddress
import os
import socket
import struct
import sys
import time

TIMEOUT = 3.0
PAUSE = 0.005


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def ping(address, number):
    six = ":" in address
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, reply, header = (128, 129, 0) if six else (8, 0, 20)
    head = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    # For ICMPv6 the kernel fills the checksum in.
    packet = head[:2] + struct.pack("!H", checksum(head)) + head[4:]
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        s.settimeout(TIMEOUT)
        s.connect((address, 0))
        s.send(packet)
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            try:
                answer = s.recv(256)[header:]
            except TimeoutError:
                return False
            if answer[0] == reply and answer[4:8] == packet[4:8]:
                return True
    return False


def connect(where):
    host, port = where.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), TIMEOUT).close()
        return True
    except OSError:
        return False


def serve(port):
    with socket.create_server(("", int(port)), backlog=1024) as server:
        while True:
            server.accept()[0].close()


def main(stop, *targets):
    if stop == "serve":
        serve(*targets)
    asked = failed = 0
    while not os.path.exists(stop):
        for target in targets:
            asked += 1
            if not (ping(target, asked) if is_address(target) else connect(target)):
                failed += 1
                print("no answer from", target, file=sys.stderr)
        time.sleep(PAUSE)
    print("asked", asked, "failed", failed)


main(*sys.argv[1:])

#!/usr/bin/python3
"""A kubelet's view of containerd: pods and containers over CRI v1.

usage: cri.py SOCKET COMMAND [ARGUMENT...]

  wait [SECONDS]             until the runtime says it is ready (default 30)
  status                     "ready", or why not
  run PREFIX COUNT           pods PREFIX-0 ... PREFIX-COUNT-1, "ID NAME ADDRESS" each
  run-hostport NAME PORT     a pod whose port 80 is the node's PORT
  run-host NAME              a pod in the node's own network
  start POD IMAGE [ARG...]   a container in the pod, its ID
  address ID                 of a pod
  list                       "ID NAME STATE" of each pod
  containers                 "ID NAME STATE" of each container
  images                     name of each image
  stop ID... | remove ID...  pods

Debian's python3-grpcio is the transport; the few messages are encoded here, so
that no .proto has to be compiled.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

PARALLEL = 4
CALL_TIMEOUT = 60


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode(message):
    """{field number: int, str, bytes, dict (a message) or list (repeated)}"""
    out = b""
    for field, values in message.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(field << 3) + varint(value)
                continue
            if isinstance(value, dict):
                value = encode(value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(field << 3 | 2) + varint(len(value)) + value
    return out


class Message:
    """A received message; fields by number, decoded when asked for."""

    def __init__(self, data):
        self.fields = {}
        at = 0
        while at < len(data):
            tag, at = self._varint(data, at)
            kind = tag & 7
            if kind == 0:
                value, at = self._varint(data, at)
            else:
                size = {1: 8, 5: 4}.get(kind)
                if size is None:
                    size, at = self._varint(data, at)
                value, at = data[at:at + size], at + size
            self.fields.setdefault(tag >> 3, []).append(value)

    @staticmethod
    def _varint(data, at):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value, at

    def number(self, field):
        return self.fields.get(field, [0])[0]

    def text(self, field):
        return self.fields.get(field, [b""])[0].decode()

    def texts(self, field):
        return [value.decode() for value in self.fields.get(field, [])]

    def message(self, field):
        return Message(self.fields.get(field, [b""])[0])

    def messages(self, field):
        return [Message(value) for value in self.fields.get(field, [])]


class Runtime:
    def __init__(self, socket):
        # By default the pauses between attempts to connect grow to minutes.
        pauses = [(f"grpc.{which}_reconnect_backoff_ms", 50) for which in ("initial", "min", "max")]
        self.channel = grpc.insecure_channel("unix://" + socket, options=pauses)

    def call(self, method, request=None, service="RuntimeService", timeout=CALL_TIMEOUT):
        call = self.channel.unary_unary(f"/runtime.v1.{service}/{method}",
                                        request_serializer=encode, response_deserializer=Message)
        return call(request or {}, timeout=timeout, wait_for_ready=True)

    def status(self, timeout=CALL_TIMEOUT):
        """"ready" or the conditions that are not met."""
        conditions = self.call("Status", timeout=timeout).message(1).messages(1)
        bad = [c.text(1) + ": " + c.text(4) for c in conditions if not c.number(2)]
        return "; ".join(bad) or "ready"

    def run(self, name, host_port=0, host_network=False):
        pod = pod_config(name, host_port, host_network)
        pod_id = self.call("RunPodSandbox", {1: pod}).text(1)
        return pod_id, name, self.address(pod_id) or "-"

    def address(self, pod_id):
        return self.call("PodSandboxStatus", {1: pod_id}).message(1).message(5).text(1)

    def start(self, pod, image, args):
        config = {1: {1: "main"}, 2: {1: image}, 11: "main.log"}
        if args:
            config[4] = args
        created = self.call("CreateContainer", {1: pod, 2: config, 3: pod_config(self.name_of(pod))})
        self.call("StartContainer", {1: created.text(1)})
        return created.text(1)

    def name_of(self, pod_id):
        return self.call("PodSandboxStatus", {1: pod_id}).message(1).message(2).text(1)


def pod_config(name, host_port=0, host_network=False):
    config = {1: {1: name, 2: "uid-" + name, 3: "default"}, 2: name, 3: "/var/log/pods/" + name,
              6: {1: "app", 2: "test"}, 8: {1: "/pods/" + name}}
    if host_port:
        config[5] = {2: 80, 3: host_port}
    if host_network:
        config[8][2] = {2: {1: 2}}
    return config


def show_error(what, error):
    print(f"{what}: {error.code().name}: {error.details()}", file=sys.stderr)


def run_many(runtime, prefix, count):
    failed = 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        pods = {f"{prefix}-{i}": None for i in range(count)}
        for name in pods:
            pods[name] = pool.submit(runtime.run, name)
        for name, pod in pods.items():
            try:
                print(*pod.result())
            except grpc.RpcError as error:
                show_error(name, error)
                failed += 1
    return 1 if failed else 0


def wait(runtime, seconds):
    deadline = time.monotonic() + seconds
    status = "no answer"
    while time.monotonic() < deadline:
        try:
            status = runtime.status(timeout=1)
            if status == "ready":
                return 0
        except grpc.RpcError as error:
            status = f"{error.code().name}: {error.details()}"
        time.sleep(0.05)
    print(f"not ready after {seconds:g} s: {status}", file=sys.stderr)
    return 1


def main(socket, command, *args):
    runtime = Runtime(socket)
    if command == "wait":
        return wait(runtime, float(args[0]) if args else 30)
    if command == "status":
        print(runtime.status(timeout=5))
    elif command == "run":
        return run_many(runtime, args[0], int(args[1]))
    elif command == "run-hostport":
        print(*runtime.run(args[0], host_port=int(args[1])))
    elif command == "run-host":
        print(*runtime.run(args[0], host_network=True))
    elif command == "start":
        print(runtime.start(args[0], args[1], list(args[2:])))
    elif command == "address":
        print(runtime.address(args[0]))
    elif command == "list":
        for pod in runtime.call("ListPodSandbox").messages(1):
            print(pod.text(1), pod.message(2).text(1), "notready" if pod.number(3) else "ready")
    elif command == "containers":
        states = ["created", "running", "exited", "unknown"]
        for container in runtime.call("ListContainers").messages(1):
            print(container.text(1), container.message(3).text(1), states[container.number(6)])
    elif command == "images":
        for image in runtime.call("ListImages", service="ImageService").messages(1):
            print(*image.texts(2))
    elif command in ("stop", "remove"):
        for pod in args:
            runtime.call({"stop": "StopPodSandbox", "remove": "RemovePodSandbox"}[command], {1: pod})
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(main(*sys.argv[1:]))
    except grpc.RpcError as rpc_error:
        show_error(sys.argv[2], rpc_error)
        sys.exit(1)

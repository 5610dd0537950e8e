#!/usr/bin/python3
"""Writes an archive of images for `ctr images import`, so that no test needs a registry.

usage: image.py OUT PROGRAM

  test.local/pause:1   PROGRAM as /pause
  test.local/volume:1  the same with a VOLUME, /data
"""

import hashlib
import io
import json
import sys
import tarfile


def add(archive, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def layer_of(program):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        add(archive, "pause", program, 0o755)
    return out.getvalue()


def config_of(layer, machine, **config):
    return json.dumps({
        "architecture": machine,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], **config},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()


def machine_of(program):
    """Go's name of the ELF machine."""
    return {0x3e: "amd64", 0xb7: "arm64"}[int.from_bytes(program[18:20], "little")]


def main(out, program_path):
    with open(program_path, "rb") as file:
        program = file.read()
    layer = layer_of(program)
    images = {
        "pause": config_of(layer, machine_of(program)),
        "volume": config_of(layer, machine_of(program), Volumes={"/data": {}}),
    }
    manifest = [{"Config": name + ".json", "RepoTags": [f"test.local/{name}:1"],
                 "Layers": ["layer.tar"]} for name in images]
    with tarfile.open(out, "w") as archive:
        add(archive, "manifest.json", json.dumps(manifest).encode())
        add(archive, "layer.tar", layer)
        for name, config in images.items():
            add(archive, name + ".json", config)


if __name__ == "__main__":
    main(*sys.argv[1:])

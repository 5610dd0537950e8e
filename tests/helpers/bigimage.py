#!/usr/bin/python3
"""Writes an image with many small files for `ctr images import`, as an OCI layout.

usage: bigimage.py OUT NAME FILES [BYTES [PROGRAM]]

BYTES, default 1000, is the size of each file. PROGRAM is in it as /pause. The archive has one more member,
layer-digest: the hex digits of its layer's digest.
"""

import hashlib
import io
import json
import platform
import random
import sys
import tarfile

FILES_PER_DIRECTORY = 100


def add(archive, name, data, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def make_layer(name, files, size, program):
    noise = random.Random(name)
    block = noise.randbytes(size)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(files):
            add(archive, f"data/{number // FILES_PER_DIRECTORY}/{number}", block[:-8] + noise.randbytes(8))
        if program:
            with open(program, "rb") as file:
                add(archive, "pause", file.read(), 0o755)
    return out.getvalue()


def main(out, name, files, size=1000, program=None):
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    layer = make_layer(name, int(files), int(size), program)
    config = json.dumps({
        "architecture": machine, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()

    with tarfile.open(out, "w") as archive:
        def blob(data, media_type):
            digest = hashlib.sha256(data).hexdigest()
            add(archive, "blobs/sha256/" + digest, data)
            return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

        add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        layer_blob = blob(layer, "application/vnd.oci.image.layer.v1.tar")
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [layer_blob],
        }).encode()
        entry = blob(manifest, "application/vnd.oci.image.manifest.v1+json")
        entry["annotations"] = {"io.containerd.image.name": name}
        add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        add(archive, "layer-digest", layer_blob["digest"].partition(":")[2].encode())


main(*sys.argv[1:])

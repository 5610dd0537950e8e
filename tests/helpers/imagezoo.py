#!/usr/bin/python3
"""Writes images of every kind that a registry serves, as archives for `ctr images import`.

usage: imagezoo.py DIRECTORY

One archive each, NAME.tar, with test.local/NAME:1 in it unless said otherwise:

  plain gzip zstd    a layer of that kind
  docker             a manifest and layers of Docker's schema 2
  platforms          an index of this machine's platform and another, and attestations
  partial            such an index, of which the blobs of the others are not in the archive
  nested             an index in an index
  twin-a twin-b      two images of the same layers
  tags               one image as test.local/tags:1, :2 and :latest
  digest             test.local/digest@sha256:... and no tag
  other-platform     an image that this machine cannot run
  artifact           a manifest whose layer is none

Prints "NAME DIGEST LAYER" of each: of its manifest or index, and of the first
layer of its first manifest, in hex.
"""

import gzip
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ELSEWHERE = {"amd64": "arm64", "arm64": "amd64"}[HERE]
COMPRESS = {
    "": lambda data: data,
    "+gzip": lambda data: gzip.compress(data, mtime=0),
    "+zstd": lambda data: subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout,
}


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


def layer_of(text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(20):
            add(archive, f"data/{number}", f"{text} {number}\n".encode() * 50)
    return out.getvalue()


def hex_of(data):
    return hashlib.sha256(data).hexdigest()


class Image:
    """The blobs of one archive; the last descriptor made is the image's."""

    def __init__(self, name):
        self.name, self.blobs, self.layer = name, {}, None

    def blob(self, data, media_type, **more):
        self.blobs[hex_of(data)] = data
        return {"mediaType": media_type, "digest": "sha256:" + hex_of(data), "size": len(data), **more}

    def document(self, content, media_type, **more):
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}).encode(),
                         media_type, **more)

    def manifest(self, texts, machine=HERE, kind="", flavour=OCI, config=None):
        types = {OCI: ("manifest.v1+json", "config.v1+json", "layer.v1.tar" + kind),
                 DOCKER: ("distribution.manifest.v2+json", "container.image.v1+json",
                          "image.rootfs.diff.tar.gzip")}[flavour]
        layers = [layer_of(text) for text in texts]
        packed = [self.blob(COMPRESS[kind](layer), flavour + types[2]) for layer in layers]
        self.layer = self.layer or packed[0]["digest"].partition(":")[2]
        config = self.blob(json.dumps({
            "architecture": machine, "os": "linux", "config": config or {"Env": ["NAME=" + self.name]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hex_of(layer) for layer in layers]},
        }).encode(), flavour + types[1])
        return self.document({"config": config, "layers": packed}, flavour + types[0],
                             platform={"architecture": machine, "os": "linux"})

    def attestation(self, subject):
        """As buildkit makes them: of no platform, its layer a statement."""
        config = self.blob(json.dumps({"architecture": "unknown", "os": "unknown", "config": {},
                                       "rootfs": {"type": "layers", "diff_ids": []}}).encode(),
                           OCI + "config.v1+json")
        statement = self.blob(json.dumps({"subject": subject["digest"]}).encode(), "application/vnd.in-toto+json")
        return self.document({"config": config, "layers": [statement]}, OCI + "manifest.v1+json",
                             platform={"architecture": "unknown", "os": "unknown"},
                             annotations={"vnd.docker.reference.type": "attestation-manifest",
                                          "vnd.docker.reference.digest": subject["digest"]})

    def index(self, manifests, **more):
        return self.document({"manifests": manifests}, OCI + "index.v1+json", **more)

    def write(self, directory, target, names=None, left_out=()):
        entries = [{key: value for key, value in target.items() if key != "platform"} |
                   {"annotations": {"io.containerd.image.name": name}}
                   for name in names or [f"test.local/{self.name}:1"]]
        with tarfile.open(f"{directory}/{self.name}.tar", "w") as archive:
            add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            for digest, data in self.blobs.items():
                if digest not in left_out:
                    add(archive, "blobs/sha256/" + digest, data)
            add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
        print(self.name, target["digest"], self.layer)


def main(directory):
    for name, kind in (("plain", ""), ("gzip", "+gzip"), ("zstd", "+zstd")):
        image = Image(name)
        image.write(directory, image.manifest([name, name + " above"], kind=kind))

    image = Image("docker")
    image.write(directory, image.manifest(["docker"], kind="+gzip", flavour=DOCKER))

    for name in ("platforms", "partial"):
        image = Image(name)
        here = image.manifest([name], kind="+gzip")
        own = set(image.blobs)
        there = image.manifest([name + " elsewhere"], machine=ELSEWHERE, kind="+gzip")
        both = [here, there, image.attestation(here)]
        foreign = set(image.blobs) - own
        image.write(directory, image.index(both), left_out=foreign if name == "partial" else ())

    image = Image("nested")
    image.write(directory, image.index([image.index([image.manifest(["nested"], kind="+gzip")])]))

    for name in ("twin-a", "twin-b"):
        image = Image(name)
        image.write(directory, image.manifest(["twin", "of twins"], kind="+gzip"))

    image = Image("tags")
    image.write(directory, image.manifest(["tags"]), [f"test.local/tags:{tag}" for tag in ("1", "2", "latest")])

    image = Image("digest")
    target = image.manifest(["digest"])
    image.write(directory, target, ["test.local/digest@" + target["digest"]])

    image = Image("other-platform")
    image.write(directory, image.manifest(["other platform"], machine=ELSEWHERE))

    image = Image("artifact")
    layer = image.blob(b"not an archive", "application/vnd.example.data")
    config = image.blob(b"{}", "application/vnd.oci.empty.v1+json")
    image.layer = layer["digest"].partition(":")[2]
    image.write(directory, image.document({"artifactType": "application/vnd.example", "config": config,
                                           "layers": [layer]}, OCI + "manifest.v1+json"))


main(*sys.argv[1:])

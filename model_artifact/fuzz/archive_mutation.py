# ruff: noqa: INP001  (scripts beside the package, not of it)
"""Alters artifacts the way an attacker would: blindly, or so that checksums and sizes still agree.

Pure: bytes and a source of randomness in, bytes out.
"""

import io
import json
import zipfile
from random import Random
from typing import Any

from model_artifact.container import ArchiveWriter, Deflated, deflate
from model_artifact.manifest import MANIFEST_ENTRY

Entries = list[tuple[str, bytes]]

_NUMBERS = [
    0,
    1,
    2,
    3,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    10**30,
    -1,
]
_TEXTS = [
    "",
    ".",
    "..",
    "../x",
    "/x",
    "a/b",
    "model.tflite",
    "model.tflite/x",
    "\0",
    "x" * 300,
    "é",
    "\x1b[2J\n",
    "NaN",
]
_VALUES: list[Any] = [None, True, False, [], {}, [0], [1, 2], [0, 0], 1.5, -0.0, 1e308, "int8", "float32", "values"]
_SIGNATURES = [b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08"]


def mutate(data: bytes, random: Random) -> bytes:
    """The artifact with one to three things changed."""
    for _ in range(random.randint(1, 3)):
        entries = parse_entries(data) if random.random() < 0.75 else None
        data = format_entries(_mutate_entries(entries, random), random) if entries else mutate_bytes(data, random)
    return data


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """The bytes with some flipped, set, cut, moved or repeated."""
    changed = bytearray(data)
    start, length = random.randint(0, len(data)), random.choice([1, 2, 4, 8, 64, 512])
    action = random.randrange(6)
    if action == 0 and changed:
        for _ in range(random.randint(1, 4)):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    elif action == 1:
        del changed[start:]
    elif action == 2:
        del changed[start : start + length]
    elif action == 3:
        target = random.randint(0, len(data))
        changed[target:target] = data[start : start + length]
    elif action == 4:
        width = random.choice([1, 2, 4])
        changed[start : start + width] = (random.choice(_NUMBERS) % 2 ** (8 * width)).to_bytes(width, "little")
    else:
        changed[start:start] = random.choice([*_SIGNATURES, bytes(length), b"\xff" * length])
    return bytes(changed)


def parse_entries(data: bytes) -> Entries | None:
    """Names and inflated data of the entries; None for what zipfile cannot read, or for more than 1 MiB of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 2**20:
                return None
            return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except Exception:  # noqa: BLE001  (zipfile raises a dozen kinds; any of them means that this archive is broken enough)
        return None


def format_entries(entries: Entries, random: Random) -> bytes:
    """An archive whose sizes and checksums agree, but for one entry now and then."""
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    lying = random.randrange(len(entries)) if entries and random.random() < 0.1 else -1
    for number, (name, data) in enumerate(entries):
        deflated = deflate(data, random.choice([0, 2]))
        if number == lying:
            deflated = _mutate_deflated(deflated, random)
        writer.write(name, deflated)
    writer.close()
    return out.getvalue()


def _mutate_deflated(data: Deflated, random: Random) -> Deflated:
    action = random.randrange(3)
    if action == 0:
        return Deflated(mutate_bytes(data.payload, random), data.size_bytes, data.crc32)
    if action == 1:
        return Deflated(data.payload, random.choice(_NUMBERS) % 2**32, data.crc32)
    return Deflated(data.payload, data.size_bytes, data.crc32 ^ 1)


def _mutate_entries(entries: Entries, random: Random) -> Entries:
    """One entry changed, with the manifest told of it mostly, or the manifest itself changed."""
    number = random.randrange(len(entries))
    name, data = entries[number]
    action = random.randrange(10)
    if action == 0:
        return entries[:number] + entries[number + 1 :]
    if action == 1:
        return [*entries, (random.choice(_TEXTS), data)]
    if action == 2:
        other = random.randrange(len(entries))
        entries = entries.copy()
        entries[number], entries[other] = entries[other], entries[number]
        return entries
    if action < 6 and name != MANIFEST_ENTRY:
        data = mutate_bytes(data, random)
        told = _mutate_manifest(entries, lambda manifest: _tell_sizes(manifest, name, len(data)))
        return [(other, data if other == name else old) for other, old in told]
    return _mutate_manifest(entries, lambda manifest: _mutate_node(manifest, random))


def _mutate_manifest(entries: Entries, edit: Any) -> Entries:
    """The entries with the manifest edited in place; as they are where there is none that can be read."""
    try:
        manifest = json.loads(dict(entries)[MANIFEST_ENTRY])
    except (KeyError, ValueError, RecursionError):
        return entries
    edit(manifest)
    text = json.dumps(manifest).encode()
    return [(name, text if name == MANIFEST_ENTRY else data) for name, data in entries]


def _tell_sizes(manifest: Any, name: str, size_bytes: int) -> None:
    for node in _nodes(manifest):
        if isinstance(node, dict) and node.get("entry") == name:
            node["sizeBytes"] = size_bytes


def _nodes(node: Any) -> list[Any]:
    """Every object and array below, the node first."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    nested = [inner for child in children for inner in _nodes(child)]
    return [node, *nested] if isinstance(node, dict | list) else nested


def _mutate_node(manifest: Any, random: Random) -> None:
    """One field or item of the manifest set, removed, repeated or changed by a little."""
    nodes = [node for node in _nodes(manifest) if node]
    if not nodes:
        return
    node = random.choice(nodes)
    key = random.choice(list(node)) if isinstance(node, dict) else random.randrange(len(node))
    action = random.randrange(6)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, list):
        node.insert(key, node[key])
    elif action == 2 and isinstance(node[key], int):
        node[key] += random.choice([-1, 1, 2, 256])
    elif action == 3:
        node[key] = random.choice(_NUMBERS)
    elif action == 4:
        node[key] = random.choice(_TEXTS)
    else:
        node[key] = random.choice(_VALUES)

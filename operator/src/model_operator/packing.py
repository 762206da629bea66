"""JSON objects in little memory: objects of one kind are alike, so the first one is the dictionary of the others."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

Object = Mapping[str, Any]

_DICTIONARY_BYTES: Final = 32_768
"""What zlib can look back on."""
_LEVEL: Final = 6


class Packer:
    """Packs and unpacks the objects of one kind."""

    def __init__(self) -> None:
        """The first object that is packed becomes the dictionary."""
        self._dictionary = b""

    def pack(self, body: Object) -> bytes:
        """The object, for `unpack` of this packer alone."""
        text = json.dumps(body, separators=(",", ":")).encode()
        self._dictionary = self._dictionary or text[-_DICTIONARY_BYTES:]
        packing = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS, zdict=self._dictionary)
        return packing.compress(text) + packing.flush()

    def unpack(self, data: bytes) -> Object:
        """A copy of the object, new each time."""
        unpacking = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=self._dictionary)
        body: Object = json.loads(unpacking.decompress(data) + unpacking.flush())
        return body

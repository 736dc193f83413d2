"""Compressions for tests, by name."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

from backports import zstd


def zipped(data: bytes) -> bytes:
    return zip_of({"some/folder/file": data})


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "zip": zipped,
}

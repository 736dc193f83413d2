"""Facts of memory that is freed: it is kept for what is needed next, and what is said of it is so."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from splade_anserini.training.malloc import keep_freed_memory

KEEP = """
import resource
from splade_anserini.training.malloc import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        bytearray(b"x") * (1 << 26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
usual = faults()
kept = keep_freed_memory()
faults()
print(kept, faults() * 4 < usual)
"""


def test_freed_memory_is_kept_where_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", KEEP], capture_output=True, text=True, check=True)
    kept, fewer = done.stdout.split()
    assert kept == str(platform.libc_ver()[0] == "glibc")
    assert fewer == kept


def test_elsewhere_memory_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace())
    assert keep_freed_memory() is False

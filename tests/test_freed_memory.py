"""Freed memory stays in the process where glibc allows it."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from splade_anserini.training.training_run import keep_freed_memory

PAGE_FAULTS = """
import resource
from splade_anserini.training.training_run import keep_freed_memory
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        bytearray(b"x") * (1 << 26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
usual = page_faults()
succeeded = keep_freed_memory()
page_faults()
print(succeeded, page_faults() * 4 < usual)
"""


@pytest.mark.slow
def test_keeping_freed_memory_saves_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", PAGE_FAULTS], capture_output=True, text=True, check=True)
    succeeded, saved = done.stdout.split()
    assert succeeded == str(platform.libc_ver()[0] == "glibc")
    assert saved == succeeded


def test_on_other_systems_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_with_another_c_library_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace())
    assert keep_freed_memory() is False

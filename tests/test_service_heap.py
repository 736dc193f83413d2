"""A service has a small heap, unless its user says another."""

import os
import subprocess
import sys

import pytest

START = """
from splade_anserini.serving.java import start_java
start_java()
from jnius import autoclass
import os
print(autoclass("java.lang.Runtime").getRuntime().maxMemory() // 2**20, os.environ.get("SPLADE_ANSERINI_HEAP"))
"""


@pytest.mark.parametrize(("setting", "megabytes"), [(None, 1024), ("300m", 300)])
def test_the_heap_of_a_service_is_a_gigabyte_or_what_the_variable_says(setting: str | None, megabytes: int) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "SPLADE_ANSERINI_HEAP"}
    environment = inherited | ({"SPLADE_ANSERINI_HEAP": setting} if setting else {})
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=True)
    heap, variable = done.stdout.split()
    # Java rounds the size to whole regions.
    assert abs(int(heap) - megabytes) < 8
    assert variable == str(setting), "the environment is as it was"

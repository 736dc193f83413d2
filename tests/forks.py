"""Programs that fork, run as processes of their own, which are killed when they hang."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

HANGS_AFTER = 120
"""Seconds after which a program that should have ended is killed with all of its processes."""


def run_program(code: str, *arguments: object, seconds: float = HANGS_AFTER) -> str:
    """Run Python code in a process group of its own; return its output. Fails when it hangs or ends with an error."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"the program hangs: {output}") from None
    assert process.returncode == 0, output
    return output

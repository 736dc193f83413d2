"""Run one contestant in a process of its own, and print what it measured as one line of JSON.

Run: python benchmarks/contestant.py MODULE FUNCTION '{"argument": value}'
"""

import json
import sys
from importlib import import_module
from pathlib import Path

from alternate import RSS


def main() -> None:
    """Call the function; whatever it prints comes before its measurement."""
    module, function, arguments = sys.argv[1:]
    measured = getattr(import_module(module), function)(**json.loads(arguments))
    print(f"\n{json.dumps({RSS: peak_rss(), **measured})}", flush=True)


def peak_rss() -> float | None:
    """Return the greatest resident set of this process so far in MB, where Linux knows it.

    What getrusage says would include the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), None)


def peak_heap() -> float:
    """Return the greatest size of this process's Java heap so far in MB, summed over its memory pools."""
    from jnius import autoclass

    kind = autoclass("java.lang.management.MemoryType").HEAP
    pools = autoclass("java.lang.management.ManagementFactory").getMemoryPoolMXBeans()
    return sum(pool.getPeakUsage().getUsed() for pool in pools.toArray() if pool.getType().equals(kind)) / 1e6


if __name__ == "__main__":
    main()

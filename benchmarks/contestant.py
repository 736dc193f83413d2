"""Run one contestant, and print its measurements as one line of JSON.

Run: python benchmarks/contestant.py MODULE FUNCTION '{"argument": value}'
"""

import json
import sys
from importlib import import_module
from pathlib import Path

from alternate import RSS


def main() -> None:
    """Call the function; its own output comes before the measurements."""
    module, function, arguments = sys.argv[1:]
    measured = getattr(import_module(module), function)(**json.loads(arguments))
    print(f"\n{json.dumps({RSS: peak_rss(), **measured})}", flush=True)


def peak_rss() -> float | None:
    """Return the peak resident set of this process so far in MB; None where the system is not Linux.

    The value of getrusage would include the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), None)


def peak_heap() -> float:
    """Return the peak size of this process's Java heap so far in MB, summed over its memory pools."""
    from jnius import autoclass

    kind = autoclass("java.lang.management.MemoryType").HEAP
    pools = autoclass("java.lang.management.ManagementFactory").getMemoryPoolMXBeans()
    return sum(pool.getPeakUsage().getUsed() for pool in pools.toArray() if pool.getType().equals(kind)) / 1e6


if __name__ == "__main__":
    main()

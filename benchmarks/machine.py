"""Facts about the machine that matter for times, and memory in use; no names of hosts and no paths."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib import metadata

from cdp_toy.validation import physical_memory

__all__ = ["machine_facts", "peak_memory"]

PACKAGES = ("cdp_toy", "numpy", "scipy", "numba", "cvxpy", "clarabel", "scs", "ecos", "highspy")


def machine_facts() -> dict[str, str]:
    """Processor, cores, memory, and versions of what is compared."""
    return {
        "CPU": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{physical_memory() / 2**30:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def peak_memory() -> int:
    """Peak resident memory of this process so far [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not on Linux
        return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"

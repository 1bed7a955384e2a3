"""What the numbers depend on: the machine, its disk, and the versions of everything that takes part."""

import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "slack-bolt", "aiohttp", "asyncpg", "mcp", "fastmcp")
FSYNCS: Final = 60
IN_MEMORY: Final = ("tmpfs", "ramfs")
BUSY_LOAD: Final = 0.5
CPU_INFO: Final = Path("/proc/cpuinfo")


def describe_machine(directory: Path) -> dict[str, Any]:
    """Return what the numbers depend on; `directory` is where the databases lie."""
    load_average = os.getloadavg()[0]
    return {
        "cores": os.cpu_count(),
        "cpu": find_cpu_model(CPU_INFO.read_text(encoding="utf-8")) if CPU_INFO.exists() else platform.machine(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "filesystem": find_filesystem(directory),
        "fsync_ms": round(1000 * measure_fsync_s(directory), 2),
        "load_average": round(load_average, 2),
        "versions": {
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            "Node": find_node_version() or "none",
        },
    }


def render_machine(machine: Mapping[str, Any]) -> str:
    """Return the machine as one line, and a warning for each thing that makes the numbers worth less."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    line = (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, load {machine['load_average']} at "
        f"the start, Python {machine['python']}, Linux {machine['kernel']}, {machine['filesystem']} with fsync in "
        f"{machine['fsync_ms']} ms; {versions}"
    )
    lines = [line]
    if machine["load_average"] > BUSY_LOAD:
        lines.append("Something else was running at the start: rates are too low, and latencies too long.")
    if machine["filesystem"] in IN_MEMORY:
        lines.append("The databases lie in memory, not on a disk: choose another place with --directory.")
    return "\n".join(lines)


def find_cpu_model(cpu_info: str) -> str:
    """Return the processor's name out of /proc/cpuinfo."""
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def find_node_version() -> str | None:
    """Return the version of Node on the PATH, None without one."""
    node = shutil.which("node")
    if node is None:
        return None
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - Node
    return done.stdout.strip().removeprefix("v") or None


def find_filesystem(directory: Path) -> str:
    """Return the type of the file system that a directory is on."""
    resolved = directory.resolve()
    mounts = [each for each in psutil.disk_partitions(all=True) if resolved.is_relative_to(each.mountpoint)]
    return str(max(mounts, key=lambda each: len(each.mountpoint)).fstype) if mounts else "unknown"


def measure_fsync_s(directory: Path) -> float:
    """Return the median time of a 4 KiB append with fsync."""
    durations = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            started_s = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            durations.append(time.perf_counter() - started_s)
    return statistics.median(durations)

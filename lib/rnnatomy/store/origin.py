"""Where a result comes from: command, commit, versions, device and system."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from rnnatomy.store import checkout

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "tensorflow-datasets")


def provenance(command: str, **facts: Any) -> dict[str, Any]:
    """Gather where a result comes from: the given facts, commit, versions, device and system."""
    return {"command": command, **facts, **machine()}


def machine() -> dict[str, Any]:
    """Gather where this process computes: commit, versions, device and system."""
    device = jax.devices()[0]
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "device": f"{device.platform}, {len(jax.devices())} x {device.device_kind}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout.root()), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "-modified" if git("status", "--porcelain", "lib") else ""
        )
    except (OSError, subprocess.CalledProcessError, checkout.CheckoutError):
        return "unknown"


def command_line() -> str:
    """Return the command that this process was started with, as a user would type it."""
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    head = f"python -m {module.name}" if module else Path(sys.argv[0]).name
    return " ".join([head, *sys.argv[1:]])

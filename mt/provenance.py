"""The provenance of a result: machine, versions of packages, commit of the checkout."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "sentencepiece", "sacrebleu", "datasets", "hydra-core", "safetensors")


def machine() -> dict[str, Any]:
    """Versions and hardware of this process."""
    return {
        "python": sys.version.split()[0],
        "packages": {package: version_of(package) for package in PACKAGES},
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "git": _git_revision(),
    }


def version_of(package: str) -> str | None:
    """None: it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of this checkout, with `+` if files have changed; None for an installed package."""
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        # Without locks: git that is killed while it holds the index lock would block the user's next commit.
        command = ["git", "--no-optional-locks", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)

    try:
        found, dirty = git("rev-parse", "--show-toplevel", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.TimeoutExpired):
        return None
    if found.returncode or Path((lines := found.stdout.split("\n"))[0]) != root:
        return None
    return lines[1] + ("+" if dirty.stdout.strip() else "")

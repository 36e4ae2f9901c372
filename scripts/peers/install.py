"""Virtual environments for the peers, made once and kept."""

import json
import subprocess
import sys
import venv
from pathlib import Path

from peers.job import Peer

# The range that mt itself requires, so that pip finds one build of torch for all.
CONSTRAINTS = "torch>=2.11,<2.14\n"


class PeerError(Exception):
    """A toolkit that could not be installed or run; the message is one line."""


def install(peer: Peer, work: Path) -> Path:
    """The folder of the peer's environment; nothing is done where the same requirements were installed before.

    Raises: PeerError: with pip's or the import's last line.
    """
    folder = work / "venvs" / peer.name
    stamp, wanted = folder / "installed.json", json.dumps([list(step) for step in peer.installs])
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    print(f"{peer.name}: installing {peer.version} into {folder}", file=sys.stderr)
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    constraints = work / "constraints.txt"
    constraints.write_text(CONSTRAINTS)
    python = str(folder / "bin" / "python")
    for step in peer.installs:
        checked([python, "-m", "pip", "install", "-q", "-c", str(constraints), *step], folder / "install.log")
    checked([python, "-c", f"import {peer.imports}"], folder / "install.log")
    stamp.write_text(wanted)
    return folder


def checked(command: list[str], log: Path) -> None:
    """Run; keep the output in `log`. Raises: PeerError."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    if done.returncode:
        raise PeerError(f"`{' '.join(command[1:])}` failed: {last_line(done.stdout)} (see {log})")


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.split("\n") if line.strip() and "[notice]" not in line]
    return lines[-1][:300] if lines else "no output"

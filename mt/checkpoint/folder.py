"""A folder with a manifest, which appears whole or not at all (`mt.files.whole_folder`).

`MANIFEST.json` has the size and SHA-256 of all other files. Tensors are safetensors, the rest is JSON or the caller's
bytes: nothing executable is stored. The hashes detect damage (safetensors alone loads flipped bits without an error),
but do not prove who wrote a folder.
"""

import hashlib
import json
import logging
import os
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from torch import Tensor

from mt.checkpoint import schema
from mt.errors import CheckpointError
from mt.files import explained, read_json, reason, sha256, whole_folder

logger = logging.getLogger("mt")
MANIFEST = "MANIFEST.json"
MAX_MANIFEST, MAX_FILES = 1 << 20, 1000
# Files that people put beside a model; none of these names is ever read.
NOTES = re.compile(r"(licen[cs]e|notice|copying|citation|authors|readme)\b.*|.*\.(md|txt|pdf)", re.IGNORECASE)
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a folder, and further facts from its writer."""

    files: dict[str, tuple[int, str]]  # name: (bytes, SHA-256)
    meta: dict[str, Any]
    free: frozenset[str] = frozenset()  # of `files`, those that a person may edit or remove


def write_folder(
    target: Path,
    files: Mapping[str, bytes | Mapping[str, Tensor]],
    *,
    meta: Mapping[str, Any] | None = None,
    free: Collection[str] = (),
    replace: bool = False,
) -> None:
    """Write `files` (tensors as safetensors) and their manifest to the folder `target`, whole or not at all.

    An existing valid folder stays, unless `replace`: then, for an instant, there is neither the old nor the new one. An
    invalid one is moved to `bad-<name>-<n>`.

    Args: free: files that a person may edit or remove without making the folder invalid.
    Raises: CheckpointError: when the files cannot be written; nothing has changed then.
    """
    assert all(FILE_NAME.fullmatch(name) and name != MANIFEST for name in files), list(files)
    there = target.exists()
    problem = find_problem(target) if there else None
    if there and not problem and not replace:
        return
    aside = free_name(target, "bad") if problem else None
    with explained(f"`{target}` cannot be written"), whole_folder(target, aside=aside) as folder:
        entries = {name: _write_file(folder / name, content) for name, content in files.items()}
        for name in entries.keys() & free:
            entries[name]["free"] = True
        _write_manifest(folder, entries, meta or {})
    if problem:
        logger.warning("%s The damaged folder was moved to `%s`.", problem, aside)


def write_manifest(folder: Path) -> None:
    """The manifest of the files in a folder that something else has filled. Raises: OSError."""
    entries = {path.name: {"size": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())}
    _write_manifest(folder, entries, {})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of `folder`, not compared with the files. Raises: CheckpointError."""
    path = folder / MANIFEST
    content = schema.MANIFEST.upgrade(read_json(path, most=MAX_MANIFEST), f"`{path}`")
    listed, meta = content.get("files"), content.get("meta")
    if not isinstance(listed, dict) or not isinstance(meta, dict):
        raise CheckpointError(f"`{path}` must contain the objects `files` and `meta`, but does not.")
    if len(listed) > MAX_FILES:
        raise CheckpointError(f"`{path}` must list at most {MAX_FILES} files, but lists {len(listed):,}.")
    files, free = {}, set[str]()
    for name, entry in listed.items():
        if not FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise CheckpointError(f"`{path}` must list plain file names, but lists {name!r:.80}.")
        match entry:
            case {"size": int(size), "sha256": str(expected)}:
                files[name] = size, expected
                free |= {name} if entry.get("free") is True and not name.endswith(".safetensors") else set()
            case _:
                raise CheckpointError(f"`{path}` must give the size and SHA-256 of `{name}`, but does not.")
    return Manifest(files, meta, frozenset(free))


def verify_folder(folder: Path) -> Manifest:
    """Compare every file of `folder` with its manifest, by hash, and return the manifest.

    Free files are not compared, and left out of the result if they are gone. Files that are not listed are an error,
    except a licence, notes and hidden files (.DS_Store). Raises `CheckpointError` for the first wrong file.
    """
    if not folder.is_dir():
        raise CheckpointError(f"`{folder}` must be a folder, but is {'a file' if folder.exists() else 'not there'}.")
    manifest = read_manifest(folder)
    with explained(f"`{folder}` cannot be read"):
        present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if unlisted := {name for name in present - manifest.files.keys() - {MANIFEST} if not NOTES.fullmatch(name)}:
        raise CheckpointError(
            f"`{folder / min(unlisted)}` is not in the manifest of its folder.", hint="move it elsewhere."
        )
    there = {name: entry for name, entry in manifest.files.items() if name in present or name not in manifest.free}
    for name, (must_size, must_hash) in there.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"`{path}` is in the manifest of its folder, but missing.")
        if name in manifest.free:
            continue
        with explained(f"`{path}` cannot be read"), path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) != must_size:
                raise CheckpointError(f"`{path}` must have {must_size} bytes, but has {size}.")
            if (found := hashlib.file_digest(file, "sha256").hexdigest()) != must_hash:
                hashes = f"must have SHA-256 {must_hash[:12]}…, but has {found[:12]}…"
                raise CheckpointError(f"`{path}` {hashes}: its content is damaged.")
    return Manifest(there, manifest.meta, manifest.free & there.keys())


def find_problem(folder: Path) -> CheckpointError | None:
    """The error of `verify_folder`; None: the folder is valid."""
    try:
        verify_folder(folder)
    except CheckpointError as error:
        return error
    return None


def free_name(path: Path, prefix: str) -> Path:
    """The first free `<prefix>-<name>-<n>` beside `path`."""
    number = 1
    while (aside := path.with_name(f"{prefix}-{path.name}-{number}")).exists():
        number += 1
    return aside


class RunLock:
    """Keeps a second process out of a run folder: `with RunLock(folder): ...`. It ends with the process.

    Entering raises `CheckpointError` when another process holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        import fcntl  # Windows has none, but must be able to load models

        with explained(f"`{self.folder}` cannot be used"):
            self.folder.mkdir(parents=True, exist_ok=True)
        with explained(f"`{self.folder / '.lock'}` cannot be used"):
            self._file = (self.folder / ".lock").open("a+")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip() or "another process"
                self._file.close()
                hint = "wait for it, stop it, or give this run another name: `run.name=...`"
                raise CheckpointError(f"`{self.folder}` is in use by {holder}.", hint=hint) from None
            except OSError as error:  # some network disks have no locks
                advice = "make sure that only one process trains in it"
                logger.warning("`%s` cannot be locked (%s): %s.", self.folder, reason(error), advice)
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _write_file(path: Path, content: bytes | Mapping[str, Tensor]) -> dict[str, Any]:
    if isinstance(content, Mapping):
        # In memory first: if safetensors wrote the file, a full disk would not raise an OSError.
        # Copies, because tied parameters may not share their memory.
        layout = torch.contiguous_format
        tensors = {name: part.detach().to("cpu", copy=True, memory_format=layout) for name, part in content.items()}
        content = safetensors.torch.save(tensors)
    with path.open("wb") as file:
        file.write(content)
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write_manifest(folder: Path, entries: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    manifest = schema.MANIFEST.mark({"meta": dict(meta), "files": entries})
    _write_file(folder / MANIFEST, json.dumps(manifest, indent=2).encode())

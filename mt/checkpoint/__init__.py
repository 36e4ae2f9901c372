"""Checkpoints and model folders, which appear whole or not at all."""

from mt.checkpoint.folder import Manifest, RunLock, read_manifest, verify_folder, write_folder
from mt.checkpoint.run import Checkpoint, Checkpoints, Score, require_space
from mt.checkpoint.state import average, load_into, random_state, require_fit, set_random_state
from mt.checkpoint.tensors import describe_tensors, read_tensors

__all__ = [
    "Checkpoint", "Checkpoints", "Manifest", "RunLock", "Score", "average", "describe_tensors", "load_into",
    "random_state", "read_manifest", "read_tensors", "require_fit", "require_space", "set_random_state",
    "verify_folder", "write_folder",
]  # fmt: skip

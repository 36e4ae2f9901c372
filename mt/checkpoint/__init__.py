"""Checkpoints, and the models that are handed on: folders that appear whole or not at all."""

from mt.checkpoint.folder import (
    Manifest,
    RunLock,
    clean_up,
    read_json,
    read_manifest,
    read_tensors,
    verify_folder,
    write_folder,
)
from mt.checkpoint.run import Checkpoint, Checkpoints
from mt.checkpoint.state import average, load_into, random_state, set_random_state

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Manifest",
    "RunLock",
    "average",
    "clean_up",
    "load_into",
    "random_state",
    "read_json",
    "read_manifest",
    "read_tensors",
    "set_random_state",
    "verify_folder",
    "write_folder",
]

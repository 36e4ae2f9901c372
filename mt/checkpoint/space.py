"""Checks the free disk space before a run starts."""

import shutil
from pathlib import Path

from mt.errors import CheckpointError
from mt.files import explained


def require_space(folder: Path, checkpoint: int) -> None:
    """Raise `CheckpointError` unless two checkpoints of so many bytes fit: a new one is written before one is removed.

    A folder that does not exist yet will be on the disk of the nearest existing parent.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with explained(f"`{place}` cannot be used"):
        free = shutil.disk_usage(place).free
    if free < 2 * checkpoint:
        raise CheckpointError(
            f"the disk of `{folder}` has {free / 1e6:,.0f} MB free, but two checkpoints of {checkpoint / 1e6:,.0f} MB "
            "must fit.",
            hint="free some space, or choose another `run.root`.",
        )

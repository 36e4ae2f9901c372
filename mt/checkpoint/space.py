"""Is there room for what a run will write? Better asked before the first update than answered after the last."""

import shutil
from pathlib import Path

from mt.errors import CheckpointError
from mt.files import explained


def require_space(folder: Path, checkpoint: int) -> None:
    """Raise `CheckpointError` unless two checkpoints of so many bytes fit: the new one comes before the old one goes.

    A folder that is not there yet will be on the disk of the nearest one above it.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with explained(f"`{place}` cannot be used"):
        free = shutil.disk_usage(place).free
    if free < 2 * checkpoint:
        raise CheckpointError(
            f"`{folder}` has {free / 1e6:,.0f} MB left on its disk, but two checkpoints of {checkpoint / 1e6:,.0f} MB "
            "must fit: make room, or choose another `run.root`."
        )

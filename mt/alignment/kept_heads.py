"""The heads that `mt align` has chosen for a model, in `alignment.json` of the model folder."""

from pathlib import Path

from mt.alignment.aligner import FILE, from_file, to_file
from mt.alignment.choose_heads import Choice
from mt.alignment.heads import AlignmentHeads
from mt.checkpoint import verify_folder, write_folder
from mt.errors import CheckpointError
from mt.files import explained, read_json
from mt.nn.transformer import Transformer


def load_heads(folder: Path, model: Transformer) -> AlignmentHeads | None:
    """None: none were chosen yet. Raises: CheckpointError: when the file does not fit the model."""
    path = folder / FILE
    return from_file(read_json(path), model, str(path)) if path.is_file() else None


def save_heads(folder: Path, choice: Choice) -> None:
    """Raises: CheckpointError: when the folder is damaged, cannot be written or is a checkpoint."""
    manifest = verify_folder(folder)
    if "optimizer.safetensors" in manifest.files:
        raise CheckpointError(f"{folder} is a checkpoint, which only its run writes to.")
    with explained(f"`{folder}` cannot be read"):
        files = {name: (folder / name).read_bytes() for name in manifest.files}
    write_folder(
        folder, {**files, FILE: to_file(choice)}, meta=manifest.meta, free=manifest.free | {FILE}, replace=True
    )

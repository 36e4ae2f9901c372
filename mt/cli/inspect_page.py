"""The page that `mt inspect attention` writes."""

import logging
from pathlib import Path

from mt.files import explained

logger = logging.getLogger("mt")


def model_name(path: Path) -> str:
    """What a page calls the model of a folder: the name of its run, or its own."""
    return path.parent.name if path.name == "model" else path.name


def write_page(path: Path, html: str) -> None:
    """Raises: CheckpointError: when it cannot be written."""
    with explained(f"`{path}` cannot be written"):
        path.write_text(html, encoding="utf-8", newline="\n")
    logger.info(f"open {path} in a browser")

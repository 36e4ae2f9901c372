"""The folder of presets. Imports only the standard library, so that help is quick."""

import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
# An installed wheel carries the presets inside the package; a checkout has them beside it.
CONFIG_DIR = next(folder for folder in (HERE.parent / "configs", HERE.parents[1] / "configs") if folder.is_dir())


def groups(more: Path | None = None) -> Mapping[str, list[str]]:
    """The groups of presets with the names of their presets, ours and those of the user's folder `more`."""
    found: dict[str, set[str]] = {}
    for folder in filter(None, (CONFIG_DIR, more)):
        for file in folder.glob("*/**/*.yaml"):
            found.setdefault(file.parent.relative_to(folder).as_posix(), set()).add(file.stem)
    return {name: sorted(found[name]) for name in sorted(found)}


def default_presets() -> dict[str, str]:
    """The preset of each group that `train.yaml` names."""
    return dict(re.findall(r"^  - (\w+): (\w+)", (CONFIG_DIR / "train.yaml").read_text(encoding="utf-8"), re.M))

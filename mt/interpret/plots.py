"""Pictures for papers, through matplotlib (`pip install matplotlib`)."""

# pyright: reportMissingImports=false
# The library is an extra, and not there where only the core is checked.

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from mt.alignment.heads import read, word_maps
from mt.errors import require_package

if TYPE_CHECKING:
    from mt.interpret.report import Exhibit

CELL = 0.26  # inches a word
END = "∎"


def draw(exhibit: "Exhibit", path: Path) -> None:
    """The map of the first pair as the exhibit's reading takes it; the file's suffix names the format.

    Raises: ConfigError: when matplotlib is not installed.
    """
    seen = exhibit.seen[0]
    figure = heatmap(read(word_maps(seen), exhibit.reading), seen.source.word_texts, seen.target.word_texts)
    figure.savefig(path, bbox_inches="tight", dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)


def heatmap(weights: Float[Tensor, "V W1"], source: Sequence[str], target: Sequence[str]) -> Any:
    """A matplotlib figure: target words down, source words across, the end mark last.

    Raises: ConfigError: when matplotlib is not installed.
    """
    require_package("matplotlib", "a picture")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(CELL * len(source) + 1.2, CELL * len(target) + 1.2))
    axes = figure.add_subplot()
    axes.imshow(weights.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="equal")
    # A `$` would begin a formula.
    axes.set_xticks(range(len(source) + 1), [name.replace("$", r"\$") for name in (*source, END)], rotation=90)
    axes.set_yticks(range(len(target)), [name.replace("$", r"\$") for name in target])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    return figure

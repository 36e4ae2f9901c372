"""mt: train, translate with and evaluate neural machine translation models.

```python
import mt

mt.load("runs/my-run").translate(["Good morning."])
```
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mt.interchange import EXACT

if TYPE_CHECKING:
    from mt.decode.translator import Translator

    __version__: str

__all__ = ["__version__", "load"]


def load(
    path: str | Path | None = None,
    *,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto",
    cuda_graphs: bool = False,
    engine: Literal["torch", "ct2", "auto"] = "torch",
    quantization: str = EXACT,
    tag: str = "",
) -> "Translator":
    """A `Translator` from a model folder, a run folder (its best checkpoint) or a checkpoint; None: the newest run.

    Args: device: auto, cpu, cuda, cuda:N or mps; precision: int8 is for the CPU, and the fastest there;
        cuda_graphs: experimental, steps of small models as CUDA graphs on a GPU (docs/GPU.md); engine: ct2 searches
        with CTranslate2, whose export is made once, verified and kept beside the model; auto: where it can;
        quantization: of that export, as for `mt export ct2`. Precision and CUDA graphs are torch's, which auto chooses
        where they are given; tag: that each text is read with, such as "<2de>", which asks a model of several languages
        for one; a text with a tag keeps its own.
    Raises: CheckpointError: when there is no model there, or it is damaged; when the export cannot be written, or does
        not translate as the model. ConfigError: for an unknown device, precision, engine, quantization or tag; when
        the engine cannot search with the model, or for an argument of the other engine.
    """
    from mt.compute.host import before_torch

    before_torch()
    from mt.compute.waiting import watch_processors
    from mt.decode.load import load as load_model  # imports torch, so only when a model is loaded
    from mt.decode.load import with_tag

    watch_processors()
    if engine != "torch" or quantization != EXACT:
        from mt.interchange.load import load as load_for

        translator = load_for(
            path, engine=engine, quantization=quantization, device=device, precision=precision, cuda_graphs=cuda_graphs
        )
    else:
        translator = load_model(path, device=device, precision=precision, cuda_graphs=cuda_graphs)
    return with_tag(translator, tag) if tag else translator


def __getattr__(name: str) -> str:
    """`__version__`: of the installed package; "0+unknown" in a checkout that is not installed."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mt-trainer")
    except PackageNotFoundError:
        return "0+unknown"

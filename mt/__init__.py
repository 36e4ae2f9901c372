"""mt: train, translate with and evaluate neural machine translation models.

```python
import mt

mt.load("runs/my-run").translate(["Good morning."])
```
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mt.decode.translator import Translator


def load(path: str | Path | None = None, **settings: str) -> "Translator":
    """A `Translator` from a model folder, a run folder (its best checkpoint) or a checkpoint; None: the newest run.

    Args: settings: `device` (auto, cpu, cuda, mps) and `precision` (auto, fp32, bf16, fp16).
    Raises: CheckpointError: when there is no model there, or it is damaged.
    """
    from mt.compute.host import choose_waiting

    choose_waiting()
    from mt.compute.waiting import watch_processors
    from mt.decode.load import load as load_model  # imports torch, so only when a model is loaded

    watch_processors()
    return load_model(path, **settings)

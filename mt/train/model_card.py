"""The model card: what a model was trained on, its scores, how to use it, and its limits."""

import json
from collections.abc import Sequence
from typing import Any

from mt.text.metrics import Score


def vocabulary(tokenizer: dict[str, Any]) -> str:
    """How many pieces there are, of each side where each has its own. Args: tokenizer: that section of a manifest."""
    source = f"{tokenizer['source_pieces']:,} and " if "source_pieces" in tokenizer else ""
    return f"{source}{tokenizer['pieces']:,} pieces"


def model_card(facts: dict[str, Any], scores: Sequence[Score], test_name: str) -> str:
    """Markdown with the YAML header that model hubs read.

    Args: facts: the run's manifest; scores: of the test set; empty without one.
    """
    src, tgt = facts["src"], facts["tgt"]
    rows = "\n".join(f"| {s.name} | {s.value:.2f} | {_interval(s)} | `{_cell(s.signature)}` |" for s in scores)
    table = f"| score | value | 95 % interval | signature |\n|---|---|---|---|\n{rows}" if scores else "No test set."
    data, tokenizer = facts["data"], facts["tokenizer"]
    return f"""---
language: [{json.dumps(src)}, {json.dumps(tgt)}]
pipeline_tag: translation
library_name: mt
metrics: [bleu, chrf]
---

# {src} to {tgt}: {facts["name"]}

An encoder-decoder Transformer of {facts["parameters"]:,} parameters, trained on {data["train"]:,} sentence pairs
({data["name"]}, licence: {data["licence"]}).

## Scores on {test_name}

{table}

## Use

```
mt translate THIS_FOLDER < input.{src} > output.{tgt}
```

```python
import mt
mt.load("THIS_FOLDER").translate(["..."])
```

## Made by

- vocabulary: {tokenizer["kind"]}, {vocabulary(tokenizer)}, sha256 {tokenizer["sha256"]}
- updates: {facts["steps"]:,}, {facts["tgt_tokens"]:,} target tokens, {facts["minutes"]:.1f} minutes
- training text: sha256 {data["fingerprint"]}{"".join(map(_ancestor, facts.get("ancestry", [])))}
- seed: {facts["seed"]}

## Limits

The model knows the kind of text that it was trained on and no other: expect worse on longer sentences, other domains
and names it never saw. It can leave out or invent meaning; have a person check what matters.
"""


def _ancestor(one: dict[str, Any]) -> str:
    """A line on a model that this one went on from: its text is in the weights, too."""
    text = f"{one['data']}, licence: {one['licence']}" if one["data"] else "text not known"
    return f"\n- went on from: {one['name']} ({text}; weights sha256 {one['weights']})"


def _interval(score: Score) -> str:
    return "" if score.confidence is None else f"± {score.confidence:.2f}"


def _cell(text: str) -> str:
    """For a cell of a table: `|` would end it, in code too."""
    return text.replace("|", "\\|")

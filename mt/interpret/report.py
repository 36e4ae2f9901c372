"""The attention of a model as one HTML file, which needs no network.

The texts are not trusted. They are stored as JSON without any `<`, the page shows them as text only, and its content
security policy runs no other scripts than those of this file.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mt.alignment.heads import AlignmentHeads, hard_links, head_mean, word_maps
from mt.alignment.observe import Observation, Side
from mt.alignment.pharaoh import Gold, compare
from mt.interpret.contribution import Contribution
from mt.text.words import has_letters

PAGE = resources.files("mt.interpret") / "page"


@dataclass(frozen=True)
class Exhibit:
    """One model in a report, with its passes over all pairs and the heads that are shown first."""

    name: str
    heads: AlignmentHeads
    chosen: str  # how the heads were chosen, as a sentence
    seen: Sequence[Observation]
    contributions: Sequence[Contribution]
    gold: Sequence[Gold] = field(default_factory=list)


def page(exhibits: Sequence[Exhibit], title: str) -> str:
    """The HTML of the file. Args: exhibits: one model, or two on the same sources."""
    return filled("page", {"title": title, "models": [_model(exhibit) for exhibit in exhibits]})


def filled(name: str, values: Any) -> str:
    """The HTML of one of the pages in `page/`, with its style, its script and the values that it shows."""
    shell, body, css, common, own = (
        (PAGE / part).read_text(encoding="utf-8")
        for part in ("shell.html", f"{name}.html", "page.css", "common.js", f"{name}.js")
    )
    script = common + own
    policy = "; ".join(
        ["default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(css)}",
         "base-uri 'none'", "form-action 'none'"]
    )  # fmt: skip
    contents = {"policy": policy, "style": css, "body": body, "script": script, "data": as_script(values)}
    head, *rest = shell.split("{{")
    return head + "".join(contents[name] + text for name, text in (part.split("}}", 1) for part in rest))


def as_script(values: Any) -> str:
    """JSON for a `<script>` element: nothing in it ends the element or begins a comment."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _model(exhibit: Exhibit) -> dict[str, Any]:
    maps = [word_maps(seen) for seen in exhibit.seen]
    pairs: list[dict[str, Any]] = [
        {
            "source": words_of(seen.source),
            "target": words_of(seen.target),
            "weights": packed(weights),
            "log_probs": rounded(owed.log_probs),
            "shuffled": rounded(owed.shuffled),
            "dropped": rounded(owed.dropped),
        }
        for seen, weights, owed in zip(exhibit.seen, maps, exhibit.contributions, strict=True)
    ]
    for pair, drawn in zip(pairs, exhibit.gold, strict=False):  # may be empty
        pair |= {"gold": sorted(drawn.sure), "possible": sorted(drawn.possible)}
    return {
        "name": exhibit.name,
        "layers": maps[0].shape[1],
        "heads": maps[0].shape[2],
        "reading": asdict(exhibit.heads),
        "described": exhibit.heads.describe(),
        "chosen": exhibit.chosen,
        "heads_seen": heads_table(exhibit.seen, maps, exhibit.gold),
        "pairs": pairs,
    }


def heads_table(seen: Sequence[Observation], maps: Sequence[Tensor], gold: Sequence[Gold]) -> list[dict[str, Any]]:
    """Of each head, over all pairs: entropy, and the shares of its weight on eos and on punctuation.

    Entropy is that of the weights over source words and eos, in bits, averaged over target words. With gold links also
    the AER of the head's links, from the predicting rows and from the input rows.
    """
    _, layers, heads, _, _ = maps[0].shape
    words = max(1, sum(m.shape[3] for m in maps))
    bits = sum(-(m.clamp(min=1e-9).log2() * m).sum((-1, -2)) for m in maps) / words  # (2, L, H)
    ends = sum(m[..., -1].sum(-1) for m in maps) / words
    signs = sum(m[..., _signs(one.source)].sum((-1, -2)) for one, m in zip(seen, maps, strict=True)) / words
    table = []
    for layer, head in product(range(layers), range(heads)):
        parts = {"entropy": bits, "end": ends, "signs": signs}
        entry: dict[str, Any] = {"layer": layer, "head": head}
        entry |= {name: rounded(torch.as_tensor(values)[:, layer, head].tolist()) for name, values in parts.items()}
        if gold:
            ways = [AlignmentHeads(layer, (head,), shifted) for shifted in (False, True)]
            entry["aer"] = [round(compare([hard_links(head_mean(m, way)) for m in maps], gold).aer, 4) for way in ways]
        table.append(entry)
    return table


def _signs(side: Side) -> list[int]:
    """Words without letters and digits."""
    return [i for i, word in enumerate(side.word_texts) if not has_letters(word)]


def words_of(side: Side) -> list[dict[str, str]]:
    """Each word and the text between it and the word before."""
    ends = [0, *(end for _, end in side.words)]
    return [
        {"t": side.text[a:b], "g": side.text[before:a]} for (a, b), before in zip(side.words, ends[:-1], strict=True)
    ]


def packed(weights: Tensor) -> str:
    """Weights in steps of 1/255 as bytes, row by row, in base 64."""
    return base64.b64encode((weights.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes()).decode()


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]

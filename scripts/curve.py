"""The learning curve of a run as a Markdown table.

python scripts/curve.py runs/multi30k_en_de
"""

import sys
from pathlib import Path

from mt.log import read_metrics


def curve(folder: Path) -> str:
    """One row per validation: where the run stood, and what the dev set said."""
    lines = read_metrics(folder / "metrics.jsonl")
    train = {line["step"]: line for line in lines if line["kind"] == "train"}
    rows = ["| step | epoch | train loss | dev loss | dev BLEU (greedy) | dev chrF++ |", "|---|---|---|---|---|---|"]
    for line in lines:
        if line["kind"] == "dev":
            before = [step for step in train if step <= line["step"]]
            near = train[max(before)] if before else {"epoch": 0.0, "nll": float("nan")}
            rows.append(
                f"| {line['step']:,} | {near['epoch']:.1f} | {near['nll']:.3f} | {line['loss']:.3f} "
                f"| {line['bleu']:.2f} | {line['chrf']:.2f} |"
            )
    return "\n".join(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(curve(Path(sys.argv[1])))

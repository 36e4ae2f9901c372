"""The learning curve of a run as a Markdown table.

python scripts/curve.py runs/multi30k_en_de
"""

import argparse
from pathlib import Path
from statistics import fmean

from mt.errors import DataError
from mt.log import read_metrics


def curve(folder: Path) -> str:
    """One row per validation: where the run stood, the mean training loss since the row above, and the dev scores."""
    rows = ["| step | epoch | train loss | dev loss | dev BLEU (greedy) | dev chrF++ |", "|---|---|---|---|---|---|"]
    since: list[dict[str, float]] = []
    for line in read_metrics(folder / "metrics.jsonl"):
        if line["kind"] == "train":
            since.append(line)
        elif line["kind"] == "dev" and since:
            loss = fmean(update["nll"] for update in since)
            rows.append(
                f"| {line['step']:,} | {since[-1]['epoch']:.1f} | {loss:.3f} | {line['loss']:.3f} "
                f"| {line['bleu']:.2f} | {line['chrf']:.2f} |"
            )
            since = []
    return "\n".join(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    try:
        print(curve(parser.parse_args().run))
    except DataError as error:
        parser.error(error.message)

"""Counts of the server in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter

from mt.serve.engine import Engine

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Metrics:
    """Requests by path and status. Unknown paths are counted as one, so that no client can fill the memory."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.characters = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def add(self, path: str, status: int, seconds: float) -> None:
        self.requests[path, status] += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1

    def text(self, engine: Engine) -> str:
        done = engine.counts
        lines = ["# TYPE mt_requests_total counter"]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'mt_requests_total{{path="{path}",status="{status}"}} {count}')
        lines.append("# TYPE mt_request_seconds histogram")
        total = 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self.buckets, strict=True):
            total += count
            lines.append(f'mt_request_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"mt_request_seconds_sum {self.seconds:.6f}", f"mt_request_seconds_count {total}"]
        for name, kind, value in (
            ("mt_characters_total", "counter", self.characters),
            ("mt_batches_total", "counter", done.batches),
            ("mt_parts_total", "counter", done.parts),
            ("mt_source_tokens_total", "counter", done.tokens),
            ("mt_search_seconds_total", "counter", f"{done.seconds:.6f}"),
            ("mt_waiting_requests", "gauge", engine.waiting),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"

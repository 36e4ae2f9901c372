"""Throughput and loss over the last updates, for the progress line."""

from collections import deque

from mt.train.step import Update


class Window:
    """The last `size` updates, each with the seconds that it took."""

    def __init__(self, size: int) -> None:
        self.updates: deque[tuple[Update, float]] = deque(maxlen=size)

    def add(self, update: Update, seconds: float) -> None:
        self.updates.append((update, seconds))

    def means(self) -> tuple[float, float, float, float]:
        """Loss per target token; source and target tokens per second; tokens per update of the side that has more."""
        good = [u for u, _ in self.updates if not u.skipped]
        seconds = sum(s for _, s in self.updates) or 1e-9
        src_tokens, tgt_tokens = sum(u.src_tokens for u in good), sum(u.tgt_tokens for u in good) or 1
        loss = sum(u.nll * u.tgt_tokens for u in good) / tgt_tokens
        per_update = sum(u.larger_side for u, _ in self.updates) / max(1, len(self.updates))
        return loss, src_tokens / seconds, tgt_tokens / seconds, per_update

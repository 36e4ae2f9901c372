"""A stand-in for CUDA graphs on machines without a GPU."""


class Player:
    """Replaces `mt.compute.cuda_graphs.capture`: replays write into the same tensors, as a graph does."""

    def __init__(self):
        self.recordings = self.replays = 0

    def __call__(self, work, device, pool=None):
        self.recordings += 1
        results = work()

        def replay():
            self.replays += 1
            for kept, new in zip(results, work(), strict=True):
                kept.copy_(new)

        return replay, results

"""What the fork server of the data workers imports before it forks the first one (`mt.data.batching.workers`)."""

import atexit
import os

import mt.data.batching.workers  # noqa: F401  all that a worker needs

# Its end must not wait for torch to be taken down, which takes seconds: meanwhile it would hold the training's stdout
# open. Workers have an end of their own.
atexit.register(os._exit, 0)

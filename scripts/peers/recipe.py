"""The training of every toolkit, in figures that all of them can express."""

WARM_UP = 10  # updates before the clock starts: allocators and kernels warm up in them
LOG_EVERY = 5  # updates between two lines that are stamped
DROPOUT = LABEL_SMOOTHING = 0.1
BETAS, EPS, CLIP_NORM = (0.9, 0.98), 1e-9, 1.0
PEAK_RATE, RATE_WARM_UP = 1e-3, 100  # linear up, then inverse square root: the one schedule that all can express
SEED = 1

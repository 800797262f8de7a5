"""Training a byte-pair encoding: `train` is the interface, `merges` the algorithm; the others are arrays and kernels."""

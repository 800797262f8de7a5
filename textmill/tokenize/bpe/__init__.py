"""Training a byte-pair encoding: `train` is the interface, `merges` the algorithm, the rest its arrays and kernels."""

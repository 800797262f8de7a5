"""From the bytes of an archive to records, responses, and decoded pages. Knows nothing of stages, dask or torch."""

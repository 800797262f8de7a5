"""From archives to a corpus: reading, extraction, stages, the runner and its reports."""

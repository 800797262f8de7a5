"""Finding documents that say the same: equal texts, and near-duplicates by MinHash, LSH and connected components.

    exact.content_hashes            128-bit hash of the text; equal texts
    normalize.Normalization         what counts as the same text
    minhash.MinHash.band_hashes     14 hashes a document; documents alike share one or more of them
    lsh.candidate_pairs             documents that share a hash, one band at a time
    minhash.pair_similarities       the true Jaccard similarity of each candidate pair
    clusters.connected_components   pairs above a threshold -> clusters

All of it works on arrays of numbers. Which document of a cluster lives is decided elsewhere, after the rules.
"""

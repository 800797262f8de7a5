"""Token shards: what a model trains on, with the way back from every token to its record.

token_shards    the files, their manifest, and reading them
writer          writing them
check           reading every byte
mix             several sources in one shuffled order (`permutation`)
formats         what other trainers read: `exports`, `imports`
"""

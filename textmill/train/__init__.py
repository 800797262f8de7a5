"""Training: token shards in; a decoder-only Transformer, its log and its checkpoint out. Needs the extra ``train``.

Only `textmill.train.config` and `textmill.train.accounting` may be imported without torch.
"""

"""A small web of our own: a deterministic crawl whose every page, duplicate and e-mail address is known beforehand."""

"""From the markup of a page to its main content.

markup     the page's bytes, cut into blocks of text and a table of elements
features   numbers for each block; trees: the forests that judge them; engine: the model, and both put together
compose    which blocks to keep, and their text; asides: what is left out by its name
budgets    pages too expensive for parsers that build a tree
train/     how the model is made
"""

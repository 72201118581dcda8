"""From files and Python values to ragged batches.

- `ragged`: sequences of unequal length without padding, and the batches they go into.
- `text`: tokens, vocabularies, subwords, long texts.
- `tables`: labelled files and folders.
- `known`: data sets by address and checksum.

Import from the modules: reading a file does not load torch, `ragged` and `vocabulary` do.
"""

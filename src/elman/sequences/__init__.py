"""From files and Python values to ragged batches.

`text` splits, `vocabulary` numbers, `tables` reads labelled files, `ragged` holds sequences of
unequal length without padding, `batches` groups them, `datasets` names known data by checksum.
Import from these modules: reading a file does not load torch, `ragged` and `vocabulary` do.
"""

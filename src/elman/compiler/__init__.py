"""The compiler for recurrent cells: from one step, written in Python, to code that runs it over a batch.

It handles numbers and time only. Words, labels, files and `torch.nn.Module` are for the packages above it.
"""

"""The compiler for recurrences: one step of a cell in, runnable forms of it out.

It knows numbers and time. It knows no words, labels, files or `torch.nn.Module`.
"""

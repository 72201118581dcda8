"""Sequences of any length as one batch: ragged tensors, their lengths and positions."""

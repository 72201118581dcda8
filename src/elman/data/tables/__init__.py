"""Labelled files read into columns."""

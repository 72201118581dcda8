"""Series of numbers, from files and from Python."""

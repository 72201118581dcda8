"""The targets, which run graphs. A target handles operations, and no cell by name."""

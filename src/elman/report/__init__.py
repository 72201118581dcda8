"""The report of a run: parts that a task lists, shown on a page or in a terminal."""

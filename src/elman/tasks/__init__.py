"""What can be learned from sequences, one task a file; TASKS lists them."""

TASKS: dict[str, str] = {
    "classify": "one label for each sequence",
    "language": "the next token of a text",
}

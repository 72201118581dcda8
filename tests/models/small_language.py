"""A small text, another one with the same words, and the settings of a small language model."""

TEXT = "the cat sat on the mat and the dog sat on the log\n" * 24
OTHER = "the dog sat on the mat and the cat sat on the log\n" * 8
SMALL = {"hidden_size": 12, "embedding_size": 6, "streams": 4, "window": 10, "epochs": 2, "learning_rate": 0.02}

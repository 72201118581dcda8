"""Writing text with a language model, token by token.

`sampling` draws tokens from scores, `writing` joins tokens to text, `generator` puts both on a network's stream.
"""

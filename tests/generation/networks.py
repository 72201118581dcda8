"""A small language network, of torch's embedding and linear layer and a `Recurrent` between them."""

import torch
from torch import Tensor, nn

from elman import Recurrent, State
from elman.generation.generator import GenerationSettings, Generator, Samples
from elman.nn.token_stream import TokenStream
from elman.sequences.text import Tokenizer, TokenKind
from elman.sequences.vocabulary import Vocabulary
from elman.settings import check_settings

LETTERS = "abcdefgh .\n"
KINDS: dict[TokenKind, Vocabulary] = {
    "characters": Vocabulary(LETTERS, unknown="refuse"),
    # The bytes of "aé€😀", so that characters of all lengths come up.
    "bytes": Vocabulary(["61", "c3", "a9", "e2", "82", "ac", "f0", "9f", "98", "80"], unknown="refuse"),
    "words": Vocabulary(["so", "it", "goes", ",", "then", "."], begin=True, end=True),
}


class Network(nn.Module):
    """Scores of the next token, wild enough that texts differ."""

    def __init__(self, tokens: int, *, cell: str = "gru", num_layers: int = 2, target: str | None = None):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.embedding = nn.Embedding(tokens, 6)
        self.body = Recurrent(cell, 6, 7, num_layers=num_layers, target=target)
        self.head = nn.Linear(7, tokens)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def stream(self, state: State | None = None, *, batch_size: int = 1) -> TokenStream:
        return TokenStream(self.embedding.weight, self.body, self.head, state, batch_size=batch_size)

    @torch.no_grad()
    def scores(self, tokens: list[int]) -> Tensor:
        """After each of these tokens, read in one go: `(tokens, vocabulary)`."""
        if not tokens:
            return self.head(torch.zeros(1, self.body.output_size, dtype=self.head.weight.dtype))
        return self.head(self.body(self.embedding(torch.tensor([tokens])))[0][0])


def samples(kind: TokenKind = "characters", *, network: Network | None = None, prompt="", state=None, **settings):
    vocabulary = KINDS[kind]
    network = network or Network(len(vocabulary))
    checked = check_settings(GenerationSettings, settings)
    return Samples(network, Tokenizer(kind), vocabulary, checked, prompt=prompt, state=state)


def generate(kind: TokenKind = "characters", **given) -> Generator:
    return Generator(samples(kind, **given))

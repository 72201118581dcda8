"""A small language network, of torch's embedding and linear layer and a `Recurrent` between them."""

import torch
from torch import Tensor, nn

from elman import Recurrent, State
from elman.data.text.coders import ByteCoder, CharacterCoder, Coder, CoderSettings, WordCoder
from elman.data.text.vocabulary import Vocabulary
from elman.generation.generator import GenerationSettings, Generator, Samples
from elman.nn.token_stream import TokenStream
from elman.settings import check_settings

LETTERS = "abcdefgh .\n"
WORDS = ["so", "it", "goes", ",", "then", ".", "\n"]
# The bytes of "aé€😀", so that characters of all lengths come up.
BYTES = [0x61, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80]
CODERS: dict[str, Coder] = {
    "characters": CharacterCoder(CoderSettings(tokens="characters"), Vocabulary(LETTERS, unknown="refuse")),
    "bytes": ByteCoder(CoderSettings(tokens="bytes")),
    "words": WordCoder(CoderSettings(tokens="words"), Vocabulary(WORDS)),
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


def network_for(kind: str, **options) -> Network:
    """A network that writes tokens of this kind; of all bytes, only some are likely."""
    network = Network(len(CODERS[kind].vocabulary), **options)
    if kind == "bytes":
        with torch.no_grad():
            network.head.bias[[byte for byte in range(256) if byte not in BYTES]] -= 30
    return network


def samples(kind: str = "characters", *, network: Network | None = None, prompt="", state=None, **settings) -> Samples:
    checked = check_settings(GenerationSettings, settings)
    return Samples(network or network_for(kind), CODERS[kind], checked, prompt=prompt, state=state)


def generate(kind: str = "characters", **given) -> Generator:
    return Generator(samples(kind, **given))

"""The memory that a text takes: `memory_of_a_text.py FILE MEGABYTES` writes such a text, reads it, and prints JSON.

For each stage the largest resident memory so far, in MiB, of the file and of everything else.
"""

import json
import sys
import threading
import time
from pathlib import Path

from elman.data.text import coders, corpus, subwords, token_text
from elman.data.text.coders import CoderSettings
from elman.data.text.corpus import open_corpus
from elman.data.text.streams import TokenStreams
from elman.data.text.token_text import learn_tokens

PART = "It was the best of times, it was the worst of times — naïve, 𝄞.\n" * 1000
# What is left out of the text, and how it is then read.
CASES = {
    "characters": ("", {"tokens": "characters"}),
    "bytes": ("", {"tokens": "bytes"}),
    "words": ("", {"tokens": "words"}),
    "lower case without blanks": (" \n", {"tokens": "characters", "lower_case": True}),
    "subwords without line ends": ("\n", {"tokens": "subwords", "max_tokens": 300}),
}
# Small pieces, so that a short text is already many of them.
corpus.PIECE_BYTES = coders.LONGEST_PIECE = token_text.IDS_AT_A_TIME = 2**16
# sentencepiece may take memory for the characters that it learns from, whose number is limited.
subwords.CHARACTERS_TO_LEARN_FROM = 2**18


class Peak(threading.Thread):
    """Looks at the memory of this process again and again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.largest = 0.0

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.002)

    def look(self) -> float:
        words = Path("/proc/self/statm").read_text().split()
        self.largest = max(self.largest, int(words[1]) * 4096 / 2**20)
        return self.largest


def main(path: Path, megabytes: int) -> None:
    peak = Peak()
    peak.start()
    found = {}
    for name, (left_out, settings) in CASES.items():
        write(path, megabytes, PART.translate(dict.fromkeys(map(ord, left_out))).encode())
        _, text = learn_tokens(open_corpus(path), CoderSettings.model_validate(settings))
        found[f"{name} encoded"] = peak.look()
        streams = TokenStreams(text, streams=64, window=100)
        for number in streams.plan(0):
            streams.read(number)
        found[f"{name} read"] = peak.look()
    print(json.dumps(found))


def write(path: Path, megabytes: int, part: bytes) -> None:
    # The pages of the file before are still mapped.
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        while file.tell() < megabytes * 2**20:
            file.write(part)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

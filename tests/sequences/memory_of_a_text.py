"""The memory that a text takes: `memory_of_a_text.py FILE MEGABYTES` writes such a text, reads it, and prints JSON.

For each stage the largest resident memory so far, in MiB, of the file and of everything else.
"""

import json
import sys
import threading
import time
from pathlib import Path

from elman.sequences.coders import CoderSettings
from elman.sequences.corpus import open_corpus
from elman.sequences.streams import TokenStreams
from elman.sequences.token_text import learn_tokens

PART = "It was the best of times, it was the worst of times — naïve, 𝄞.\n".encode() * 1000


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
    with path.open("wb") as file:
        while file.tell() < megabytes * 2**20:
            file.write(PART)
    peak = Peak()
    peak.start()
    found = {}
    for tokens in ("characters", "bytes", "words"):
        _, text = learn_tokens(open_corpus(path), CoderSettings(tokens=tokens))
        found[f"{tokens} encoded"] = peak.look()
        streams = TokenStreams(text, streams=64, window=100)
        for number in streams.plan(0):
            streams.read(number)
        found[f"{tokens} read"] = peak.look()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

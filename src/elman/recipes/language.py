"""Language models: characters of Wikipedia, with a built-in and a custom cell, and of Shakespeare; words."""

from functools import partial

from elman.recipes.recipe import Recipe
from elman.recipes.texts import read_parts, whole_alphabet

WIKI = {
    "tokens": "characters",
    "embedding_size": 300,
    "hidden_size": 300,
    "num_layers": 2,
    # Of some 1,500 characters, all but 0.2% of a text are among the first 128.
    "softmax": "adaptive",
    "cutoffs": (128,),
    "dropout": 0.3,
    "output_dropout": 0.3,
    "streams": 512,
    "window": 100,
    "optimizer": "adam",
    "learning_rate": 4e-3,
    "schedule": "linear",
    "warmup_fraction": 0.02,
    "epochs": 26,
    "checkpoint_seconds": 120.0,
}
WIKI_SOURCE = "lecture notebook on a character model of Wikipedia with a custom GRU, all of enwik8"

wiki_chars_gru = Recipe(
    name="wiki-chars-gru",
    summary="2 × GRU(300) over characters, 512 streams of 100, the built-in cell",
    task="language",
    data=("enwik8", "enwik8-prefix"),
    any_data=True,
    read=whole_alphabet,
    settings={**WIKI, "cell": "gru"},
    reported={"training_losses": [2.271, 1.549, 1.454]},
    source=WIKI_SOURCE,
)

wiki_chars_own_gru = Recipe(
    name="wiki-chars-own-gru",
    summary="the same with a GRU from a cell file",
    task="language",
    data=("enwik8", "enwik8-prefix"),
    any_data=True,
    read=partial(whole_alphabet, own_cell="own_gru.py:own_gru"),
    settings=WIKI,
    reported={"training_losses": [2.198, 1.534, 1.443, 1.398, 1.370, 1.351]},
    source=WIKI_SOURCE,
)

shakespeare_chars = Recipe(
    name="shakespeare-chars",
    summary="2 × LSTM(384) over the characters of Shakespeare, 90% to train on and 10% to validate",
    task="language",
    data=("tiny-shakespeare",),
    any_data=True,
    read=read_parts,
    settings={
        "tokens": "characters",
        "cell": "lstm",
        "embedding_size": 64,
        "hidden_size": 384,
        "num_layers": 2,
        "dropout": 0.3,
        "output_dropout": 0.3,
        "streams": 32,
        "window": 100,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup_fraction": 0.03,
        "epochs": 17,
    },
)

WORDS = {
    "tokens": "words",
    "split": "blanks",
    "cell": "lstm",
    "embedding_size": 300,
    "hidden_size": 300,
    "num_layers": 2,
    "tied": True,
    # Of 33,279 words; the full softmax would take most of the hour.
    "softmax": "sampled",
    "softmax_samples": 1024,
    "streams": 20,
    "window": 70,
    "learning_rate": 4e-3,
    "schedule": "cosine",
    "warmup_fraction": 0.02,
    "clip_norm": 0.25,
    "epochs": 12,
    "checkpoint_seconds": 120.0,
}

wikitext_words = Recipe(
    name="wikitext-words",
    summary="words, 2 × LSTM(300), tied, regularised as AWD-LSTM is: weight drop, variational dropout, AR and TAR",
    task="language",
    data=("wikitext-2", "wikitext-2-v1"),
    any_data=True,
    read=read_parts,
    settings={
        **WORDS,
        "weight_drop": 0.2,
        "dropout": 0.2,
        "embedding_dropout": 0.05,
        "input_dropout": 0.25,
        "output_dropout": 0.3,
        "activation_regularisation": 2.0,
        "temporal_regularisation": 1.0,
    },
)

wikitext_words_plain = Recipe(
    name="wikitext-words-plain",
    summary="the same network with no regularisation",
    task="language",
    data=("wikitext-2", "wikitext-2-v1"),
    any_data=True,
    read=read_parts,
    # It learns the text by heart: after the second epoch its validation loss hardly falls.
    settings={**WORDS, "epochs": 5},
)

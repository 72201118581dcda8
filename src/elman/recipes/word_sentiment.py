"""Positive or negative, from the letters of a word: the three networks of the lecture, and the best one here.

The lecture's networks read words of up to 24 letters of the alphabet a to z, one-hot, in minibatches of 10 for 20
epochs; any other character is a row of zeros. The simple network and the LSTM are trained for 40 epochs in minibatches
of 16, with smoothed labels: both need several epochs before they do better than the majority. Learning rates,
schedules, dropout before the dense layers and the average of the weights were chosen on 15% of the training words, held
out; the test words chose nothing.
"""

import string

from elman.recipes.recipe import PLAIN, Recipe
from elman.recipes.texts import read_words

SOURCE = "lecture notebook on character-level word sentiment with dynamic axes (CNTK)"
LETTERS = {"tokens": "characters", "alphabet": string.ascii_lowercase, "lower_case": True, "embedding": "one-hot"}
LECTURE = {**PLAIN, **LETTERS, "batch_size": 10, "epochs": 20}

word_sentiment_dense = Recipe(
    name="word-sentiment-dense",
    summary="padded one-hot letters, Dense(500, relu), Dense(2)",
    task="classify",
    threads=1,
    data=("sentiment-words",),
    read=read_words,
    settings={
        **LECTURE,
        "cell": "none",
        "pooling": "flatten",
        "max_length": 24,
        "dense": (500,),
        "learning_rate": 1e-3,
        "schedule": "linear",
    },
    reported={"accuracy": 0.648, "parameters": 313_502},
    source=SOURCE,
)

word_sentiment_rnn = Recipe(
    name="word-sentiment-rnn",
    summary="one-hot letters, SimpleRNN(200, relu), last, Dense(100, relu), Dense(2)",
    task="classify",
    threads=1,
    data=("sentiment-words",),
    read=read_words,
    settings={
        **LECTURE,
        "cell": "simple_rnn",
        "cell_options": {"activation": "relu"},
        "hidden_size": 200,
        "dense": (100,),
        "epochs": 40,
        "batch_size": 16,
        "learning_rate": 1.5e-3,
        "schedule": "cosine",
        "bucketing": False,
        "dropout": 0.5,
        "average_decay": 0.998,
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
    },
    reported={"accuracy": 0.698, "parameters": 65_702},
    source=SOURCE,
)

word_sentiment_lstm = Recipe(
    name="word-sentiment-lstm",
    summary="one-hot letters, LSTM(200), last, Dense(100, relu), Dense(2)",
    task="classify",
    threads=1,
    data=("sentiment-words",),
    read=read_words,
    settings={
        **LECTURE,
        "cell": "lstm",
        "hidden_size": 200,
        "dense": (100,),
        "epochs": 40,
        "batch_size": 16,
        "learning_rate": 5e-3,
        "schedule": "cosine",
        "dropout": 0.5,
        "average_decay": 0.998,
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
    },
    reported={"accuracy": 0.828, "parameters": 201_902},
    source=SOURCE,
)

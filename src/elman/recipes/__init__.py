"""The textbook experiments: each a small declarative file, with what its source reported."""

from elman.recipes.recipe import Recipe
from elman.recipes.word_sentiment import word_sentiment_dense, word_sentiment_lstm, word_sentiment_rnn

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (word_sentiment_dense, word_sentiment_rnn, word_sentiment_lstm)
}

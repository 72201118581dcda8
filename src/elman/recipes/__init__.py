"""The textbook experiments: each a small declarative file, with what its source reported."""

from elman.recipes.recipe import Recipe
from elman.recipes.word_sentiment import word_sentiment_dense, word_sentiment_lstm, word_sentiment_rnn
from elman.recipes.word_sentiment_best import PretrainedRecipe, word_sentiment_best

RECIPES: dict[str, Recipe | PretrainedRecipe] = {
    recipe.name: recipe
    for recipe in (word_sentiment_dense, word_sentiment_rnn, word_sentiment_lstm, word_sentiment_best)
}

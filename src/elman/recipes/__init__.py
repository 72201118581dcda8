"""The textbook experiments: each a small declarative file, with what its source reported."""

from elman.recipes.language import (
    shakespeare_chars,
    wiki_chars_gru,
    wiki_chars_own_gru,
    wikitext_words,
    wikitext_words_plain,
)
from elman.recipes.language_recipe import LanguageRecipe
from elman.recipes.recipe import Recipe
from elman.recipes.word_sentiment import word_sentiment_dense, word_sentiment_lstm, word_sentiment_rnn
from elman.recipes.word_sentiment_best import PretrainedRecipe, word_sentiment_best

RECIPES: dict[str, Recipe | PretrainedRecipe | LanguageRecipe] = {
    recipe.name: recipe
    for recipe in (
        word_sentiment_dense,
        word_sentiment_rnn,
        word_sentiment_lstm,
        word_sentiment_best,
        wiki_chars_gru,
        wiki_chars_own_gru,
        shakespeare_chars,
        wikitext_words,
        wikitext_words_plain,
    )
}

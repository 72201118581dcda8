"""The textbook experiments: each a small declarative file, with what its source reported."""

from typing import Any

from elman.recipes.appliances import appliance_series
from elman.recipes.compare_sick import compare_sick
from elman.recipes.digits import describe_digits
from elman.recipes.forecasts import airline, etth1_96, etth1_96_long, etth1_720, etth1_720_last, sunspots
from elman.recipes.language import (
    shakespeare_chars,
    wiki_chars_gru,
    wiki_chars_own_gru,
    wikitext_words,
    wikitext_words_plain,
)
from elman.recipes.long_memory_runs import LONG_MEMORY
from elman.recipes.mackey_glass import mackey_glass_step
from elman.recipes.news import news_bilstm, news_lstm, news_rnn, news_rnn_titles
from elman.recipes.news_best import news_best
from elman.recipes.oil_temperature import oil_temperature_stack
from elman.recipes.pixel_digits import pixel_digits_permuted, pixel_digits_rows
from elman.recipes.recipe import Recipe as Recipe
from elman.recipes.reservoirs import RESERVOIRS
from elman.recipes.tag_pos import tag_pos
from elman.recipes.tag_toy import tag_toy
from elman.recipes.translations import (
    translate_dates,
    translate_en_de,
    translate_numbers,
    translate_toy_forcing,
)
from elman.recipes.word_sentiment import word_sentiment_dense, word_sentiment_lstm, word_sentiment_rnn
from elman.recipes.word_sentiment_best import word_sentiment_best

RECIPES: dict[str, Any] = {
    recipe.name: recipe
    for recipe in (
        word_sentiment_dense,
        word_sentiment_rnn,
        word_sentiment_lstm,
        word_sentiment_best,
        news_rnn_titles,
        news_rnn,
        news_lstm,
        news_bilstm,
        news_best,
        appliance_series,
        oil_temperature_stack,
        mackey_glass_step,
        *RESERVOIRS,
        *LONG_MEMORY,
        pixel_digits_rows,
        pixel_digits_permuted,
        tag_toy,
        tag_pos,
        compare_sick,
        wiki_chars_gru,
        wiki_chars_own_gru,
        shakespeare_chars,
        wikitext_words,
        wikitext_words_plain,
        etth1_96,
        etth1_720,
        etth1_720_last,
        etth1_96_long,
        sunspots,
        airline,
        translate_en_de,
        translate_dates,
        translate_numbers,
        translate_toy_forcing,
        describe_digits,
    )
}

"""Recurrent sequence models on PyTorch: write a cell once, run it over sequences of any length.

Fit, evaluate, use, save and load a model, each in one line::

    from elman import SequenceClassifier
    model = SequenceClassifier().fit(texts, labels)
    model.predict(["stupendous", "dreadful"])

Or build a network of layers::

    from elman import LSTM, Ragged
    layer = LSTM(input_size=3, hidden_size=5)
    steps, last = layer(Ragged.from_list([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]))

Models, for whole tasks:
    `SequenceClassifier`    one label for each sequence
    `SequenceComparer`      a number or a label for two sequences
    `SequenceRegressor`     a number for each sequence
    `SequenceTagger`        one label for each step
    `Translator`            a text for each text
    `Describer`             a text for each vector
    `SequenceForecaster`    the next steps of series of numbers
    `LanguageModel`         the next token; generates text
    `EchoStateNetwork`      the next value of a series, or a target for each step, by a reservoir
    `open_model`            open a saved model of any task
    `predict_dataset`       answers to the rows of a Ray dataset

Layers, each a `torch.nn.Module`:
    `SimpleRNN`, `LSTM`, `GRU`    the textbook layers
    `Recurrent`             a layer of any cell
    `Embedding`             a learned row for each id
    `Attention`, `Pooling`  one row for each sequence
    `State`                 the states of a recurrent layer, to continue from
    `summary`               a table of a network's layers, shapes and parameters
    `elman.nn`              more layers; `elman.nn.torch` has those of `torch.nn` with the same arguments

Sequences:
    `Ragged`                a batch of sequences of any length, without padding
    `Vocabulary`            tokens of text to ids and back
    `SequenceEncoder`       texts to batches: splits them into tokens, learns the vocabulary with `adapt`

Cells, the equations of one step:
    `@cell`                 make a cell of a function
    `CELLS`                 the cells that elman has, by name
    `zoneout`               regularise a cell
    `elman.language`        the words of a step (`affine`, `sigmoid`, `tanh`, `where`, …), which are also here

Training:
    `Trainer`               train any network on any task
    `progress_for`          print the progress of a training run
    `TrainingInterrupted`   raised by Ctrl-C once the run is saved

Errors, each with what is wrong and how to repair it:
    `ElmanError`            the base of `UsageError`, `DataError`, `ShapeError`, `CellError`, `ModelError` and
                            `TrainingError`

`help(elman.LSTM)` describes one name. Each name is imported when it is first used: `import elman` takes no time, and
cells can be written without torch.
"""

import builtins
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.cells import CELLS as CELLS
    from elman.cluster.predict import predict_dataset as predict_dataset
    from elman.compiler import language as language
    from elman.compiler.cell import Cell as Cell
    from elman.compiler.cell import cell as cell
    from elman.compiler.language import Next as Next
    from elman.compiler.language import affine as affine
    from elman.compiler.language import bernoulli as bernoulli
    from elman.compiler.language import celu as celu
    from elman.compiler.language import chrono as chrono
    from elman.compiler.language import concat as concat
    from elman.compiler.language import contract as contract
    from elman.compiler.language import cos as cos
    from elman.compiler.language import cumsum as cumsum
    from elman.compiler.language import delay_line as delay_line
    from elman.compiler.language import dropout as dropout
    from elman.compiler.language import elu as elu
    from elman.compiler.language import erf as erf
    from elman.compiler.language import erfc as erfc
    from elman.compiler.language import exp as exp
    from elman.compiler.language import expm1 as expm1
    from elman.compiler.language import floor as floor
    from elman.compiler.language import gelu as gelu
    from elman.compiler.language import glorot as glorot
    from elman.compiler.language import glu as glu
    from elman.compiler.language import hard_shrink as hard_shrink
    from elman.compiler.language import hard_sigmoid as hard_sigmoid
    from elman.compiler.language import hard_silu as hard_silu
    from elman.compiler.language import hard_tanh as hard_tanh
    from elman.compiler.language import identity as identity
    from elman.compiler.language import leaky_relu as leaky_relu
    from elman.compiler.language import linear as linear
    from elman.compiler.language import log as log
    from elman.compiler.language import log1p as log1p
    from elman.compiler.language import log_sigmoid as log_sigmoid
    from elman.compiler.language import log_softmax as log_softmax
    from elman.compiler.language import matrix as matrix
    from elman.compiler.language import max as max
    from elman.compiler.language import maximum as maximum
    from elman.compiler.language import mean as mean
    from elman.compiler.language import minimum as minimum
    from elman.compiler.language import mish as mish
    from elman.compiler.language import normal as normal
    from elman.compiler.language import opposite as opposite
    from elman.compiler.language import orthogonal as orthogonal
    from elman.compiler.language import outer as outer
    from elman.compiler.language import parameter as parameter
    from elman.compiler.language import power as power
    from elman.compiler.language import product as product
    from elman.compiler.language import reciprocal as reciprocal
    from elman.compiler.language import relu as relu
    from elman.compiler.language import relu6 as relu6
    from elman.compiler.language import remainder as remainder
    from elman.compiler.language import ring as ring
    from elman.compiler.language import round as round
    from elman.compiler.language import selu as selu
    from elman.compiler.language import sigmoid as sigmoid
    from elman.compiler.language import sign as sign
    from elman.compiler.language import silu as silu
    from elman.compiler.language import sin as sin
    from elman.compiler.language import small_world as small_world
    from elman.compiler.language import soft_shrink as soft_shrink
    from elman.compiler.language import softmax as softmax
    from elman.compiler.language import softplus as softplus
    from elman.compiler.language import softsign as softsign
    from elman.compiler.language import sparse as sparse
    from elman.compiler.language import sparse_plus as sparse_plus
    from elman.compiler.language import sparse_sigmoid as sparse_sigmoid
    from elman.compiler.language import split as split
    from elman.compiler.language import sqrt as sqrt
    from elman.compiler.language import square as square
    from elman.compiler.language import squareplus as squareplus
    from elman.compiler.language import stop_gradient as stop_gradient
    from elman.compiler.language import sum as sum
    from elman.compiler.language import tanh as tanh
    from elman.compiler.language import tanh_shrink as tanh_shrink
    from elman.compiler.language import uniform as uniform
    from elman.compiler.language import where as where
    from elman.compiler.zoneout import zoneout as zoneout
    from elman.data.ragged.ragged import Ragged as Ragged
    from elman.data.text.encoder import SequenceEncoder as SequenceEncoder
    from elman.data.text.vocabulary import Vocabulary as Vocabulary
    from elman.errors import CellError as CellError
    from elman.errors import DataError as DataError
    from elman.errors import ElmanError as ElmanError
    from elman.errors import ModelError as ModelError
    from elman.errors import ShapeError as ShapeError
    from elman.errors import TrainingError as TrainingError
    from elman.errors import UsageError as UsageError
    from elman.models import Describer as Describer
    from elman.models import EchoStateNetwork as EchoStateNetwork
    from elman.models import LanguageModel as LanguageModel
    from elman.models import SequenceClassifier as SequenceClassifier
    from elman.models import SequenceComparer as SequenceComparer
    from elman.models import SequenceForecaster as SequenceForecaster
    from elman.models import SequenceRegressor as SequenceRegressor
    from elman.models import SequenceTagger as SequenceTagger
    from elman.models import Translator as Translator
    from elman.models import open_model as open_model
    from elman.nn.embedding import Embedding as Embedding
    from elman.nn.layers import GRU as GRU
    from elman.nn.layers import LSTM as LSTM
    from elman.nn.layers import SimpleRNN as SimpleRNN
    from elman.nn.pooling import Attention as Attention
    from elman.nn.pooling import Pooling as Pooling
    from elman.nn.recurrent import Recurrent as Recurrent
    from elman.nn.state import State as State
    from elman.nn.summary import summary as summary
    from elman.training import Trainer as Trainer
    from elman.training import TrainingInterrupted as TrainingInterrupted
    from elman.training import progress_for as progress_for

# By subject, in the order in which they are shown.
_MODULES = {
    "elman.models": (
        "SequenceClassifier SequenceRegressor SequenceComparer SequenceTagger SequenceForecaster LanguageModel "
        "Translator Describer EchoStateNetwork open_model"
    ),
    "elman.cluster.predict": "predict_dataset",
    "elman.nn.recurrent": "Recurrent",
    "elman.nn.layers": "SimpleRNN LSTM GRU",
    "elman.nn.embedding": "Embedding",
    "elman.nn.pooling": "Attention Pooling",
    "elman.nn.state": "State",
    "elman.nn.summary": "summary",
    "elman.data.ragged.ragged": "Ragged",
    "elman.data.text.vocabulary": "Vocabulary",
    "elman.data.text.encoder": "SequenceEncoder",
    "elman.compiler.cell": "Cell cell",
    "elman.cells": "CELLS",
    "elman.compiler.zoneout": "zoneout",
    "elman.compiler": "language",
    "elman.compiler.language": (
        "Next affine bernoulli celu chrono concat contract cos cumsum delay_line dropout elu erf erfc exp expm1 floor "
        "gelu glorot glu hard_shrink hard_sigmoid hard_silu hard_tanh identity leaky_relu linear log log1p log_sigmoid "
        "log_softmax matrix max maximum mean minimum mish normal opposite orthogonal outer parameter power "
        "product reciprocal relu relu6 remainder ring round selu sigmoid sign silu sin small_world soft_shrink "
        "softmax softplus softsign sparse sparse_plus sparse_sigmoid split sqrt square squareplus stop_gradient sum "
        "tanh tanh_shrink uniform where"
    ),
    "elman.training": "Trainer TrainingInterrupted progress_for",
    "elman.errors": "ElmanError UsageError DataError ShapeError CellError ModelError TrainingError",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}
# `from elman import *` leaves Python's own names (max, round, sum) alone.
__all__ = [name for name in _HOMES if not hasattr(builtins, name)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("elman")
    if name not in _HOMES:
        # The names that other libraries use, which are needed only if a name is missing.
        from elman.compiler.value import OTHER_NAMES

        hint = f"; use elman.{OTHER_NAMES[name]}" if name in OTHER_NAMES else ""
        raise AttributeError(f"module 'elman' has no attribute {name!r}{hint}")
    module = import_module(_HOMES[name])
    value = import_module(f"{_HOMES[name]}.{name}") if name == "language" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})

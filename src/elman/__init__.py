"""Recurrent sequence models on PyTorch: write a cell once, run it over sequences of any length.

Every public name is here; each is imported when it is first used, so that `import elman` costs nothing and a cell
can be written without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.cells import CELLS as CELLS
    from elman.compiler.cell import Cell as Cell
    from elman.compiler.cell import cell as cell
    from elman.compiler.language import Next as Next
    from elman.compiler.language import affine as affine
    from elman.compiler.language import bernoulli as bernoulli
    from elman.compiler.language import chrono as chrono
    from elman.compiler.language import concat as concat
    from elman.compiler.language import cos as cos
    from elman.compiler.language import dropout as dropout
    from elman.compiler.language import elu as elu
    from elman.compiler.language import exp as exp
    from elman.compiler.language import glorot as glorot
    from elman.compiler.language import hard_sigmoid as hard_sigmoid
    from elman.compiler.language import identity as identity
    from elman.compiler.language import leaky_relu as leaky_relu
    from elman.compiler.language import linear as linear
    from elman.compiler.language import log as log
    from elman.compiler.language import matrix as matrix
    from elman.compiler.language import max as max
    from elman.compiler.language import maximum as maximum
    from elman.compiler.language import mean as mean
    from elman.compiler.language import minimum as minimum
    from elman.compiler.language import normal as normal
    from elman.compiler.language import opposite as opposite
    from elman.compiler.language import orthogonal as orthogonal
    from elman.compiler.language import parameter as parameter
    from elman.compiler.language import power as power
    from elman.compiler.language import product as product
    from elman.compiler.language import reciprocal as reciprocal
    from elman.compiler.language import relu as relu
    from elman.compiler.language import sigmoid as sigmoid
    from elman.compiler.language import sign as sign
    from elman.compiler.language import silu as silu
    from elman.compiler.language import sin as sin
    from elman.compiler.language import softmax as softmax
    from elman.compiler.language import softplus as softplus
    from elman.compiler.language import softsign as softsign
    from elman.compiler.language import split as split
    from elman.compiler.language import sqrt as sqrt
    from elman.compiler.language import square as square
    from elman.compiler.language import sum as sum
    from elman.compiler.language import tanh as tanh
    from elman.compiler.language import uniform as uniform
    from elman.compiler.language import where as where
    from elman.compiler.zoneout import zoneout as zoneout
    from elman.errors import ElmanError as ElmanError
    from elman.estimators import LanguageModel as LanguageModel
    from elman.estimators import SequenceClassifier as SequenceClassifier
    from elman.nn.layers import GRU as GRU
    from elman.nn.layers import LSTM as LSTM
    from elman.nn.layers import SimpleRNN as SimpleRNN
    from elman.nn.recurrent import Recurrent as Recurrent
    from elman.nn.state import State as State
    from elman.nn.summary import summary as summary
    from elman.sequences.ragged import Ragged as Ragged

_MODULES = {
    "elman.compiler.language": (
        "Next affine bernoulli chrono concat cos dropout elu exp glorot hard_sigmoid identity leaky_relu linear "
        "log matrix max maximum mean minimum normal opposite orthogonal parameter power product reciprocal relu "
        "sigmoid sign silu sin softmax softplus softsign split sqrt square sum tanh uniform where"
    ),
    "elman.compiler.zoneout": "zoneout",
    "elman.compiler.cell": "Cell cell",
    "elman.cells": "CELLS",
    "elman.sequences.ragged": "Ragged",
    "elman.nn.recurrent": "Recurrent",
    "elman.nn.layers": "GRU LSTM SimpleRNN",
    "elman.nn.state": "State",
    "elman.nn.summary": "summary",
    "elman.estimators": "LanguageModel SequenceClassifier",
    "elman.errors": "ElmanError",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("elman")
    if name not in _HOMES:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})

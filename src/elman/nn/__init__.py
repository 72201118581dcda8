"""Layers: `torch.nn.Module`s over sequences of any length. `elman.nn.torch` has layers with torch's own names."""

from elman.nn.crf import CRF
from elman.nn.embedding import EachStep, Embedding, OneHot
from elman.nn.keras_activations import keras_activation
from elman.nn.layers import GRU, LSTM, SimpleRNN
from elman.nn.number_input import NumberInput
from elman.nn.pooling import Attention, Flatten, Pooling
from elman.nn.recurrent import Recurrent
from elman.nn.regularisers import SequenceDropout
from elman.nn.scaling import Scaling
from elman.nn.segments import Segments
from elman.nn.state import State
from elman.nn.summary import Summary, summary

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "Attention",
    "EachStep",
    "Embedding",
    "Flatten",
    "NumberInput",
    "OneHot",
    "Pooling",
    "Recurrent",
    "Scaling",
    "Segments",
    "SequenceDropout",
    "SimpleRNN",
    "State",
    "Summary",
    "keras_activation",
    "summary",
]

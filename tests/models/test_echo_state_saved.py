"""Echo state networks: saved and loaded, pickled, cloned, and folders that are damaged or of other models."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from elman import EchoStateNetwork, SequenceRegressor, open_model
from elman.errors import ModelError, NotFittedError
from elman.models import open_task_model

STEPS = np.arange(300)
WAVE = np.sin(STEPS / 5) + 0.5 * np.sin(STEPS / 3.1)
BOTH = np.stack([WAVE, np.cos(STEPS / 4)], 1)
COMMON = {"hidden_size": 20, "warmup_steps": 20, "ridges": 1e-6}
KINDS: dict[str, Any] = {
    "next values": ({"seeds": 2, "bias_scaling": 0.2}, WAVE, None),
    "channels in float32": ({"precision": "float32"}, BOTH, None),
    "in depth, side by side": ({"num_layers": 2, "num_reservoirs": 2}, BOTH, BOTH[:, 0]),
    "both directions": ({"bidirectional": True}, WAVE, BOTH),
    "feedback": ({"feedback_scaling": 1.0, "noise": 1e-3}, np.zeros(300), WAVE),
    "force": ({"feedback_scaling": 1.0, "fitter": "force", "ridges": 1.0}, np.zeros(300), WAVE),
    "plasticity": ({"plasticity_rate": 1e-3}, WAVE, None),
    "lagged products": ({"lags": 3, "lag_stride": 2}, WAVE, None),
    "lagged products in both directions": ({"lags": 2, "bidirectional": True}, WAVE, BOTH),
    "plasticity in both directions": ({"plasticity_rate": 1e-3, "bidirectional": True}, WAVE, BOTH),
    "recursive least squares": ({"fitter": "rls", "forgetting": 0.99}, WAVE, None),
    "linear ring": ({"recurrent": "ring(0.9)", "activation": "linear"}, WAVE, np.roll(WAVE, 3)),
}


def fitted(kind):
    given, series, targets = KINDS[kind]
    return EchoStateNetwork(**{**COMMON, **given}).fit(series, targets), series


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_network_gives_the_same_answers(kind, tmp_path):
    network, series = fitted(kind)
    network.save(tmp_path / "esn")
    copies = [EchoStateNetwork.load(tmp_path / "esn"), open_model(tmp_path / "esn")]
    for again in (*copies, pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert isinstance(again, EchoStateNetwork)
        assert again.settings() == network.settings()
        np.testing.assert_array_equal(again.predict(series), network.predict(series))
        if network._continues or network.feedback_scaling:
            np.testing.assert_array_equal(again.generate(30), network.generate(30))
    copies[0].save(tmp_path / "again")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("esn", "again"))
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)


def test_a_loaded_network_is_fitted_again_as_the_first(tmp_path):
    network, series = fitted("next values")
    network.save(tmp_path / "esn")
    again = EchoStateNetwork.load(tmp_path / "esn").fit(series)
    np.testing.assert_array_equal(again.predict(series), network.predict(series))
    copied: Any = clone(again)
    np.testing.assert_array_equal(copied.fit(series).predict(series), network.predict(series))


def test_an_unfitted_network_is_pickled_and_not_saved(tmp_path):
    network = EchoStateNetwork(hidden_size=30)
    assert pickle.loads(pickle.dumps(network)).hidden_size == 30
    with pytest.raises(NotFittedError, match=r"Call fit\(series\) first"):
        network.save(tmp_path / "esn")
    assert not (tmp_path / "esn").exists()


def test_commands_and_other_classes_say_what_the_folder_holds(tmp_path):
    fitted("next values")[0].save(tmp_path / "esn")
    with pytest.raises(ModelError, match="holds an EchoStateNetwork"):
        open_task_model(tmp_path / "esn")
    with pytest.raises(ModelError, match="for the task `echo-state`"):
        SequenceRegressor.load(tmp_path / "esn")
    regressor = SequenceRegressor(cell="reservoir", hidden_size=5, bidirectional=False, warmup_steps=1)
    regressor.fit([WAVE[:50]], [WAVE[1:51]])
    regressor.save(tmp_path / "other")
    with pytest.raises(ModelError, match="Expected an echo state network, got a model for the task `regress`"):
        EchoStateNetwork.load(tmp_path / "other")


def test_a_folder_whose_files_do_not_belong_together_is_refused(tmp_path):
    fitted("next values")[0].save(tmp_path / "esn")
    path = tmp_path / "esn" / "config.json"
    config = json.loads(path.read_text())
    for change in ({"hidden_size": 21}, {"recurrent": 3}, {"hidden": 3}, {"lags": 2}):
        path.write_text(json.dumps({**config, "settings": {**config["settings"], **change}}))
        with pytest.raises(ModelError, match="do not belong together"):
            open_model(tmp_path / "esn")
    path.write_text(json.dumps(config))
    weights = tmp_path / "esn" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if "fed" not in name}, weights)
    with pytest.raises(ModelError, match=r"checksum differs|cut short"):
        open_model(tmp_path / "esn")

"""Parts of a network that are not trained, for a number of epochs or at all."""

import pytest
import torch
from helpers_training import EVERYTHING, At, assert_same_run, same, trainer, weights
from small_training import Net

FROZEN = EVERYTHING | {"freeze": ("gru", "norm"), "unfreeze_epochs": 1}
BATCHES = 3


def test_no_gradient_of_a_frozen_part_is_computed():
    network, computed = Net(), {"gru": 0, "norm": 0, "head": 0}

    def count(name: str) -> None:
        computed[name] += 1

    for name in computed:
        weight = next(network.get_submodule(name).parameters())
        weight.register_hook(lambda _, name=name: count(name))
    trainer(None, FROZEN, network=network).run()
    # The norm is trained from the second of three epochs on, and the GRU in the third.
    assert computed == {"gru": BATCHES, "norm": 2 * BATCHES, "head": 3 * BATCHES}
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_frozen_part_does_not_change_the_gradients_of_the_others():
    settings = EVERYTHING | {"epochs": 1, "clip_norm": None, "average_decay": None, "optimizer": "sgd", "momentum": 0.0}
    frozen, whole = Net(), Net()
    trainer(None, settings | {"freeze": "gru", "batch_size": 40}, network=frozen).run()
    trainer(None, settings | {"batch_size": 40}, network=whole).run()
    assert same(weights(frozen.gru), weights(Net().gru))
    assert not same(weights(whole.gru), weights(Net().gru))
    torch.testing.assert_close(weights(frozen.head), weights(whole.head), rtol=1e-6, atol=1e-7)


def test_a_run_with_all_parts_frozen_ends_with_the_weights_of_its_start():
    network = Net()
    before = {name: value.clone() for name, value in network.named_parameters()}
    trainer(None, EVERYTHING | {"freeze": ("gru", "norm", "head")}, network=network).run()
    assert same(before, dict(network.named_parameters()))


@pytest.mark.parametrize("batch", [1, 3, 4, 8])
def test_a_run_with_frozen_parts_is_resumed_to_the_same_bits(tmp_path, batch):
    trainer(tmp_path / "whole", FROZEN).run()

    def stop() -> None:
        raise RuntimeError("stop")

    settings = FROZEN | {"checkpoint_seconds": 0.0}
    with pytest.raises(RuntimeError, match="stop"):
        trainer(tmp_path / "part", settings, At(stop, batch=batch)).run()
    trainer(tmp_path / "part", settings, network=Net(seed=77)).run(resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "part")

"""Echo state networks as model folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from elman.errors import ModelError
from elman.models.card import write_card
from elman.models.echo_state_member import Member
from elman.models.saved import SavedModel, consistent, write_model
from elman.nn.ridge import Solution
from elman.nn.state import State
from elman.settings import check_settings, fields_of, summary_of
from elman.settings.reservoir import ReservoirSettings
from elman.training.begin import refuse_unfinished

if TYPE_CHECKING:
    from elman.models.echo_state import EchoStateNetwork

TASK = "echo-state"
# A recurrent matrix that takes no time to draw: the saved one replaces it.
ANY_MATRIX = "ring(0.0)"
SUMMARY = "An echo state network: fixed random recurrent units, with a readout found by least squares."


def save_network(network: "EchoStateNetwork", folder: str | Path) -> None:
    """Write the folder of a fitted network.

    Args:
        network: fitted.
        folder: made if it is missing.
    """
    refuse_unfinished(Path(folder))
    members, name = network.members_, Path(folder).name
    settings = members[0].settings.model_dump(mode="json")
    form = {each: getattr(network, f"_{each}") for each in ("continues", "is_flat", "channels", "outputs")}
    fields = fields_of(ReservoirSettings)
    card = write_card(
        name=name,
        summary=SUMMARY,
        data={"channels": form["channels"], "outputs": form["outputs"]},
        scores={},
        settings={key: (value, summary_of(fields[key].description)) for key, value in settings.items()},
        use=["from elman import EchoStateNetwork", f"network = EchoStateNetwork.load({name!r})"],
    )
    ridges = [each.solution.ridge for each in members]
    config = {"task": TASK, "settings": settings, "form": form, "ridges": ridges}
    tensors = {f"{index}/{key}": each for index, member in enumerate(members) for key, each in _tensors(member).items()}
    write_model(folder, config=config, tensors=tensors, vocabulary={}, card=card)


def restore_network(network: "EchoStateNetwork", saved: SavedModel, folder: str | Path) -> None:
    """Set a network to the one that `save_network` wrote.

    Raises:
        ModelError: the folder is of another task, or its files do not belong together.
    """
    if saved.config["task"] != TASK:
        raise ModelError(
            f"Expected an echo state network, got a model for the task `{saved.config['task']}`.",
            where=str(folder),
            fix="Open it with elman.open_model.",
        )
    with consistent(folder):
        config = saved.config
        settings = check_settings(ReservoirSettings, config["settings"])
        network.set_params(**settings.model_dump())
        for name, value in config["form"].items():
            setattr(network, f"_{name}", value)
        form, ridges = config["form"], config["ridges"]
        sizes = form["channels"], form["outputs"]
        network.members_ = [
            _member(settings, sizes, ridge, _group(saved.tensors, f"{index}/")) for index, ridge in enumerate(ridges)
        ]


def _tensors(member: Member) -> dict[str, Tensor]:
    """Return everything of a member that was drawn, fitted or read, by name."""
    found = {"weight": member.solution.weight, "bias": member.solution.bias}
    found |= {f"forward/{name}": each for name, each in member.forward.state_dict().items()}
    if member.backward is not None:
        found |= {f"backward/{name}": each for name, each in member.backward.state_dict().items()}
    for index, state in enumerate(member.states or []):
        found[f"states/{index}"] = state.tensors["h"] if isinstance(state, State) else state
    beside = {"fed": member.fed, "held": member.held}
    return found | {name: each for name, each in beside.items() if each is not None}


def _member(settings: ReservoirSettings, sizes: tuple[int, int], ridge: float, tensors: Mapping[str, Tensor]) -> Member:
    member = Member.drawn(settings.model_copy(update={"recurrent": ANY_MATRIX}), settings.seed, *sizes)
    if tensors["weight"].shape != member.solution.weight.shape or tensors["bias"].shape != member.solution.bias.shape:
        raise ValueError(f"the readout is {tuple(tensors['weight'].shape)}")
    member.settings = settings
    member.solution = Solution(tensors["weight"], tensors["bias"], ridge)
    member.forward.load_state_dict(_group(tensors, "forward/"))
    if member.backward is not None:
        member.backward.load_state_dict(_group(tensors, "backward/"))
    states = _group(tensors, "states/")
    read = [states[str(index)] for index in range(len(states))]
    member.states = _states(read, settings) if read else None
    member.fed, member.held = tensors.get("fed"), tensors.get("held")
    return member


def _states(tensors: Sequence[Tensor], settings: ReservoirSettings) -> list[Any]:
    return list(tensors) if settings.lags is not None else [State({"h": each}) for each in tensors]


def _group(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)}

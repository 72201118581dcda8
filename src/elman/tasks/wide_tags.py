"""Taggers whose network has a linear model of neighbouring words beside it."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elman.tasks.rows import joined
from elman.tasks.task import Data, Task, Values

if TYPE_CHECKING:
    from torch import Tensor

    from elman.data.ragged.ragged import Ragged
    from elman.nn.neighbours import NeighbourModel


class WideTagTask(Task):
    """A task over the columns `words` and `tags`, whose network may have a linear model as `wide`."""

    def new_wide(self, tags: int) -> "NeighbourModel | None":
        """Return a linear model that has learned nothing, None if the settings leave it out.

        Args:
            tags: number of them.
        """
        known = self.encoders["words"].neighbours
        if known is None:
            return None
        # This imports torch.
        from elman.nn.neighbours import NeighbourModel

        return NeighbourModel(known, tags)

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Fit the linear model."""
        if network.wide is None:
            return encoded
        words = self.encoders["words"]
        words.notes.append(
            f"A linear model of {len(words.neighbours):,} features of neighbouring words is added at the end; the "
            "epochs are those of the network alone."
        )
        if fit:
            network.wide.fit(encoded["words"], encoded["tags"].data, seed=self.settings.seed)
        return encoded

    def complete(self, network: Any, data: "Data | None") -> None:
        """Weigh the network and the linear model on held-out data."""
        if network.wide is None:
            return
        # This imports torch.
        from elman.devices import CPU
        from elman.tasks.tag_scores import tag_losses

        crf = None if network.crf is None else copy.deepcopy(network.crf).requires_grad_(False).to(CPU).double()
        parts = _scores_of_both(network, data)

        def loss(a: "Tensor", b: "Tensor") -> "Tensor":
            found = 0 * a
            for scores, linear, tags in parts:
                added = scores.map(lambda rows, linear=linear: a * rows.double() + b * linear)
                found = found + tag_losses(added, tags, crf)[0]
            return found

        network.wide.combine(loss)

    def conclude(self, network: Any, train: Values, held: Values) -> bool:
        """Fit the linear model to all sentences, the held-out ones too."""
        if network.wide is None:
            return False
        values, words = joined(train, held), self.encoders["words"]
        found, before = words.encode(values.columns["words"]), words.neighbours
        try:
            words.learn_neighbours(found)
            wide = self.new_wide(network.wide.weight.shape[1])
            assert wide is not None
            wide.inherit(network.wide)
            wide.fit(found, self.encoders["tags"].encode(values.columns["tags"]).data, seed=self.settings.seed)
        except BaseException:
            # The features must be those of the weights, if the fit is stopped.
            words.neighbours = before
            raise
        network.wide = wide.eval().to(network.wide.factors.device)
        return True


def _scores_of_both(network: Any, data: "Data | None") -> "list[tuple[Ragged, Tensor, Ragged]]":
    """Return the scores of both models and the true tags, a batch at a time."""
    # Imported late: torch is needed only for training.
    import torch

    from elman.devices import CPU, device_of, moved

    found = []
    with torch.no_grad():
        for item in () if data is None else data.plan(0):
            batch = data.read(item).to(device_of(network))  # pyright: ignore[reportOptionalMemberAccess]
            words = batch["words"]
            found.append(moved((network.read(words), network.wide(words).double(), batch["tags"]), CPU))
    return found

"""Tasks whose networks have a linear model of n-grams beside them, with one answer for each text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elman.tasks.kinds import prepare_numbers
from elman.tasks.rows import joined
from elman.tasks.task import Data, Task, Values, targets

if TYPE_CHECKING:
    from torch import Tensor

    from elman.nn.wide import Wide


class WideRowTask(Task):
    """A task over texts or series, whose input is the column `text`, and which has one target."""

    def new_wide(self, features: int) -> "Wide":
        """Return a linear model that has learned nothing."""
        raise NotImplementedError

    def wide_targets(self, encoded: Any) -> "Tensor":
        """Return the targets as the linear model is fitted to them."""
        return encoded

    def wide_weights(self, encoded: Any) -> "Tensor | None":
        """Return the weight of each row in the fit of the linear model, None for 1."""
        return None

    def prepare(self, network: Any, encoded: Mapping[str, Any], *, fit: bool) -> Mapping[str, Any]:
        """Learn the scale of numbers, fit the linear model, and return the columns without n-grams."""
        prepare_numbers(network, self.encoders["text"], encoded["text"], fit=fit)
        wide = getattr(network, "wide", None)
        if wide is None:
            return encoded
        text, found = encoded["text"], encoded[targets(self.columns)[0].name]
        self.encoders["text"].notes.append(
            f"A linear model of {len(wide.weight):,} n-gram features is added at the end; the epochs are those of the "
            "network alone."
        )
        if fit:
            wide.fit(text.ngrams, self.wide_targets(found), self.wide_weights(found), seed=self.settings.seed)
        return {**encoded, "text": text.ids}

    def complete(self, network: Any, data: "Data | None") -> None:
        """Weigh the network and the linear model on held-out data."""
        wide = getattr(network, "wide", None)
        if wide is None:
            return
        # Imported late: torch is needed only for training.
        import torch

        from elman.devices import CPU, device_of, moved, widened

        name = targets(self.columns)[0].name
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.inference_mode():
            for item in () if data is None else data.plan(0):
                batch = data.read(item).to(device_of(network))  # pyright: ignore[reportOptionalMemberAccess]
                text = batch["text"]
                parts = widened(network.read(text.ids)), wide(text.ngrams), self.wide_targets(batch[name])
                found.append(moved(parts, CPU))
        if not found:
            rows = torch.zeros(0, wide.weight.shape[1])
            found.append((rows, rows, self.wide_targets(torch.zeros(0, dtype=torch.int64))))
        wide.combine(*(torch.cat(parts).clone() for parts in zip(*found, strict=True)))

    def conclude(self, network: Any, train: Values, held: Values) -> bool:
        """Fit the linear model to all texts, the held-out ones too, as strongly as before."""
        if getattr(network, "wide", None) is None:
            return False
        values, name = joined(train, held), targets(self.columns)[0].name
        text, found = self.encoders["text"], self.encoders[name].encode(values.columns[name])
        before = text.ngrams
        try:
            rows = text.learn_ngrams(values.columns["text"], before.least)
            wide = self.new_wide(len(text.ngrams))
            wide.inherit(network.wide)
            wide.fit(rows, self.wide_targets(found), self.wide_weights(found), seed=self.settings.seed)
        except BaseException:
            # The features must be those of the weights, if the fit is stopped.
            text.ngrams = before
            raise
        network.wide = wide.eval().to(network.wide.factors.device)
        return True

"""What is done to a unit's activation map: zero, mean, constant, scale, resample, noise."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal_widget.errors import ArgumentError, UnknownNameError, check_seed, nearest
from causal_widget.interventions.counter import bits, choice, normals


def finite(name: str, value: object, of: str = "an intervention") -> float:
    """Give a number as a float.

    Raises
    ------
    ArgumentError
        If it is no finite number.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ArgumentError(f"the {name} of {of} must be a finite number, got {value!r:.80}")
    return float(value)


@dataclass(frozen=True)
class Setting:
    """What an action may need to know beside the maps themselves.

    Attributes
    ----------
    index : int64 Tensor, shape (image,)
        Numbers of the images in the data, which random actions draw by.
    units : int64 Tensor, shape (unit,)
        Numbers of the units in their layer.
    means : Tensor, shape (unit,), optional
        Mean map value of each unit over the data.
    donors : Tensor, shape (donor, unit, ...), optional
        The units' maps for a fixed set of images.
    donor_index : int64 Tensor, shape (donor,), optional
        Numbers of those images.
    salt : int
        Tells places in the network apart, so that noise at two of them is independent.
    """

    index: Int[Tensor, " image"]
    units: Int[Tensor, " unit"]
    means: Float[Tensor, " unit"] | None = None
    donors: Float[Tensor, "donor unit ..."] | None = None
    donor_index: Int[Tensor, " donor"] | None = None
    salt: int = 0


@dataclass(frozen=True, repr=False)
class Action:
    """What is done to a unit's map; a value that can be compared, hashed, printed and written as JSON.

    Attributes
    ----------
    name : str
        Its name in JSON and in `ACTIONS`.
    needs_means : bool
        Whether `apply` needs the units' means.
    random : bool
        Whether the outcome depends on the image's number.
    """

    name: ClassVar[str]
    needs_means: ClassVar[bool] = False
    random: ClassVar[bool] = False

    def apply(
        self,
        maps: Float[Tensor, "image unit ..."],
        means: Float[Tensor, " unit"] | None = None,
        index: Int[Tensor, " image"] | None = None,
        *,
        units: Int[Tensor, " unit"] | None = None,
        donors: Float[Tensor, "donor unit ..."] | None = None,
        donor_index: Int[Tensor, " donor"] | None = None,
        salt: int = 0,
    ) -> Float[Tensor, "image unit ..."]:
        """Give the maps under the action; a new tensor, the given one stays as it is.

        Parameters
        ----------
        maps : Tensor, shape (image, unit, ...)
            The maps of the units alone.
        means : Tensor, shape (unit,), optional
            Mean map value of each; `Mean` needs it.
        index : int64 Tensor, shape (image,), optional
            Numbers of the images, which `Resample` and `Noise` draw by. None: 0, 1, ...
        units : int64 Tensor, shape (unit,), optional
            Numbers of the units, which `Noise` draws by. None: 0, 1, ...
        donors : Tensor, shape (donor, unit, ...), optional
            Maps that `Resample` takes; None: those of the other images given.
        donor_index : int64 Tensor, shape (donor,), optional
            Numbers of the donor images, so that no image is its own donor.
        salt : int
            Tells places in the network apart for `Noise`.

        Raises
        ------
        ArgumentError
            If what the action needs is missing, or of another length.
        """
        device = maps.device
        setting = Setting(
            _numbers("index", index, maps.shape[0], device),
            _numbers("units", units, maps.shape[1], device),
            means,
            donors,
            donor_index,
            salt,
        )
        return self._apply(maps, setting)

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Give the action as plain values."""
        return {"action": self.name, **asdict(self)}

    def to_json(self) -> str:
        """Give the action as JSON; `action_from_json` reads it."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __repr__(self) -> str:
        return " ".join([self.name, *(f"{key} {value:g}" for key, value in asdict(self).items())])


def _numbers(name: str, numbers: Tensor | None, n: int, device: torch.device) -> Tensor:
    if numbers is None:
        return torch.arange(n, device=device)
    if numbers.shape != (n,):
        raise ArgumentError(f"{name} must be {n} numbers, one for each, got shape {tuple(numbers.shape)}")
    return numbers.to(device)


@dataclass(frozen=True, repr=False)
class Zero(Action):
    """Every element becomes 0."""

    name = "zero"

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        return torch.zeros_like(maps)


@dataclass(frozen=True, repr=False)
class Mean(Action):
    """Every element becomes the mean of the unit's maps over images and positions."""

    name = "mean"
    needs_means = True

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        means = setting.means
        if means is None:
            raise ArgumentError("Mean() needs the units' means over the data, and none were given")
        if means.shape != maps.shape[1:2]:
            raise ArgumentError(
                f"Mean() needs {maps.shape[1]} means, one a unit, got shape {tuple(means.shape)}"
            )
        spread = means.to(maps.device, maps.dtype).reshape(1, -1, *[1] * (maps.ndim - 2))
        return spread.expand(maps.shape).clone()


@dataclass(frozen=True, repr=False)
class Constant(Action):
    """Every element becomes `value`."""

    value: float
    name = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite("value", self.value, "Constant"))

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        return torch.full_like(maps, self.value)

    def __repr__(self) -> str:
        return f"constant {self.value:g}"


@dataclass(frozen=True, repr=False)
class Scale(Action):
    """Every element is multiplied by `beta`: 1 leaves the unit as it is, 0 silences it."""

    beta: float
    name = "scale"

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", finite("beta", self.beta, "Scale"))

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        return maps * self.beta

    def __repr__(self) -> str:
        return f"scale {self.beta:g}"


@dataclass(frozen=True, repr=False)
class Resample(Action):
    """The map becomes the same unit's map for another image.

    All units, of all layers, of one image take theirs from the same donor, so that what belongs together
    stays together. With `donors` the donor of image i is drawn from them by (seed, i) alone, so that batches
    play no part. Without, the images given are laid in the order of random numbers drawn by (seed, i), and
    each takes from the next, the last from the first: every image gives once, none to itself.
    """

    seed: int = 0
    name = "resample"
    random = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        if setting.donors is None:
            return maps[self._others(setting.index)]
        if setting.donors.shape[1:] != maps.shape[1:]:
            raise ArgumentError(
                f"the donors' maps are of shape {tuple(setting.donors.shape[1:])}, "
                f"the units' of {tuple(maps.shape[1:])}"
            )
        chosen = self._from(len(setting.donors), setting)
        return setting.donors.to(maps.device, maps.dtype)[chosen.to(setting.donors.device)].to(maps.device)

    def _others(self, index: Int[Tensor, " image"]) -> Int[Tensor, " image"]:
        if len(index) < 2:
            raise ArgumentError(
                f"Resample(seed={self.seed}) takes another image's map, and {len(index)} image is no other; "
                "give two images or more at a time, or donors"
            )
        order = torch.argsort(bits(self.seed, [index]), stable=True)
        return torch.empty_like(order).index_copy_(0, order, order.roll(-1))

    def _from(self, n: int, setting: Setting) -> Int[Tensor, " image"]:
        numbers = setting.donor_index
        if n < 2 and numbers is not None:
            raise ArgumentError(f"Resample(seed={self.seed}) needs two donor images or more, got {n}")
        chosen = choice(self.seed, setting.index, n)
        if numbers is None:
            return chosen
        itself = numbers.to(chosen.device)[chosen] == setting.index
        return torch.where(itself, (chosen + 1) % n, chosen)

    def __repr__(self) -> str:
        return f"resample (seed {self.seed})"


@dataclass(frozen=True, repr=False)
class Noise(Action):
    """Independent normal noise of standard deviation `sd` is added to every element.

    `sd` is in units of the activation. The noise of an element is drawn by seed, place in the network, image,
    unit and position alone: the same in every batch and beside every other unit.
    """

    sd: float
    seed: int = 0
    name = "noise"
    random = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "sd", finite("sd", self.sd, "Noise"))
        if self.sd < 0:
            raise ArgumentError(f"the sd of Noise must be 0 or more, got {self.sd:g}")
        object.__setattr__(self, "seed", check_seed(self.seed))

    def _apply(self, maps: Tensor, setting: Setting) -> Tensor:
        flat = maps.flatten(2) if maps.ndim > 2 else maps[:, :, None]
        place = torch.arange(flat.shape[2], device=maps.device)
        salt = torch.tensor(setting.salt, device=maps.device)
        drawn = normals(self.seed, [salt, setting.index[:, None, None], setting.units[None, :, None], place])
        return maps + (self.sd * drawn).to(maps.dtype).reshape(maps.shape)

    def __repr__(self) -> str:
        return f"noise {self.sd:g} (seed {self.seed})"


ACTIONS: Mapping[str, type[Action]] = {
    action.name: action for action in (Zero, Mean, Constant, Scale, Resample, Noise)
}


def action_from_json(text: str | Mapping[str, Any]) -> Action:
    """Read what `Action.to_json` or `Action.to_dict` gave.

    Raises
    ------
    ArgumentError
        If it is no JSON object, or its numbers are not the action's.
    UnknownNameError
        If the action is none.
    """
    record = dict(parsed(text, "an action"))
    name = record.pop("action", None)
    if name not in ACTIONS:
        raise UnknownNameError(
            f'action "{name}" is not known; expected one of {", ".join(ACTIONS)}.'
            f"{nearest(str(name), ACTIONS)}"
        )
    action: Action = build(ACTIONS[name], record)
    return action


def parsed(text: str | Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """Give a JSON object as a mapping.

    Raises
    ------
    ArgumentError
        If the text is no JSON, or no object.
    """
    try:
        record = json.loads(text) if isinstance(text, str) else text
    except json.JSONDecodeError as error:
        raise ArgumentError(
            f"{what} is a JSON object, and this is no JSON ({error}): {text!r:.80}"
        ) from error
    if not isinstance(record, Mapping):
        raise ArgumentError(f"{what} is a JSON object, got {text!r:.80}")
    return record


def build(kind: type[Any], record: Mapping[str, Any]) -> Any:
    """Make a value from its fields.

    Raises
    ------
    ArgumentError
        If there are other fields than its own, or some are missing.
    """
    try:
        return kind(**record)
    except TypeError as error:
        raise ArgumentError(f"{kind.__name__} cannot be made of {dict(record)!r:.120}: {error}") from error

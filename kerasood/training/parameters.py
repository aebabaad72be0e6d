"""Self-description of an objective: its name, its parameters and how it reads in words."""

import dataclasses
import inspect
import types
import typing

from kerasood.names import choose

# What every trainer takes; the other arguments of its __init__ are the objective's parameters.
OF_EVERY_TRAINER = ("self", "network", "augmentation", "kwargs")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of an objective.

    Args:
        kind: type, or typing.Literal of the values it may have.
        default: its value where none is given; None where that follows from something else.
        text: str, one line of help.
    """

    kind: type
    default: object
    text: str

    @property
    def choices(self):
        return typing.get_args(self.kind) or None


class Described:
    """An objective that describes itself; flags, configurations and printed lines follow from it.

    Attributes:
        objective: str, its name.
        formula: str, the loss in words; `{name}` stands for a parameter, as in str.format.
        help: dict of one line per parameter; types and defaults are those of `__init__`, whose
            parameters are annotated with a type, one of a few values with typing.Literal.
        shorthands: {parameter: values it may have} of parameters that `settle` turns into arguments
            of `__init__`; with a line of help too.
        scored_by: str, the detector that its networks are made for.
        needs_outliers: bool, whether it trains on outliers beside the images.
        outliers_per_image: int > 0, outliers in a batch for each image of a full one.
        needs_rows: bool, whether its batches say which images and outliers they hold.
        of_its_name: names of the parameters that are always part of a run's name.
    """

    objective = None
    formula = ""
    help = types.MappingProxyType({})
    shorthands = types.MappingProxyType({})
    scored_by = "energy"
    needs_outliers = False
    outliers_per_image = 2
    needs_rows = False
    of_its_name = ()

    @classmethod
    def own_parameters(cls) -> dict:
        """{name: Parameter} of the objective; `parameters` is PyTorch's for a Keras model there."""
        hints = typing.get_type_hints(cls.__init__)
        return {
            name: Parameter(without_none(hints[name]), argument.default, cls.help[name])
            for name, argument in inspect.signature(cls.__init__).parameters.items()
            if name not in OF_EVERY_TRAINER
        } | {
            name: Parameter(typing.Literal[values], None, cls.help[name])
            for name, values in cls.shorthands.items()
        }

    @classmethod
    def settle(cls, given: dict, dataset: str | None = None) -> dict:
        """All parameters that are known before the network is there.

        Args:
            given: dict of values; those that are None count as not given.
            dataset: str or None, name of the data set.

        Returns:
            dict, without those that follow from the network, see `derive`.

        Raises:
            ValueError: an unknown name, or a value that the parameter cannot have.
        """
        parameters = cls.own_parameters()
        given = {name: value for name, value in given.items() if value is not None}
        for name, value in given.items():
            choose(f"parameter of objective {cls.objective}", name, parameters)
            if parameters[name].choices:
                choose(name, value, parameters[name].choices)
        defaults = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.default is not None
        }
        return defaults | given

    @classmethod
    def network_for(cls, network: typing.Any, parameters: dict) -> typing.Any:
        """The network that the objective trains, such as one with a second head.

        Args:
            network: keras.Model, a classifier of images; its layers are shared, not copied.
            parameters: dict of `settle`.

        Returns:
            keras.Model, images -> logits, or {"features", "logits" and more outputs}.
        """
        return network

    @classmethod
    def derive(
        cls, parameters: dict, network: typing.Any, images: typing.Any, labels: typing.Any,
        outliers: typing.Any,
    ) -> dict:
        """The parameters that follow from the network before it is trained.

        Args:
            parameters: dict of `settle`.
            network: keras.Model.
            images: (N, H, W, C), training images, not augmented.
            labels: (N,) int.
            outliers: (M, H, W, C) or None.

        Returns:
            dict of those alone.
        """
        return {}

    @classmethod
    def describe(cls, parameters: dict) -> str:
        """The loss in words, with the numbers of `parameters`."""
        return cls.formula.format(**parameters)

    @classmethod
    def differing(cls, parameters: dict) -> dict:
        """{name: value} that tells runs of the objective apart, of `settle`d parameters."""
        named = {name: parameters[name] for name in cls.of_its_name}
        usual = cls.settle(named)
        return named | {n: value for n, value in parameters.items() if usual.get(n) != value}


def without_none(hint):
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint

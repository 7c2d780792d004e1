"""Models and training strategies by name.

The public names of `models` that are recommenders, and those of `training.strategies` that are
strategies, are the registry.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

import models
import training.strategies
from models.inputs import Inputs
from models.params import Params
from models.recommender import Recommender
from training.errors import InvalidParams, UnknownModel, UnknownStrategy
from training.strategies.strategy import KnownPairs, Strategy

_T = TypeVar("_T")


def model_names() -> list[str]:
    """Return the names under which models can be trained, sorted, in lower case."""
    return sorted(_classes())


def model_class(name: str) -> type[Recommender]:
    """Return the model called `name`, in any case.

    Raises:
        UnknownModel: There is no such model; the message lists the choices.
    """
    return _find(name, _classes(), UnknownModel)


def parse_params(name: str, values: Mapping[str, object]) -> Params:
    """Read a model's parameters; a missing one has its default, an unknown one is an error.

    Raises:
        UnknownModel: There is no such model.
        InvalidParams: A name or a value does not fit; the message names each.
    """
    return _parse(name, model_class(name), values)


def parse_strategy_params(name: str, values: Mapping[str, object]) -> Params:
    """Read a strategy's parameters; a missing one has its default, an unknown one is an error.

    Raises:
        UnknownStrategy: There is no such strategy.
        InvalidParams: A name or a value does not fit; the message names each.
    """
    return _parse(name, strategy_class(name), values)


def _parse(name: str, owner: type, values: Mapping[str, object]) -> Params:
    params_type = get_type_hints(owner.__init__)["params"]  # type: ignore[misc]  # of a class object
    try:
        params: Params = TypeAdapter(params_type).validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'params'}: {e['msg']}" for e in error.errors()
        )
        known = ", ".join(field.name for field in fields(params_type)) or "none"
        raise InvalidParams(f"parameters of {name}: {problems} (known: {known})") from error
    return params


def build_model(name: str, params: Params, inputs: Inputs, seed: int) -> Recommender:
    """Create a model with initial values drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    # The base class takes only inputs; every registered model has the three-argument form.
    model: Recommender = model_class(name)(inputs, params, generator)  # type: ignore[call-arg]
    return model


def strategy_names() -> list[str]:
    """Return the names of the training strategies, sorted, in lower case."""
    return sorted(_strategies())


def strategy_class(name: str) -> type[Strategy]:
    """Return the training strategy called `name`, in any case.

    Raises:
        UnknownStrategy: There is no such strategy; the message lists the choices.
    """
    return _find(name, _strategies(), UnknownStrategy)


def build_strategy(name: str, params: Params, model: Recommender, pairs: KnownPairs) -> Strategy:
    """Create a strategy for a model that is on its device.

    Raises:
        ValueError: The strategy cannot train this model; the message says why.
    """
    # The base class takes only the model; every registered strategy has the three-argument form.
    strategy: Strategy = strategy_class(name)(model, params, pairs)  # type: ignore[call-arg]
    return strategy


def _find(
    name: str, choices: Mapping[str, type[_T]], error: type[UnknownModel | UnknownStrategy]
) -> type[_T]:
    if name.lower() not in choices:
        raise error(name, choices)
    return choices[name.lower()]


def _classes() -> dict[str, type[Recommender]]:
    return _public(vars(models), Recommender)  # type: ignore[type-abstract]  # those are left out


def _strategies() -> dict[str, type[Strategy]]:
    return _public(vars(training.strategies), Strategy)


def _public(namespace: Mapping[str, object], base: type[_T]) -> dict[str, type[_T]]:
    return {
        name.lower(): value
        for name, value in namespace.items()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
    }

"""Models by name: the public names of `models` that are recommenders are the registry."""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

import models
from models.inputs import Inputs
from models.params import Params
from models.recommender import Recommender
from training.errors import InvalidParams, UnknownModel


def model_names() -> list[str]:
    """Return the names under which models can be trained, sorted, in lower case."""
    return sorted(_classes())


def model_class(name: str) -> type[Recommender]:
    """Return the model called `name`, in any case.

    Raises:
        UnknownModel: There is no such model; the message lists the choices.
    """
    classes = _classes()
    if name.lower() not in classes:
        raise UnknownModel(name, classes)
    return classes[name.lower()]


def parse_params(name: str, values: Mapping[str, object]) -> Params:
    """Read a model's parameters; a missing one has its default, an unknown one is an error.

    Raises:
        UnknownModel: There is no such model.
        InvalidParams: A name or a value does not fit; the message names each.
    """
    params_type = get_type_hints(model_class(name).__init__)["params"]
    try:
        params: Params = TypeAdapter(params_type).validate_python(dict(values))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'params'}: {e['msg']}" for e in error.errors()
        )
        known = ", ".join(field.name for field in fields(params_type))
        raise InvalidParams(f"parameters of {name}: {problems} (known: {known})") from error
    return params


def build_model(name: str, params: Params, inputs: Inputs, seed: int) -> Recommender:
    """Create a model with initial values drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    # The base class takes only inputs; every registered model has the three-argument form.
    model: Recommender = model_class(name)(inputs, params, generator)  # type: ignore[call-arg]
    return model


def _classes() -> dict[str, type[Recommender]]:
    return {
        name.lower(): value
        for name, value in vars(models).items()
        if inspect.isclass(value)
        and issubclass(value, Recommender)
        and not inspect.isabstract(value)
    }

"""Which of the registered models need content."""

from tiny_inputs import random_inputs

from training.registry import build_model, model_names, parse_params


def is_multimodal(name: str) -> bool:
    """A model that needs content says so when there is none."""
    try:
        build_model(name, parse_params(name, {}), random_inputs({}), seed=0)
    except ValueError as error:
        return "at least one modality" in str(error)
    return False


def multimodal_names() -> list[str]:
    """Return the registered models that need content, sorted."""
    return [name for name in model_names() if is_multimodal(name)]

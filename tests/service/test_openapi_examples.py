"""Whoever reads the document sees what every request and answer is like."""

from typing import Any

import jsonschema_rs
import pytest

from service.app import create_app
from service.settings import Settings

DOCUMENT = create_app(Settings.load({})).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
BODIES = [name for name, operation in OPERATIONS.items() if "requestBody" in operation]


# Any: JSON.
def _examples(media: dict[str, Any]) -> list[Any]:
    """Those beside the schema, or that of the model it refers to."""
    if "example" in media:
        return [media["example"]]
    if "examples" in media:
        return [example["value"] for example in media["examples"].values()]
    name = media["schema"].get("$ref", "").rpartition("/")[2]
    model = DOCUMENT["components"]["schemas"].get(name, {})
    return [model["example"]] if "example" in model else []


def _check(media: dict[str, Any]) -> None:
    examples = _examples(media)
    assert examples
    if "schema" not in media:
        return
    schema = {**media["schema"], "components": DOCUMENT["components"]}
    for example in examples:
        jsonschema_rs.validate(schema, example)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_good_answer_with_a_body_has_an_example_that_fits(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    good = {status: answer for status, answer in answers.items() if status.startswith("2")}
    assert good
    for status, answer in good.items():
        assert (status == "204") == ("content" not in answer)
        for media in answer.get("content", {}).values():
            _check(media)


@pytest.mark.parametrize("name", BODIES)
def test_every_body_of_a_request_has_an_example_that_fits(name: str) -> None:
    for media in OPERATIONS[name]["requestBody"]["content"].values():
        _check(media)

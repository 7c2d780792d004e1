import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.descriptor import (
    Descriptor,
    EventType,
    ModalitySpec,
    parse_descriptor,
    read_descriptor,
    render_descriptor,
)
from training.errors import SchemaError

HEAD = 'name = "shop"\n[event_types.view]\n'
ANY_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def _parse(text: str) -> Descriptor:
    return parse_descriptor(tomllib.loads(text), "dataset.toml")


@given(
    event=ANY_TEXT,
    column=ANY_TEXT,
    weight=st.floats(0, allow_nan=False, allow_infinity=False),
)
def test_any_descriptor_survives_the_round_trip(event: str, column: str, weight: float) -> None:
    descriptor = Descriptor(
        "shop",
        {event: EventType(weight, "negative", 0.5)},
        {"kind": ModalitySpec("categorical", column, "features/kind.neighbours.npz")},
    )

    assert _parse(render_descriptor(descriptor)) == descriptor


def test_awkward_characters_survive_the_round_trip() -> None:
    column = 'tab\t "quote" \\ newline\n \x7f \x00 é 😀'
    descriptor = Descriptor("s", {"a.b c": EventType()}, {"m": ModalitySpec("text", column)})

    assert _parse(render_descriptor(descriptor)) == descriptor


def test_event_type_defaults_are_weight_one_positive_and_no_fading() -> None:
    assert _parse(HEAD).event_types == {"view": EventType(1.0, "positive", None)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "wieght = 1", r"\[event_types.view\]: unknown key 'wieght'; known keys are weight"),
        ('nam = "x"', "unknown key 'nam'"),
        ("[event_types.view]", "name is None; add a line"),
        ('name = "shop"', "no event types"),
        ('name = "../shop"\n[event_types.view]', "name '../shop' must start with"),
        (HEAD + 'weight = "1"', "weight is '1'; write a number"),
        (HEAD + "weight = true", "weight is True; write a number"),
        (HEAD + "weight = -1", "weight is -1.0; use a finite number >= 0"),
        (HEAD + "weight = inf", "weight is inf"),
        (HEAD + 'sign = "good"', "sign is 'good'; choose one of positive, neutral, negative"),
        (HEAD + "half_life_days = 0", "half_life_days is 0.0; use days > 0"),
        ('format_version = 2\nname = "s"', "format_version is 2, this program reads 1"),
        ('name = "s"\nevent_types = 3', r"event_types must be tables"),
        (HEAD + '[modalities.image]\nkind = "vector"', "kind is 'vector'; choose one of dense"),
        (HEAD + '[modalities.image]\nkind = "dense"', "source is None"),
        (HEAD + '[modalities.Bad]\nkind = "text"\nsource = "t"', "modality name 'Bad'"),
        (HEAD + '[modalities.m]\nkind = "dense"\nsource = "../x.npy"', r"points to '../x.npy'"),
        (
            HEAD + '[modalities.m]\nkind = "dense"\nsource = "/x.npy"',
            "use a path inside the folder",
        ),
    ],
)
def test_broken_descriptor_is_refused_with_place_and_fix(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        _parse(text)


def test_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        SchemaError, match="is not a dataset folder; create one with `mutualrec imp"
    ):
        read_descriptor(tmp_path / "dataset.toml")


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text('name = "shop"\nbroken\n')

    with pytest.raises(SchemaError, match=r"is not valid TOML: .*line 2"):
        read_descriptor(path)

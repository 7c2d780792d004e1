import json
import logging
from collections.abc import Iterator

import pytest

from service.logs import configure_logging, configure_process_logging


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "service", "uvicorn.error")]
    before = [(logger, logger.handlers, logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers = handlers
        logger.setLevel(level)


def test_a_serving_process_writes_every_record_once(capsys):
    logging.getLogger().handlers = [logging.StreamHandler()]
    configure_process_logging("info")
    logging.getLogger("service.catalogs").info("swapped")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == [
        "swapped"
    ]


def test_records_of_other_libraries_are_json_in_a_serving_process(capsys):
    configure_process_logging("info")
    logging.getLogger("asyncio").warning("slow")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["logger"], line["level"]) == ("slow", "asyncio", "warning")


def test_terminal_colours_stay_out(capsys):
    configure_logging("info")
    logging.getLogger("uvicorn.error").info("up", extra={"color_message": "\x1b[36mup"})
    assert "color_message" not in json.loads(capsys.readouterr().err)

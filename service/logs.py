"""JSON log lines on standard error."""

import logging

import structlog

_LOGGERS = ("service", "mutualrec.workers", "uvicorn.error")


def configure_logging(level: str) -> None:
    """Sends the service's and uvicorn's log records to standard error, one JSON object per line.

    Calling it again replaces the handler.
    """
    handler = _json_handler()
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())


def configure_process_logging(level: str) -> None:
    """As `configure_logging`, for a process that does nothing but serve.

    Its other records become JSON as well, and whatever handlers the process had before are gone,
    so that every record is written once.
    """
    configure_logging(level)
    logging.getLogger().handlers = [_json_handler()]
    for name in _LOGGERS:
        logging.getLogger(name).handlers = []


def _json_handler() -> logging.Handler:
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _without_colours,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    return handler


def _without_colours(
    _logger: structlog.typing.WrappedLogger, _name: str, record: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Drops uvicorn's second copy of its messages, which has terminal colours in it."""
    record.pop("color_message", None)
    return record

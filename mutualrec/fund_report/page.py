"""A report as one HTML page that needs nothing but itself."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mutualrec.fund_report import figure
from mutualrec.fund_report.case import Case, percent

_FOLDER = Path(__file__).parent


def render(case: Case) -> str:
    """Return the page. Texts of the data are escaped; nothing is loaded from anywhere."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["money"] = _money
    environment.filters["thousands"] = "{:,}".format
    template = environment.get_template("page.html.jinja")
    largest = max((max(one.before, one.after) for one in case.domains), default=0.0) or 1.0
    return template.render(
        case=case,
        figure=figure.lay_out(case),
        fund_name=figure.fitted(case.name, figure.FUND_WIDTH - 24),
        size=figure,
        largest=largest,
    )


def _money(value_usd: float) -> str:
    """An amount for people, such as ``$1.2 billion``."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value_usd >= size:
            return f"${value_usd / size:,.1f} {name}"
    return f"${value_usd:,.0f}"

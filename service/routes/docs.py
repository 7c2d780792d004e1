"""GET /openapi.json, and GET /docs: the same as one page that needs no script and no internet."""

import html
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { border-top: 1px solid #bbb; padding-top: 1rem }
code, pre { font-family: ui-monospace, monospace }
pre { background: #f3f3f3; padding: .75rem; overflow-x: auto; font-size: .85rem }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } pre { background: #252525 } a { color: #8bf }
}
"""


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(render(request.app.openapi()))


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """The document the page is made of."""
    return JSONResponse(request.app.openapi())


# Any: an OpenAPI document is JSON.
def render(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    info = document["info"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        f"<h3 id='{_text(name)}'>{_text(name)}</h3>{_json(schema)}"
        for name, schema in document.get("components", {}).get("schemas", {}).items()
    ]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{_text(info['title'])}</title><style>{_STYLE}</style>"
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>"
        f"<p>{_text(info.get('description', ''))}</p>"
        "<p>The same as a document for tools: <a href='openapi.json'>openapi.json</a></p>"
        f"{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    return (
        f"<h2><code>{_text(method.upper())} {_text(path)}</code></h2>"
        f"<p><b>{_text(operation.get('summary', ''))}.</b>"
        f" {_text(operation.get('description', ''))}</p>"
        f"{_parameters(operation.get('parameters', []))}"
        f"{_examples('Request', operation.get('requestBody', {}).get('content', {}))}"
        f"{''.join(_response(*entry) for entry in operation['responses'].items())}"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{_text(parameter['name'])}</code><td>{_text(parameter['in'])}"
        f"<td>{_text(parameter.get('description', ''))}"
        for parameter in parameters
    )
    return f"<table><tr><th>Parameter<th>In<th>Meaning{rows}</table>"


def _response(status: str, response: dict[str, Any]) -> str:
    content = response.get("content", {})
    kinds = ", ".join(f"<code>{_text(kind)}</code>" for kind in content)
    return (
        f"<p>{_text(status)} {_text(response.get('description', ''))} {kinds}</p>"
        f"{_examples('Response', content)}"
    )


def _examples(label: str, content: dict[str, Any]) -> str:
    parts = []
    for kind, media in content.items():
        examples = dict(media.get("examples", {}))
        if "example" in media:
            examples[label] = {"summary": label, "value": media["example"]}
        for example in examples.values():
            parts.append(
                f"<p>{_text(label)}: {_text(example['summary'])} (<code>{_text(kind)}</code>)</p>"
                f"{_json(example['value'])}"
            )
    return "".join(parts)


def _json(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{_text(text)}</pre>"


def _text(value: object) -> str:
    return html.escape(str(value))

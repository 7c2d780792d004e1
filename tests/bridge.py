"""How a client that waits reaches an application in this process."""

import httpx


class Bridge(httpx.BaseTransport):
    """Runs requests on the application's own loop."""

    def __init__(self, service) -> None:
        self._service = service
        self._transport = httpx.ASGITransport(service.app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._service.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        response = await self._transport.handle_async_request(request)
        content = b"".join([part async for part in response.stream])
        return httpx.Response(response.status_code, headers=response.headers, content=content)

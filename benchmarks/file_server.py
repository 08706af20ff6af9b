"""Serves as many different pictures as anybody asks for: the same few, each time with other bytes behind their end.

What follows a JPEG's end is no picture to a decoder, but makes other content of it. Called as
``file_server.py FOLDER PORT``; ``/data/upload/1/<number, 8 hex>-<kind>.jpg`` is one of the files in ``FOLDER/<kind>``. aiohttp rather than
http.server, which lets the sixth connection at the same time wait for a second.
"""

import sys
from pathlib import Path

from aiohttp import web


def main() -> None:
    """Serve until killed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    files = {kind.name: [file.read_bytes() for file in sorted(kind.iterdir())] for kind in folder.iterdir()}

    async def picture(request: web.Request) -> web.Response:
        number, _, kind = request.match_info["name"].removesuffix(".jpg").partition("-")
        of_kind = files[kind]
        data = of_kind[int(number, 16) % len(of_kind)] + int(number, 16).to_bytes(4, "big")
        return web.Response(body=data, content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/data/upload/1/{name}", picture)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()

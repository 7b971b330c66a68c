"""The application as a plain WSGI function."""
from urllib.parse import parse_qsl

import deeds


def application(environ, start_response):
    def read():
        size, stream, got = int(environ.get("CONTENT_LENGTH") or 0), environ["wsgi.input"], []
        while size > 0:
            piece = stream.read(size)
            if not piece:
                raise OSError("the request's body ended early")
            got.append(piece)
            size -= len(piece)
        return b"".join(got)
    name = environ.get("HTTP_X_STORM_ID", "")
    status, body, streamed = deeds.perform(environ["REQUEST_METHOD"], environ["PATH_INFO"],
                                           dict(parse_qsl(environ["QUERY_STRING"])), name, read)
    headers = [("Content-Type", "application/octet-stream"), ("X-Storm-Id", name)]
    if not streamed:
        headers.append(("Content-Length", str(len(body))))
    start_response("%d %s" % (status, "OK" if status == 200 else "Bad Request"), headers)
    return deeds.pieces(body) if streamed else [body]


deeds.up()

"""A sample WSGI app, packed with its library in vendor. gunicorn runs it without a Procfile."""

import sys
import time

from greeting import greet


def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
        text = "slow but complete\n"
    else:
        text = greet("Python %d.%d" % sys.version_info[:2]) + "\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]

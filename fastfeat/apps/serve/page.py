"""The web page of a server: its plan, its figures, and one row explained. It loads no other files.

The page contains no data: its script asks the server and inserts the answers as text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastfeat.apps.serve.app import Answer, Handler, HttpRequest


def page_of() -> Handler:
    """Return the handler that sends the web page."""
    page = files("fastfeat.apps.serve").joinpath("page.html").read_text("utf-8")
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; script-src {_digests(page, 'script')}; "
        f"style-src {_digests(page, 'style')}"
    )
    headers = (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    answered = Answer(page.encode(), b"text/html; charset=utf-8", headers)

    async def answer(request: HttpRequest) -> Answer:
        return answered

    return answer


def _digests(page: str, element: str) -> str:
    """Return the SHA-256 digests of the page's scripts or styles; a browser runs no others."""
    contents = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in contents]
    return " ".join(f"'sha256-{digest}'" for digest in digests)

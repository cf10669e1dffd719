"""What every page is: one HTML file that loads nothing, whose policy allows its own style and its own script alone."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import Any


def page(title: str, body: str, *, style: str, script: str = "", data: Any = None, name: str = "data") -> str:
    """The whole text of a page. `body` is markup in which everything that a user named is escaped; `title` is plain text.

    >>> text = page("x < y", "<p>x</p>", style="p { margin: 0 }")
    >>> "<title>x &lt; y</title>" in text, "<script" in text, "script-src 'none'" in text
    (True, False, True)

    `data`, anything that JSON can hold, is what `script` reads from the element whose id is `name`.
    """
    source = _fingerprint(script) if script else "'none'"
    policy = f"default-src 'none'; script-src {source}; style-src {_fingerprint(style)}; base-uri 'none'; form-action 'none'"
    held = f'<script type="application/json" id="{name}">{escaped_json(data)}</script>\n' if data is not None else ""
    run = f"<script>{script}</script>\n" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
{held}{run}</body>
</html>
"""


def framed(text: str, title: str, height: int) -> str:
    """A page in a frame of its own, `height` pixels high, for a notebook.

    >>> framed("<p>x</p>", "x & y", 300)[:64]
    '<iframe srcdoc="&lt;p&gt;x&lt;/p&gt;" sandbox="allow-scripts" ti'
    """
    return (
        f'<iframe srcdoc="{html.escape(text)}" sandbox="allow-scripts" title="{html.escape(title)}" width="100%" height="{height}" '
        'style="border: 1px solid rgb(128 128 128 / 0.4); border-radius: 6px;"></iframe>'
    )


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def escaped_json(data: Any) -> str:
    """JSON that no HTML parser can leave early or misread, whatever names are in it: no `</`, `<!` or `<script`.

    >>> escaped_json(["</script><!--", "<math>"])
    '["<\\\\/script>\\\\u003c!--","<math>"]'
    """
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return re.sub("<(?=[!sS])", r"\\u003c", text.replace("</", "<\\/"))

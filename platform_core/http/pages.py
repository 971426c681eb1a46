"""The few HTML pages of the platform itself: one look, no scripts or styles from elsewhere."""

from __future__ import annotations

import html
import secrets
from typing import Final

from starlette.responses import HTMLResponse

__all__ = ["page"]

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee6;--paper:#fbfbfa;--card:#fff;--accent:#0b63ce;
--get:#0b7a4b;--post:#0b63ce;--put:#8a5a00;--patch:#8a5a00;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b4;--line:#2c3440;--paper:#12161c;--card:#181d25;
--accent:#6aa9ff;--get:#5fd39b;--post:#6aa9ff;--put:#e5b567;--patch:#e5b567;--delete:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;font:16px/1.6 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main{max-width:62rem;margin:0 auto;padding:3rem 1.25rem 6rem}
h1{font-size:1.7rem;line-height:1.25;margin:.2rem 0 1.2rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem}
p{max-width:42rem}a{color:var(--accent)}
code,pre{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,monospace}
code{background:color-mix(in srgb,var(--soft) 14%,transparent);padding:.1em .35em;border-radius:.3em}
.status,.soft{color:var(--soft)}
"""


def page(title: str, body: str, *, style: str = "", script: str = "") -> HTMLResponse:
    """
    Return a page whose content security policy admits nothing but its own style and script.

    Args:
        title: escaped here.
        body: HTML, escaped by the caller.
        script: inline code; it may fetch from this origin only.
    """
    nonce = secrets.token_urlsafe(16)
    scripts = f'<script nonce="{nonce}">{script}</script>' if script else ""
    content = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{html.escape(title)}</title><style nonce="{nonce}">{_STYLE}{style}</style></head>'
        f"<body><main>{body}</main>{scripts}</body></html>"
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})

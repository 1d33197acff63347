"""The built site that tests open: which pages it has, and what stands in their files.

It is the folder named by RNNATOMY_SITE, else `build/site-quick`, which `make test` builds from
chapters run with quick parameters.
"""

import os
import re
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup
from report.widgets.pages import READY

from rnnatomy.store import checkout

SITE = Path(os.environ.get("RNNATOMY_SITE") or checkout.root() / "build" / "site-quick").resolve()
NARROW, WIDE = 400, 1400  # pixels


@cache
def soup(name):
    return BeautifulSoup((SITE / name).read_text("utf8"), "html.parser")


def is_redirect(name):
    return soup(name).find("meta", attrs={"http-equiv": re.compile("refresh", re.I)}) is not None


def start_widgets(page):
    """Come near each widget of a page, which starts it, and go back to the top."""
    for one in page.locator(".widget").all():
        one.scroll_into_view_if_needed()
    page.wait_for_function(READY)
    page.evaluate("scrollTo(0, 0)")


FILES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("*.html"))
PAGES = [name for name in FILES if not is_redirect(name)]

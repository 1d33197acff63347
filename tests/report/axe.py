"""What axe-core finds wrong with a page that a browser shows."""

from axe_playwright_python.base import AXE_SCRIPT

# Rules for the levels A and AA, and good practice. One is off by default: that the words on a
# button are in its name.
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,
}

AXE = """async rules => (await axe.run(document, rules)).violations
  .flatMap(({ id, nodes }) =>
    nodes.map(({ target, html }) => `${id}: ${target} ${html.slice(0, 120)}`))"""


def broken(page):
    """Tell which rules a page breaks as it stands, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"{AXE_SCRIPT};0")
    return page.evaluate(AXE, RULES)

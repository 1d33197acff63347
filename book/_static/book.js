// Opened from the file system, a page may not fetch its neighbours: search then lists titles only.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// What was folded away may scroll from side to side once it is seen: the theme looks for what does,
// and lets the keyboard reach it, when the page changes its size.
addEventListener("toggle", () => dispatchEvent(new Event("resize")), true);

// A formula wider than the page scrolls by itself, and on a page without the theme a table does: so
// long as it scrolls, the keyboard reaches it too.
{
  const wide = "div.math > .formula, main > article :is(div:has(> math), table)";
  const reach = () => document.querySelectorAll(wide).forEach(part => {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  });
  addEventListener("load", reach);
  addEventListener("resize", reach);
}

// Paper is white, whatever the theme on the screen.
{
  const root = document.documentElement.dataset;
  let theme;
  addEventListener("beforeprint", () => {
    theme = root.theme;
    root.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.theme = theme;
  });
}

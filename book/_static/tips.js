// What a term means, what a citation stands for, what a figure shows: beside the link, on hover and
// focus. The page holds it all; lib/rnnatomy/report/tips.py lays the definitions of terms into it.
addEventListener("DOMContentLoaded", () => {
  "use strict";

  const article = document.querySelector("article, .bd-article");
  if (!article) return;

  const WAIT = 250, STAY = 200; // milliseconds before a tip comes, and before it goes
  const held = article.querySelector("script.tips");
  const terms = held ? JSON.parse(held.textContent) : {};
  const box = document.createElement("div");
  box.className = "tip";
  box.setAttribute("role", "tooltip");
  let shown = null, timer = 0;

  // A copy that has no names of its own, so that none is twice on the page
  function copy(element) {
    const twin = element.cloneNode(true);
    for (const one of [twin, ...twin.querySelectorAll("[id]")]) one.removeAttribute("id");
    for (const one of twin.querySelectorAll("script, details, .headerlink, .label, button")) one.remove();
    return twin;
  }

  // What a link leads to, if it can be told beside it
  function content(link) {
    const href = link.getAttribute("href") ?? "", at = href.indexOf("#");
    if (terms[href]) return [document.createTextNode(terms[href])];
    if (at !== 0 || href.length < 2) return null;
    const target = document.getElementById(decodeURIComponent(href.slice(1)));
    if (target?.matches(".citation")) return [...copy(target).childNodes];
    const figure = target?.closest("figure") ?? target?.querySelector?.("figure");
    if (!figure || target.closest("section") === target) return null;
    return [copy(figure)];
  }

  function place(link) {
    const mark = link.getClientRects()[0] ?? link.getBoundingClientRect(), gap = 6;
    const wide = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(mark.left, wide - box.offsetWidth - 8));
    const above = mark.top > box.offsetHeight + gap && mark.bottom + gap + box.offsetHeight > innerHeight;
    box.style.left = `${left}px`;
    box.style.top = `${above ? mark.top - gap - box.offsetHeight : mark.bottom + gap}px`;
  }

  function hide() {
    clearTimeout(timer);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    box.remove();
  }

  function show(link) {
    clearTimeout(timer);
    if (shown === link) return;
    const parts = content(link);
    if (!parts) return;
    hide();
    box.replaceChildren(...parts);
    box.classList.toggle("tip-figure", Boolean(box.querySelector("figure")));
    box.id = "tip";
    article.append(box);
    shown = link;
    if (link.title) {
      link.dataset.title = link.title; // the browser's own tip would lie over this one
      link.removeAttribute("title");
    }
    link.setAttribute("aria-describedby", box.id);
    place(link);
  }

  const linkOf = event => event.target.closest?.("article a.reference, .bd-article a.reference");
  const later = (what, time) => {
    clearTimeout(timer);
    timer = setTimeout(what, time);
  };

  article.addEventListener("pointerover", event => {
    const link = linkOf(event);
    if (link && event.pointerType === "mouse") later(() => show(link), WAIT);
  });
  article.addEventListener("pointerout", event => linkOf(event) && later(hide, STAY));
  article.addEventListener("focusin", event => {
    const link = linkOf(event);
    if (link?.matches(":focus-visible")) show(link);
  });
  article.addEventListener("focusout", event => linkOf(event) && later(hide, STAY));
  box.addEventListener("pointerenter", () => clearTimeout(timer)); // it may be read, and copied
  box.addEventListener("pointerleave", () => later(hide, STAY));
  addEventListener("keydown", event => event.key === "Escape" && hide());
  addEventListener("scroll", () => shown && place(shown), { passive: true });
  addEventListener("resize", hide);
});

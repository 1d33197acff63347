// The vanishing digits: two switches take directions out of a readout, and what is lost fades.
// The page carries all answers; lib/rnnatomy/report/widgets/vanish.py tells how they are laid out.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { make, write } = kit;

  const number = value => value.toLocaleString("en-US");

  // What is taken out, as a place in the list of states
  const CONTROL = 4;

  function draw(canvas, pixels, white, ink) {
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const [red, green, blue] = [1, 3, 5].map(at => parseInt(ink.slice(at, at + 2), 16));
    pixels.forEach((value, i) => image.data.set([red, green, blue, 255 * value / white], 4 * i));
    context.putImageData(image, 0, 0);
  }

  function makeTile({ shape, label }) {
    const picture = shape
      ? make("canvas", { width: shape[1], height: shape[0], "aria-hidden": "true" })
      : make("span", { class: "vanish-numeral", "aria-hidden": "true" }, String(label));
    const answer = make("span", { class: "vanish-answer", "aria-hidden": "true" });
    return { picture, answer, element: make("li", { class: "vanish-tile" }, picture, answer) };
  }

  function sentence({ names, kept, total }, state) {
    const [first, second, control] = names, left = `${number(kept[state])} of ${number(total)}`;
    const start = ["With nothing taken out", `Without ${first}`, `Without ${second}`,
      `Without ${first} and ${second}`, `Without ${control}`][state];
    return `${start}, ${left} are read rightly.`;
  }

  function start({ body, facts, bytes, note }) {
    const [first, second, control] = facts.names;
    const button = text => make("button", { type: "button", class: "vanish-switch", "aria-pressed": "false" }, text);
    const switches = [button(`Take out ${first}`), button(`Take out ${second}`), button(`${control[0].toUpperCase()}${control.slice(1)}, instead`)];
    const tiles = facts.answers[0].map(() => makeTile(facts));
    const told = make("p", { class: "vanish-told", "aria-live": "polite" });
    const grid = make("ul", { class: "vanish-grid", "aria-label": `Images of the digit ${facts.label}` },
      ...tiles.map(tile => tile.element));
    body.append(
      make("div", { class: "vanish-switches", role: "group", "aria-label": "Directions taken out" }, ...switches),
      told, grid,
      make("p", { class: "widget-note" }, "A faded image is no longer read; the number on it is what it is taken for."));

    const on = [false, false, false];
    function update() {
      const state = on[2] ? CONTROL : Number(on[0]) + 2 * Number(on[1]);
      switches.forEach((one, k) => one.setAttribute("aria-pressed", String(on[k])));
      write(told, sentence(facts, state));
      tiles.forEach(({ element, answer }, i) => {
        const read = facts.answers[state][i], lost = read !== facts.label;
        element.classList.toggle("vanish-lost", lost);
        write(answer, lost ? read : "");
      });
    }
    switches.forEach((one, k) => one.addEventListener("click", () => {
      on[k] = !on[k];
      if (k === 2) on[0] = on[1] = false;
      else on[2] = false;
      update();
    }));
    const size = facts.shape ? facts.shape[0] * facts.shape[1] : 0;
    if (size) kit.keepDrawn(grid, inks => tiles.forEach(({ picture }, i) =>
      draw(picture, bytes.subarray(i * size, (i + 1) * size), facts.white, inks.ink)));
    update();
    note?.("");
  }

  return { name: "vanish", start };
});

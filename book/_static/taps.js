// The taps: a digit that an LSTM reads row by row, with its four gates, each of which can be held.
// The page carries network and images; lib/rnnatomy/report/widgets/taps.py tells how they are laid out.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { clamp, minus, list, make, write, affine } = kit;

  const RATE = 7; // rows a second
  const ACROSS = 16; // units in a row of a field
  const BAND = [0.1, 0.9]; // what lies between has most of the units

  // What is shown of each unit. What has a sign may be below zero; at shows how strong a shade is.
  const WAYS = { works: null, shut: 0, open: 1 };
  const PARTS = [
    { key: "f", name: "forget", title: "Forget gate", does: "how much stays", ways: WAYS },
    { key: "i", name: "input", title: "Input gate", does: "how much is let in", ways: WAYS },
    { key: "g", name: "cell", title: "Cell gate", does: "what is new", ways: { works: null, zero: 0 }, signed: true },
    { key: "o", name: "output", title: "Output gate", does: "how much is shown", ways: WAYS },
    { key: "c", name: "memory", title: "Memory", does: "what is kept", signed: true, at: Math.tanh },
    { key: "h", name: "hidden", title: "Hidden state", does: "what is shown", signed: true },
  ];
  const GATES = PARTS.filter(({ ways }) => ways);

  let count = 0; // of widgets on the page: each has radio buttons of its own

  // ---- What the page carries ----

  function read({ labels, images: { shape: [rows, columns], white }, reader }, bytes) {
    const size = rows * columns, end = size * labels.length;
    const images = labels.map((_, k) =>
      Float64Array.from(bytes.subarray(k * size, (k + 1) * size), grey => grey / white));
    const network = kit.readReader(reader, bytes.subarray(end));
    return { labels, rows, columns, images, network, hidden: network.bias.length / 4 };
  }

  // ---- The network ----

  // What stands in each unit after each row, and the answer: the first of each is before any row.
  // A gate that is held has one value in all units.
  function follow(image, { network: n, rows, columns, hidden }, held) {
    const h = new Float64Array(hidden), c = h.slice(), steps = [{ c: c.slice(), h: h.slice() }];
    const answer = () => kit.softmax(affine(h, n.readKernel, n.readBias)), answers = [answer()];
    for (let row = 0; row < rows; row++) {
      const fed = affine(image.subarray(row * columns, (row + 1) * columns), n.inputKernel, n.bias);
      const gates = kit.gatesOf(affine(h, n.kernel, fed));
      for (const [key, value] of Object.entries(held)) gates[key].fill(value);
      kit.advance(gates, h, c);
      steps.push({ ...gates, c: c.slice(), h: h.slice() });
      answers.push(answer());
    }
    return { steps, answers, bands: Object.fromEntries(PARTS.map(part => [part.key, bandOf(steps, part)])) };
  }

  // After each row: mean (or mean size, where there is a sign), and what most units lie between
  function bandOf(steps, { key, signed }) {
    return steps.map(({ [key]: values }) => {
      if (!values) return null;
      const sorted = values.slice().sort(), last = values.length - 1;
      const mean = values.reduce((sum, value) => sum + (signed ? Math.abs(value) : value), 0) / values.length;
      return [...BAND.map(share => sorted[Math.round(share * last)]), mean];
    });
  }

  const best = shares => shares.indexOf(Math.max(...shares));

  // ---- Words ----

  const told = value => minus(value.toFixed(2)).replace("−0.00", "0.00");

  const upper = text => text[0].toUpperCase() + text.slice(1);

  const heldOf = ways => GATES.filter(({ key }) => ways[key] !== "works");

  function sentence({ row, ways, run, whole, label }, { rows }) {
    const answer = best(run.answers[row]), before = best(whole.answers[row]), held = heldOf(ways);
    const say = (digit, shares) => `${digit} (${told(shares[digit])})`;
    const start = row ? `If reading stopped after row ${row} of ${rows}` : "Before the first row";
    const parts = [`${start}, the network would say ${say(answer, run.answers[row])}; it is a ${label}.`];
    if (row) {
      const means = GATES.filter(({ signed }) => !signed).map(({ key, name }) => `${name} ${told(run.bands[key][row][2])}`);
      parts.push(`Open on average: ${list(means)}.`);
    }
    if (held.length) {
      const kept = held.map(({ key, name }) => `${name} ${ways[key] === "zero" ? "at zero" : ways[key]}`);
      parts.push(`Held: ${list(kept)}; with all gates at work it would say ${say(before, whole.answers[row])}.`);
    }
    return parts.join(" ");
  }

  // One after the other; each is done at the end of a reading
  const TASKS = [
    { text: "Press Read. Then shut the forget gate, and read again.", test: ({ ways }) => ways.f === "shut" },
    { text: "Now hold it open, and read: what becomes of memory?", test: ({ ways }) => ways.f === "open" },
    {
      text: "Is there a gate that can be held open, and the digit is still read rightly?",
      test: ({ ways, run, label }) => heldOf(ways).length > 0 && heldOf(ways).every(({ key }) => ways[key] === "open") &&
        best(run.answers.at(-1)) === label,
    },
    { text: "There is. Does it do so for other digits?", test: () => false },
  ];

  const HELP = "Each cell is a unit: the stronger its colour, the wider its gate is open, or the larger the number; of " +
    "g, c and h, red is above zero, blue below. The number is the mean, of g, c and h that of the size. The " +
    "strip shows the rows so far: eight tenths of the units lie in the band, the thick line is the mean, the " +
    "thin one the chosen unit, and dashes are the network with all gates at work. A gate is held in all " +
    "units, at every row. Press on a cell to choose its unit, or use the arrow keys. In a box below its bar: " +
    "what the digit is.";

  // ---- Elements ----

  function makePaper({ rows, columns }) {
    const canvas = make("canvas", { class: "taps-digit", width: columns, height: rows, role: "img" });
    const unread = make("span", { class: "taps-unread" }), pen = make("span", { class: "taps-pen" });
    return { canvas, unread, pen, element: make("div", { class: "taps-paper" }, canvas, unread, pen) };
  }

  function makeControls({ rows, labels }) {
    const menu = make("select", {}, ...labels.map((label, value) =>
      make("option", { value }, `${label} (image ${value + 1})`)));
    const play = make("button", { type: "button", class: "widget-play" }, "Read");
    const slider = make("input", { class: "widget-slider", type: "range", min: 0, max: rows, step: 1 });
    const row = make("span", { class: "taps-row", "aria-hidden": "true" });
    const element = make("div", { class: "taps-player" },
      play, make("label", { class: "taps-menu" }, "Digit ", menu),
      make("label", { class: "taps-time" }, make("span", {}, "Row ", row), slider));
    return { menu, play, slider, row, element };
  }

  function makeAnswer(classes) {
    const bars = Array.from({ length: classes }, (_, digit) => make("span", {}, make("i"), make("b", {}, digit)));
    return { bars, element: make("div", { class: "taps-bars", role: "img" }, ...bars) };
  }

  // The ways in which a gate may be held: radio buttons, of which the chosen one is reached by Tab
  function makeWays({ key, title, ways }, choose) {
    const boxes = Object.keys(ways).map(way =>
      make("input", { type: "radio", name: `taps-${count}-${key}`, value: way }));
    const element = make("div", { class: "taps-ways", role: "radiogroup", "aria-label": title },
      ...boxes.map(box => make("label", {}, box, box.value)));
    const put = way => boxes.forEach(box => {
      box.checked = box.value === way;
      box.tabIndex = box.checked ? 0 : -1;
    });
    element.addEventListener("change", ({ target }) => {
      put(target.value);
      choose(key, target.value);
    });
    put("works");
    return element;
  }

  function makePart(part, { hidden }, choose) {
    const mean = make("b", { class: "taps-mean" });
    const field = make("canvas", { class: "taps-field", role: "application", tabindex: -1 });
    const strip = make("canvas", { class: "taps-strip", role: "img" });
    field.style.aspectRatio = `${Math.min(hidden, ACROSS)} / ${Math.ceil(hidden / ACROSS)}`;
    const element = make("div", { class: `taps-part taps-of-${part.key}` },
      make("p", { class: "taps-name" }, make("span", {}, `${upper(part.name)} `, make("i", {}, part.key)), mean),
      make("p", { class: "taps-does" }, part.does), field, strip,
      ...part.ways ? [makeWays(part, choose)] : []);
    return { ...part, mean, field, strip, element };
  }

  // The chosen unit: its two sums, each number below its name
  function makeUnit({ hidden }) {
    const number = make("input", { type: "number", min: 1, max: hidden, step: 1 });
    const cell = {};
    const put = (sign, name, key) => {
      cell[key] = make("b", { class: `taps-now-${key}` });
      return make("span", {}, sign, make("span", {}, make("i", {}, name), cell[key]));
    };
    const sum = (...parts) => make("p", { class: "taps-sum" }, ...parts);
    const element = make("div", { class: "taps-unit" },
      make("label", {}, "Unit ", number, ` of ${hidden}`),
      sum(put("", "c", "c"), put("=", "f", "f"), put("×", "old c", "b"), put("+", "i", "i"), put("×", "g", "g")),
      sum(put("", "h", "h"), put("=", "o", "o"), put("× tanh", "c", "d")));
    return { number, cell, element };
  }

  // ---- Drawing ----

  function drawField({ field, key, signed, at = value => value }, { run, row, unit }, { hidden }, inks) {
    const { context, width, height } = kit.openCanvas(field), values = run.steps[row][key];
    const across = Math.min(hidden, ACROSS), size = [width / across, height / Math.ceil(hidden / ACROSS)];
    const box = k => {
      const [x, y] = [k % ACROSS, Math.floor(k / ACROSS)].map((place, axis) => place * size[axis]);
      return [x + 0.5, y + 0.5, size[0] - 1, size[1] - 1];
    };
    for (let k = 0; k < hidden; k++) {
      const shade = values ? at(values[k]) : 0;
      context.globalAlpha = 1;
      context.fillStyle = inks.ground;
      context.fillRect(...box(k));
      context.globalAlpha = Math.abs(shade);
      context.fillStyle = signed && shade > 0 ? inks.signal : inks.accent;
      context.fillRect(...box(k));
    }
    context.globalAlpha = 1;
    for (const [colour, line] of [[inks.ground, 5], [inks.ink, 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(...box(unit));
    }
  }

  // How large a strip of memory is: one for both runs, so that they can be compared
  function limitOf({ key, at }, { run, whole, unit }) {
    if (!at) return 1;
    const most = Math.max(...[run, whole].flatMap(({ bands, steps }) =>
      [...bands[key].flatMap(([low, high]) => [-low, high]), ...steps.map(step => Math.abs(step[key][unit]))]));
    return Math.max(1, Math.ceil(most));
  }

  function drawStrip(part, state, { rows }, inks) {
    const { strip, key, signed } = part, { run, whole, row, unit, ways } = state;
    const { context, width, height } = kit.openCanvas(strip), limit = limitOf(part, state), low = signed ? -limit : 0;
    const place = (at, value) => [at / rows * width, 3 + (limit - value) / (limit - low) * (height - 6)];
    const shown = [...run.steps.keys()].filter(at => at <= row && run.bands[key][at]);
    const line = (values, { colour, thick, dash = [] }) => {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.setLineDash(dash);
      context.beginPath();
      shown.forEach(at => context.lineTo(...place(at, values(at))));
      context.stroke();
      context.setLineDash([]);
    };
    const across = (value, colour) => {
      context.fillStyle = colour;
      context.fillRect(0, Math.round(place(0, value)[1]) - 0.5, width, 1);
    };
    for (const value of new Set([low, 0, limit])) across(value, inks.line);
    context.fillStyle = inks.accent;
    context.globalAlpha = 0.25;
    context.beginPath();
    shown.forEach(at => context.lineTo(...place(at, run.bands[key][at][1])));
    shown.slice().reverse().forEach(at => context.lineTo(...place(at, run.bands[key][at][0])));
    context.fill();
    context.globalAlpha = 1;
    const sides = signed ? [0, 1] : [2];
    if (heldOf(ways).length)
      for (const side of sides) line(at => whole.bands[key][at][side], { colour: inks.quiet, thick: 1.2, dash: [3, 3] });
    if (!signed) line(at => run.bands[key][at][2], { colour: inks.accent, thick: 2.5 });
    line(at => run.steps[at][key][unit], { colour: inks.ink, thick: 1.2 });
    context.fillStyle = inks.accent;
    context.fillRect(clamp(row / rows * width - 1, 0, width - 2), 0, 2, height);
    if (part.at) {
      context.font = `11px ${inks.font}`;
      context.fillStyle = inks.quiet;
      context.textBaseline = "top";
      context.fillText(`±${limit}`, 2, 5);
    }
  }

  // What the field and the strip show, in words
  function describe({ field, strip, mean, key, title, signed }, { run, row, unit }, { hidden }) {
    const band = run.bands[key][row], values = run.steps[row][key], name = `${title} ${key}`;
    write(mean, band ? told(band[2]) : "–");
    if (!band) {
      field.setAttribute("aria-label", `${name}: nothing yet, no row is read`);
      strip.setAttribute("aria-label", `${name} over the rows: nothing yet`);
      return;
    }
    field.setAttribute("aria-label", `${name} of ${hidden} units: ${signed ? "mean size" : "mean"} ${told(band[2])}, ` +
      `from ${told(Math.min(...values))} to ${told(Math.max(...values))}; unit ${unit + 1}: ${told(values[unit])}`);
    const means = run.bands[key].slice(0, row + 1).map(one => one?.[2]);
    const known = means.filter(value => value !== undefined), [least, most] = [Math.min(...known), Math.max(...known)];
    strip.setAttribute("aria-label", `${name} over the rows: ${signed ? "mean size" : "mean"} least after row ` +
      `${means.indexOf(least)} (${told(least)}), largest after row ${means.indexOf(most)} (${told(most)})`);
  }

  function drawAnswer({ bars, element }, { run, row, label }) {
    const shares = [...run.answers[row]], said = best(shares);
    bars.forEach((bar, digit) => {
      bar.classList.toggle("taps-best", digit === said);
      bar.classList.toggle("taps-true", digit === label);
      bar.firstChild.style.height = `${3 * shares[digit]}rem`;
    });
    element.setAttribute("aria-label", `Probability of each digit: ${shares.map((share, k) => `${k}: ${told(share)}`).join(", ")}`);
  }

  function drawUnit({ number, cell }, { run, row, unit }) {
    const now = run.steps[row], before = run.steps[row - 1];
    const values = { ...now, d: now.c, b: before?.c };
    if (Number(number.value) !== unit + 1) number.value = unit + 1;
    for (const [key, place] of Object.entries(cell)) write(place, values[key] ? told(values[key][unit]) : "–");
  }

  // ---- Use ----

  function start({ body, facts, bytes, note }) {
    count += 1;
    const data = read(facts, bytes), paper = makePaper(data), controls = makeControls(data);
    const answer = makeAnswer(data.network.readBias.length), unit = makeUnit(data);
    const parts = PARTS.map(part => makePart(part, data, hold));
    const spoken = kit.makeVoice(), words = make("p", { class: "taps-told", "aria-hidden": "true" });
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    const first = TASKS[0].text.replace("Read", calm.matches ? "Next row, up to the last one" : "Read");
    const lead = make("p", { class: "taps-lead", "aria-live": "polite" }, first);
    const state = { row: data.rows, ways: Object.fromEntries(GATES.map(({ key }) => [key, "works"])), unit: 0, task: 0 };
    let inks = null;

    const drawParts = () => inks && parts.forEach(part => {
      drawField(part, state, data, inks);
      drawStrip(part, state, data, inks);
    });

    function showRow(row) {
      const text = `${row} of ${data.rows}`, isNext = row === state.row + 1;
      state.row = row;
      controls.slider.value = row;
      controls.slider.setAttribute("aria-valuetext", text);
      write(controls.row, text);
      paper.unread.style.top = `${100 * row / data.rows}%`;
      paper.pen.hidden = !row;
      Object.assign(paper.pen.style, { top: `${100 * (row - 1) / data.rows}%`, height: `${100 / data.rows}%` });
      paper.canvas.setAttribute("aria-label", `Image of a ${state.label}, ${text} rows read`);
      parts.forEach(part => describe(part, state, data));
      drawAnswer(answer, state);
      drawUnit(unit, state);
      drawParts();
      write(words, sentence(state, data));
      if (isNext && row === data.rows && TASKS[state.task].test(state)) {
        state.task += 1;
        write(lead, `✓ Done. ${TASKS[state.task].text}`);
      }
    }

    const player = kit.makePlayer({
      rate: RATE, last: () => data.rows, show: showRow,
      tell: isPlaying => {
        write(controls.play, calm.matches ? "Next row" : isPlaying ? "Pause" : "Read");
        if (!isPlaying) write(spoken, words.textContent);
      },
    });

    // Run the network anew, and show where it stands at the same row
    function refresh() {
      const held = heldOf(state.ways).map(({ key, ways }) => [key, ways[state.ways[key]]]);
      state.run = held.length ? follow(state.image, data, Object.fromEntries(held)) : state.whole;
      player.go(state.row);
    }

    function hold(key, way) {
      state.ways[key] = way;
      refresh();
    }

    function open(which) {
      Object.assign(state, { image: data.images[which], label: data.labels[which] });
      state.whole = follow(state.image, data, {});
      kit.putGreys(paper.canvas, state.image);
      refresh();
    }

    function choose(which) {
      state.unit = clamp(which, 0, data.hidden - 1);
      showRow(state.row);
    }

    const step = size => () => {
      if (state.unit + size >= 0 && state.unit + size < data.hidden) choose(state.unit + size);
    };

    // Of all fields one is reached by Tab: the last that was used
    const reach = field => parts.forEach(part => part.field.tabIndex = part.field === field ? 0 : -1);
    for (const { field } of parts) {
      field.addEventListener("focus", () => reach(field));
      field.addEventListener("click", ({ clientX, clientY }) => {
        const box = field.getBoundingClientRect(), across = Math.min(data.hidden, ACROSS);
        const x = Math.floor((clientX - box.left) / box.width * across);
        const y = Math.floor((clientY - box.top) / box.height * Math.ceil(data.hidden / ACROSS));
        choose(y * ACROSS + clamp(x, 0, across - 1));
      });
      kit.onKeys(field, {
        ArrowLeft: step(-1), ArrowRight: step(1), ArrowUp: step(-ACROSS), ArrowDown: step(ACROSS),
        Home: () => choose(0), End: () => choose(data.hidden - 1),
      });
    }
    reach(parts[0].field);

    controls.play.addEventListener("click", () =>
      calm.matches ? player.go(state.row % data.rows + 1) : player.toggle());
    controls.slider.addEventListener("input", () => player.go(Number(controls.slider.value)));
    controls.menu.addEventListener("change", () => open(Number(controls.menu.value)));
    unit.number.addEventListener("input", () => {
      if (unit.number.validity.valid && unit.number.value) choose(Number(unit.number.value) - 1);
    });
    calm.addEventListener("change", player.pause);

    open(0);
    const memory = state.run.steps.at(-1).c.map(Math.abs);
    choose(memory.indexOf(memory.slice().sort()[Math.floor(BAND[1] * data.hidden)])); // one that keeps much
    const stage = make("div", { class: "taps-stage" }, ...parts.map(part => part.element), unit.element);
    body.append(lead,
      make("div", { class: "taps-head" }, paper.element, controls.element, words, answer.element),
      stage, spoken, note(HELP));
    kit.keepDrawn(stage, colours => {
      inks = colours;
      drawParts();
    });
  }

  return { name: "taps", start };
});

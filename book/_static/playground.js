// The playground: switches that take directions out of a readout, and what is still read.
// The page carries the data; lib/rnnatomy/report/widgets/playground.py tells how they are laid out.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { list, make, write } = kit;

  const LOST = 18, WON = 6; // most images shown of those lost and those won; of pairs, twice as many
  const IN_CELL = 24; // most images shown of a number in the table of answers

  // ---- What the page carries ----

  function read(facts, bytes) {
    const labels = Uint8Array.from(facts.counts.flatMap((count, label) => Array(count).fill(label)));
    const count = labels.length, modes = facts.networks[0].s.length;
    const all = facts.networks.length * modes * count, levels = kit.wholes(bytes.subarray(0, 2 * all));
    facts.networks.forEach((network, n) => {
      network.planes = network.s.map((_, k) => {
        const start = (n * modes + k) * count;
        return coefficients(network, k, labels, levels.subarray(start, start + count));
      });
      network.table = network.s.map((s, k) => network.U.map(row => s * row[k]));
    });
    const place = new Map((facts.pictures?.sample ?? []).map((sample, index) => [sample, index]));
    return { ...facts, labels, modes, place, words: wordsOf(facts), drawn: [], pixels: bytes.subarray(2 * all) };
  }

  // a = centre + step * level
  function coefficients({ centre, step }, k, labels, levels) {
    return Float64Array.from(labels, (label, i) => centre[label][k] + step[label][k] * levels[i]);
  }

  // ---- Arithmetic ----

  // The answers to all samples with some directions kept; a tie goes to the lower class.
  function answer({ planes, table, bias }, kept) {
    const count = planes[0].length, classes = bias.length;
    const scores = new Float64Array(count * classes), answers = new Uint8Array(count);
    for (let i = 0; i < count; i++) scores.set(bias, i * classes);
    planes.forEach((plane, k) => {
      if (!kept[k]) return;
      const row = Float64Array.from(table[k]);
      for (let i = 0, at = 0; i < count; i++)
        for (let c = 0; c < classes; c++) scores[at++] += plane[i] * row[c];
    });
    for (let i = 0; i < count; i++) {
      const at = i * classes;
      let best = 0;
      for (let c = 1; c < classes; c++) if (scores[at + c] > scores[at + best]) best = c;
      answers[i] = best;
    }
    return answers;
  }

  // A direction among the classes, of length 1 and the same for a seed: Tommy Ettinger's mulberry32
  // (public domain) draws uniform numbers, and the method of Box and Muller makes them normal.
  function randomDirection(seed, classes) {
    let state = seed;
    function draw() {
      state = state + 0x6d2b79f5 | 0;
      let mixed = Math.imul(state ^ state >>> 15, state | 1);
      mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
      return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
    }
    const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    const q = Array.from({ length: classes }, normal), length = Math.hypot(...q);
    return q.map(x => x / length);
  }

  // What each direction adds to the logits, without its part along q: so W h loses q q' W h
  const without = (table, q) => table.map(row => {
    const along = row.reduce((sum, x, c) => sum + x * q[c], 0);
    return row.map((x, c) => x - along * q[c]);
  });

  // How often each class (row) is read as each (column), and which fraction is read rightly.
  function measure(answers, { labels, counts }) {
    const table = counts.map(() => counts.map(() => 0));
    answers.forEach((c, i) => table[labels[i]][c]++);
    const hits = table.map((row, c) => row[c]);
    const accuracy = hits.reduce((a, b) => a + b) / labels.length;
    return { table, recall: hits.map((hit, c) => hit / counts[c]), accuracy };
  }

  // Samples that change sides, as { sample, from, to }: read rightly before (lost) or now (won).
  function compare(before, now, labels) {
    const lost = [], won = [];
    labels.forEach((label, sample) => {
      const from = before[sample], to = now[sample];
      if (from === to || (from !== label && to !== label)) return;
      (from === label ? lost : won).push({ sample, from, to });
    });
    return { lost: byPair(lost), won: byPair(won) };
  }

  // Groups of equal answers before and now, the most frequent first.
  function byPair(changes) {
    const groups = new Map();
    for (const change of changes) {
      const pair = `${change.from} ${change.to}`;
      if (!groups.has(pair)) groups.set(pair, []);
      groups.get(pair).push(change);
    }
    return { count: changes.length, pairs: [...groups.values()].sort((a, b) => b.length - a.length) };
  }

  // A few changes of each pair: more of the frequent ones, and yet some of the rare.
  function choose(pairs, most, place) {
    const offers = pairs.flatMap((group, order) => group.filter(one => place.has(one.sample))
      .map((one, i) => ({ one, order, turn: (i + 1) / Math.sqrt(group.length) })));
    const taken = offers.sort((a, b) => a.turn - b.turn).slice(0, most);
    return taken.sort((a, b) => a.order - b.order).map(({ one }) => one);
  }

  // ---- Words ----

  const number = value => value.toLocaleString("en-US");
  const fraction = value => value.toFixed(3);

  // Of digits and images, unless the page carries names. Marks around a name keep one that runs from
  // right to left from turning the words beside it.
  function wordsOf({ counts, names }) {
    const apart = name => `\u2068${name}\u2069`, digits = [...counts.keys()].map(String);
    return names ? {
      ...names,
      said: names.full.map(name => `class “${apart(name)}”`),
      as: names.full.map(apart),
      arrow: ({ from, to }) => [from, to].map(c => apart(names.short[c])).join(" → "),
    } : {
      full: digits, short: digits, kind: "digit", sample: "image",
      all: `digits 0 to ${counts.length - 1} (from left to right, up or down)`,
      said: digits.map(digit => `the ${digit}`),
      as: digits,
      arrow: ({ from, to }) => `${from}\u00a0→\u00a0${to}`, // not broken across lines
    };
  }

  const samples = (count, { sample }) => `${count ? number(count) : "no"} ${sample}${count > 1 ? "s" : ""}`;

  const isNested = kept => kept.every((on, k) => on || !kept[k + 1]);

  function setting(kept, isRandom) {
    if (isRandom) return "Without a random direction";
    const on = [], off = [];
    kept.forEach((keep, k) => (keep ? on : off).push(k + 1));
    if (!off.length) return `With all ${on.length} directions`;
    if (!on.length) return "With no direction, by its bias alone";
    if (off.length === 1) return `Without direction ${off[0]}`;
    if (on.length === 1) return `With direction ${on[0]} alone`;
    if (isNested(kept)) return `With the first ${on.length} directions`;
    return off.length > on.length ? `With directions ${list(on)} alone` : `Without directions ${list(off)}`;
  }

  function summary(name, { kept, seed }, now, whole, { kind, said }) {
    const start = `${setting(kept, seed)}, ${name} has an accuracy of ${fraction(now.accuracy)}`;
    if (!seed && kept.every(Boolean)) return `${start}.`;
    const losses = now.recall.map((recall, c) => whole.recall[c] - recall);
    const worst = losses.indexOf(Math.max(...losses));
    const [from, to] = [whole, now].map(one => fraction(one.recall[worst]));
    const most = losses[worst] > 0
      ? `${said[worst]} loses most, its recall goes from ${from} to ${to}`
      : `no ${kind} loses`;
    return `${start}, against ${fraction(whole.accuracy)} with the whole readout; ${most}.`;
  }

  // What is said of changes, of which some are shown: as pictures, or else as pairs with their counts.
  function detail({ count, pairs }, isLost, shown, asPictures, { arrow }) {
    const [before, now] = isLost ? ["Right", "wrong"] : ["Wrong", "right"];
    const parts = [`${before} with the whole readout, ${now} now`];
    if (count && asPictures) {
      const frequent = pairs.slice(0, 3).map(pair => `${arrow(pair[0])} (${number(pair.length)})`);
      if (isLost) parts.push(`most often ${list(frequent)}`);
      if (shown === count) parts.push("all are shown");
      else parts.push(`${shown || "none"} of them ${shown > 1 ? "are" : "is"} shown`);
    } else if (shown < pairs.length) parts.push(`the ${shown} most frequent of ${pairs.length} pairs`);
    return `${parts.join("; ")}.`;
  }

  // What is said of the samples of one class that get one answer, of which some are shown
  function told(count, shown, [label, answer], { said, as, sample }) {
    const are = count > 1 ? "are" : "is";
    const start = `${samples(count, { sample })} of ${said[label]} ${are} read as ${as[answer]}`;
    if (shown === count) return `${start}${count > 1 ? "; all are shown" : ""}.`;
    return `${start}; ${shown || "none"} of them ${shown > 1 ? "are" : "is"} shown.`;
  }

  // ---- Tasks ----

  // What a reader may try, where it can be done: each with a test of what is off and what it costs
  function tasksOf({ one, two, few }) {
    const most = losses => Math.max(...losses);
    return [
      one && {
        text: `Switch one direction off, so that a digit’s recall falls by more than ${one}.`,
        test: ({ off, losses }) => off.length === 1 && most(losses) > one,
      },
      two && {
        text: `Switch two off, so that a digit’s recall falls by more than ${two.loss}, ` +
          `though neither alone takes more than ${two.alone}.`,
        test: ({ off, losses, alone }) => off.length === 2 && losses.some((loss, c) =>
          loss > two.loss && off.every(k => alone(k)[c] <= two.alone)),
      },
      few && {
        text: `Keep only ${few.kept} directions, with an accuracy above ${few.accuracy}.`,
        test: ({ off, modes, accuracy }) => modes - off.length <= few.kept && accuracy > few.accuracy,
      },
    ].filter(Boolean);
  }

  // ---- The address ----

  const digitsOf = text => /^\d{1,6}$/.test(text ?? "") ? Number(text) : 0;

  // What the page's address asks for, as in ?cut=2.5&net=1&seed=7; what makes no sense is ignored
  function readAddress({ modes, networks }, state) {
    const asked = new URLSearchParams(location.search), cut = asked.get("cut") ?? "";
    const off = cut.split(".").map(digitsOf), network = digitsOf(asked.get("net"));
    if (cut === "0" || off.every(k => k > 0 && k <= modes))
      state.kept = state.kept.map((_, k) => !off.includes(k + 1));
    if (network > 0 && network <= networks.length) state.network = network - 1;
    const seed = digitsOf(asked.get("seed"));
    if (seed) Object.assign(state, { seed, kept: state.kept.map(() => true) });
  }

  function writeAddress({ kept, network, seed }) {
    const address = new URL(location), off = kept.flatMap((on, k) => on ? [] : [k + 1]);
    address.searchParams.set("cut", off.join(".") || "0");
    address.searchParams.set("net", network + 1);
    if (seed) address.searchParams.set("seed", seed);
    else address.searchParams.delete("seed");
    try {
      history.replaceState(history.state, "", address);
    } catch { /* a page that was opened as a file may keep its address */ }
  }

  // ---- Elements ----

  const unseen = text => make("span", { class: "widget-unseen" }, text);

  function setStyle({ style }, values) {
    for (const [name, value] of Object.entries(values)) style.setProperty(`--${name}`, value);
  }

  // The head of a class, or of "all"
  function makeHead(scope, { full, short }, c) {
    const head = make("th", { scope }, make("span", { dir: "auto" }, short[c] ?? c));
    if (short[c] !== full[c]) head.title = full[c];
    return head;
  }

  function makeSwitch(k) {
    const box = make("input", { type: "checkbox", role: "switch" });
    const picture = make("span", { class: "playground-vector", "aria-hidden": "true" });
    const value = make("span", { class: "playground-value" });
    const name = make("span", { class: "playground-number" }, unseen("Direction "), String(k + 1));
    return { box, picture, value, label: make("label", {}, name, box, picture, value) };
  }

  // Left vectors, as one bar for each class, up or down from zero; all on the same scale.
  function drawVectors({ U, s }, colours) {
    const top = Math.max(...U.flat()), bottom = Math.min(...U.flat());
    const y = u => (top - u) / (top - bottom) * 40, width = 50 / colours.length;
    const bar = (u, c) => {
      const [start, end] = [y(u), y(0)].sort((a, b) => a - b), height = Math.max(end - start, 0.5);
      const place = `x="${(c + 0.1) * width}" y="${start}" width="${0.8 * width}" height="${height}"`;
      return `<rect ${place} fill="${colours[c]}"/>`;
    };
    return s.map((_, k) => {
      const bars = U.map((row, c) => bar(row[k], c)).join("");
      return `<svg viewBox="0 0 50 40">${bars}<path d="M0 ${y(0)}H50"/></svg>`;
    });
  }

  function makeControls(data) {
    const names = data.networks.map(({ name }, value) => make("option", { value }, name));
    const select = make("select", {}, ...names);
    const all = make("button", { type: "button" }, "Keep all");
    const slider = make("input", { type: "range", min: 0, max: data.modes, step: 1 });
    const rank = make("span", { class: "playground-rank", "aria-hidden": "true" });
    const hint = make("span", { class: "playground-quiet" }, "Slide to keep the first ones only.");
    const random = make("button", { type: "button" });
    const switches = Array.from({ length: data.modes }, (_, k) => makeSwitch(k));
    const element = make("fieldset", {},
      make("legend", {}, "Directions kept"),
      make("div", { class: "playground-head" },
        make("label", {}, "Network ", select), make("div", { class: "playground-buttons" }, random, all),
        make("label", { class: "playground-first" }, unseen("First directions kept "), rank, hint, slider)),
      make("div", { class: "playground-switches" }, ...switches.map(one => one.label)),
      make("p", { class: "widget-note" },
        "Below each switch: the direction’s left vector, which is what it adds to the logits of the " +
        `${data.words.all}, and its singular value.`));
    const wide = data.modes > 10 ? 12 : 10;
    setStyle(element, { modes: data.modes, wide, narrow: wide / 2 });
    return { element, select, all, random, slider, rank, switches };
  }

  function makeRecall({ counts, colours, words }) {
    const rows = [...counts.keys(), "all"].map(c => {
      const bar = make("div", { class: "playground-bar", "data-digit": c });
      bar.style.setProperty("--colour", colours[c] || "currentColor");
      const now = make("td"), whole = make("td", { class: "playground-quiet" });
      const row = make("tr", {}, makeHead("row", words, c), make("td", {}, bar), now, whole);
      return { bar, now, whole, row };
    });
    const head = make("tr", {},
      make("th", { scope: "col" }, words.kind), make("td"),
      make("th", { scope: "col" }, "now"), make("th", { scope: "col" }, "whole"));
    const element = make("table", { class: "playground-recall" },
      make("caption", {}, `Recall of each ${words.kind}, and accuracy; the marks show the whole readout`),
      make("thead", {}, head),
      make("tbody", {}, ...rows.slice(0, -1).map(one => one.row)),
      make("tfoot", {}, rows.at(-1).row));
    return { element, rows };
  }

  // The tasks of each network, of which one network's are shown; a task that is solved gets a tick, and
  // is said once
  function makeTasks(lists) {
    const voice = kit.makeVoice(), title = make("p", { class: "playground-title" }, "Can you do it?");
    const element = make("div", { class: "playground-tasks" }, title, voice);
    const found = lists.map(asked => tasksOf(asked).map(({ text, test }) => ({ item: make("li", {}, text), test })));
    const ordered = found.map(tasks => make("ol", {}, ...tasks.map(({ item }) => item)));
    function show(network) {
      element.hidden = !found[network].length;
      title.after(ordered[network]);
      ordered.forEach((list, n) => n === network || list.remove());
    }
    function check(network, facts) {
      found[network].forEach(({ item, test }, i) => {
        if (item.dataset.solved || !test(facts)) return;
        item.dataset.solved = true;
        item.append(" ", make("b", {}, "✓ solved"));
        voice.textContent = `Task ${i + 1} is solved.`;
      });
    }
    return { element, show, check };
  }

  // A table of counts. Each above zero is a button, where there are pictures; Tab leads to one of
  // these, and arrows lead from there to the others.
  function makeConfusion({ counts, words, pictures }, press) {
    const classes = [...counts.keys()];
    const buttons = pictures && classes.map(c => classes.map(answer => {
      const button = make("button", { type: "button" });
      button.addEventListener("click", () => press([c, answer]));
      button.addEventListener("focus", () => stopAt(buttons, button));
      return button;
    }));
    const cells = [...classes, "all"].map(() => classes.map(() => make("td")));
    const { kind, sample } = words, samples = `${sample[0].toUpperCase()}${sample.slice(1)}s`;
    const element = make("table", { class: "playground-confusion" },
      make("caption", {}, `${samples} of each ${kind} (row) by answer (column)`,
        pictures ? "; press a number to see some" : ""),
      make("thead", {}, make("tr", {},
        make("th", { scope: "col" }, unseen(kind)),
        ...classes.map(c => makeHead("col", words, c)))),
      make("tbody", {}, ...classes.map(c => make("tr", {}, makeHead("row", words, c), ...cells[c]))),
      make("tfoot", {}, make("tr", {}, makeHead("row", words, "all"), ...cells.at(-1))));
    if (buttons) kit.onKeys(element, arrowsOf(buttons));
    const text = make("p", { "aria-live": "polite" }), shown = make("ul");
    const panel = make("div", { class: "playground-cell" }, text, shown);
    setStyle(panel, pictures?.note ? { wide: 8, narrow: 4 } : { wide: 12, narrow: 6 });
    return { element, cells, buttons, panel, text, shown };
  }

  // Tab leads to this button of the table alone
  function stopAt(buttons, button) {
    for (const one of buttons.flat()) one.tabIndex = one === button ? 0 : -1;
  }

  // From the button with the focus to the next one in a direction
  function arrowsOf(buttons) {
    const go = (down, right) => () => {
      let c = buttons.findIndex(row => row.includes(document.activeElement));
      let answer = buttons[c]?.indexOf(document.activeElement);
      do {
        c += down;
        answer += right;
      } while (buttons[c]?.[answer] && !buttons[c][answer].isConnected);
      buttons[c]?.[answer]?.focus();
    };
    return { ArrowUp: go(-1, 0), ArrowDown: go(1, 0), ArrowLeft: go(0, -1), ArrowRight: go(0, 1) };
  }

  function makeChanges(fate, wide, narrow) {
    const title = make("p", { class: "playground-title" }), text = make("p"), shown = make("ul");
    const element = make("div", { class: `playground-${fate}` }, title, text, shown);
    setStyle(element, { wide, narrow });
    return { element, fate, title, text, shown };
  }

  const drawPair = (pair, { arrow }) => make("li", {}, `${arrow(pair[0])}: `, make("b", {}, number(pair.length)));

  // A sample of the page's stock; drawn at its first use, and kept.
  function drawSample(change, data) {
    const { drawn, pictures, words } = data, { from, to } = change, index = data.place.get(change.sample);
    const picture = drawn[index] ??= draw(index, data);
    const read = `read as ${words.full[from]}, now as ${words.full[to]}`;
    picture.setAttribute("aria-label", `Test ${words.sample} ${pictures.number[index]}: ${read}`);
    const item = make("li", {}, picture, make("span", { "aria-hidden": "true" }, words.arrow(change)));
    if (data.names) item.title = read;
    return item;
  }

  function draw(index, data) {
    const { pictures, words } = data, picture = pictures.shape ? drawImage(index, data) : drawSeries(index, data);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `Test ${words.sample} ${pictures.number[index]}`);
    return picture;
  }

  function drawImage(index, { pictures, pixels }) {
    const [height, width] = pictures.shape, start = index * height * width;
    const greys = pixels.subarray(start, start + height * width), canvas = make("canvas", { width, height });
    kit.putGreys(canvas, Float64Array.from(greys, grey => grey / pictures.white));
    return canvas;
  }

  // Lines in a box, one for each feature
  function drawSeries(index, { pictures: { frames, features, top }, pixels }) {
    const before = frames.slice(0, index).reduce((a, b) => a + b, 0) * features, count = frames[index];
    const lines = Array.from({ length: features }, (_, f) => {
      const start = before + f * count, heights = [...pixels.subarray(start, start + count)];
      const [x, y] = [i => i / (count - 1) * 90, height => 56 - height / top * 52];
      const points = heights.map((height, i) => `${x(i).toFixed(1)} ${y(height).toFixed(1)}`);
      return `<path d="M${points.join("L")}" opacity="${1 - f / 8}"/>`;
    });
    const holder = make("div");
    holder.innerHTML = `<svg class="playground-lines" viewBox="-3 0 96 60">${lines.reverse().join("")}</svg>`;
    return holder.firstChild;
  }

  // ---- Showing ----

  function showNetwork({ switches }, network, { colours, words: { said } }) {
    const drawings = drawVectors(network, colours);
    switches.forEach(({ box, picture, value }, k) => {
      const vector = network.U.map(row => row[k]);
      const [high, low] = [Math.max, Math.min].map(pick => vector.indexOf(pick(...vector)));
      box.setAttribute("aria-description", `left vector highest for ${said[high]}, lowest for ${said[low]}`);
      picture.innerHTML = drawings[k];
      value.replaceChildren(unseen("singular value "), network.s[k].toFixed(2));
    });
  }

  function showKept({ slider, rank, random, switches }, { kept, seed }) {
    const count = kept.filter(Boolean).length, nested = isNested(kept);
    switches.forEach(({ box }, k) => {
      box.checked = kept[k];
    });
    slider.value = count;
    rank.textContent = `${count} of ${kept.length} kept`;
    random.textContent = seed ? "Cut another random direction" : "Cut a random direction instead";
    slider.setAttribute("aria-valuetext", nested ? count : `${count}, but not the first ${count}`);
    slider.classList.toggle("playground-off", !nested);
  }

  function showRecall({ rows }, now, whole) {
    const values = m => [...m.recall, m.accuracy];
    rows.forEach((row, c) => {
      const [is, was] = [values(now)[c], values(whole)[c]];
      row.bar.dataset.recall = is.toFixed(5);
      row.bar.style.setProperty("--now", is);
      row.bar.style.setProperty("--whole", was);
      write(row.now, fraction(is));
      write(row.whole, fraction(was));
    });
  }

  function showConfusion({ cells, buttons }, { table }, { counts, words: { said, as } }) {
    table.forEach((row, c) => row.forEach((count, answer) => {
      const cell = cells[c][answer], button = buttons?.[c][answer];
      if (button && count) {
        write(button, count);
        button.setAttribute("aria-label", `${count}: ${said[c]} read as ${as[answer]}`);
        if (!button.isConnected) cell.replaceChildren(button);
      } else write(cell, count);
      cell.className = `playground-${!count ? "quiet" : c === answer ? "right" : "wrong"}`;
      cell.style.setProperty("--share", Math.sqrt(count / counts[c]).toFixed(3));
    }));
    counts.forEach((_, answer) => {
      write(cells.at(-1)[answer], table.reduce((sum, row) => sum + row[answer], 0));
    });
    const there = buttons?.flat().filter(button => button.isConnected);
    if (there && !there.some(button => button.tabIndex === 0)) stopAt(buttons, there[0]);
  }

  // Samples of the number that is pressed, if there is one
  function showCell({ buttons, panel, text, shown }, open, answers, data) {
    const { labels, place, words } = data, found = [];
    buttons?.forEach((row, c) => row.forEach((button, answer) => {
      button.setAttribute("aria-pressed", open?.[0] === c && open[1] === answer);
    }));
    if (open) answers.forEach((answer, i) => {
      if (labels[i] === open[0] && answer === open[1]) found.push(i);
    });
    const drawn = found.filter(i => place.has(i)).slice(0, IN_CELL);
    panel.classList.toggle("playground-closed", !open);
    write(text, open ? told(found.length, drawn.length, open, words) : "");
    shown.replaceChildren(...drawn.map(i => make("li", {}, draw(place.get(i), data))));
  }

  function showChanges({ fate, title, text, shown }, changes, data) {
    const isLost = fate === "lost", asPictures = !!data.pictures, { words } = data;
    const most = (isLost ? LOST : WON) * (asPictures ? 1 : 2);
    const items = asPictures
      ? choose(changes.pairs, most, data.place).map(one => drawSample(one, data))
      : changes.pairs.slice(0, most).map(pair => drawPair(pair, words));
    title.textContent = `${isLost ? "Lost" : "Won"}: ${samples(changes.count, words)}`;
    text.textContent = detail(changes, isLost, items.length, asPictures, words);
    shown.replaceChildren(...items);
    shown.classList.toggle("playground-pairs", !asPictures);
  }

  // ---- Starting ----

  function start({ body, facts, bytes }) {
    const data = read(facts, bytes), all = Array(data.modes).fill(true);
    const controls = makeControls(data), recall = makeRecall(data), confusion = makeConfusion(data, press);
    const note = data.pictures?.note, tasks = makeTasks(data.tasks ?? data.networks.map(() => ({})));
    const lost = makeChanges("lost", note ? 6 : 9, note ? 3 : 6);
    const won = makeChanges("won", note ? 2 : 3, note ? 3 : 6);
    const words = make("p", { class: "playground-summary", "aria-live": "polite" });
    // The seed is that of the random direction that is cut, or 0; open is a number that is pressed
    const state = { network: 0, kept: all.map((_, k) => k + 1 !== data.cut), seed: 0, open: null };

    // Answers of the network, and what they come to
    function ask(kept, seed = 0) {
      const network = data.networks[state.network], { table } = network;
      const q = seed && randomDirection(seed, table[0].length);
      const answers = answer(q ? { ...network, table: without(table, q) } : network, kept);
      return { answers, ...measure(answers, data) };
    }

    function show() {
      const network = data.networks[state.network], whole = network.whole ??= ask(all);
      const now = ask(state.kept, state.seed), changes = compare(whole.answers, now.answers, data.labels);
      if (state.open && !now.table[state.open[0]][state.open[1]]) state.open = null;
      controls.select.value = state.network;
      tasks.show(state.network);
      showKept(controls, state);
      showRecall(recall, now, whole);
      showConfusion(confusion, now, data);
      showCell(confusion, state.open, now.answers, data);
      showChanges(lost, changes.lost, data);
      showChanges(won, changes.won, data);
      words.textContent = summary(network.name, state, now, whole, data.words);
      return { now, whole };
    }

    // What the reader does: the tasks and the address follow
    function act(change) {
      Object.assign(state, change);
      const { now, whole } = show(), off = [...all.keys()].filter(k => !state.kept[k]);
      const loss = ({ recall }) => recall.map((after, c) => whole.recall[c] - after);
      const alone = k => loss(ask(all.map((_, other) => other !== k)));
      const facts = { off, alone, losses: loss(now), modes: data.modes, accuracy: now.accuracy };
      if (!state.seed) tasks.check(state.network, facts);
      writeAddress(state);
    }

    const keep = which => act({ kept: all.map((_, k) => which(k)), seed: 0 });

    function change(network) {
      showNetwork(controls, data.networks[network], data);
      act({ network });
    }

    function press(cell) {
      state.open = String(cell) === String(state.open) ? null : cell;
      show();
    }

    controls.select.addEventListener("change", () => change(Number(controls.select.value)));
    controls.all.addEventListener("click", () => keep(() => true));
    controls.random.addEventListener("click", () =>
      act({ kept: all, seed: 1 + Math.floor(999999 * Math.random()) }));
    controls.slider.addEventListener("input", () => keep(k => k < Number(controls.slider.value)));
    for (const { box } of controls.switches)
      box.addEventListener("change", () => keep(k => controls.switches[k].box.checked));

    readAddress(data, state);
    showNetwork(controls, data.networks[state.network], data);
    show();
    body.append(
      tasks.element, controls.element, words,
      make("div", { class: "playground-results" }, recall.element, confusion.element), confusion.panel,
      make("div", { class: "playground-changes" }, lost.element, won.element));
    if (note) body.append(make("p", { class: "widget-note" }, note));
    if (data.names) {
      body.classList.add(...data.names.looks);
      setStyle(body, { width: data.names.width });
    }
  }

  return { name: "playground", start };
});

// What the widgets of the book share. Each has a script of its own, which names the class of its
// elements, and gives a function that fills the empty body of one:
//
//   (window.rnnatomyWidgets ??= []).push(kit => ({ name, start }));
//   start({ body, facts, bytes, note });
//
// Scripts may come in any order: what was pushed before this one waits in a list, and what comes
// later starts at once. lib/rnnatomy/report/widgets/widget.py writes what the page carries.
(() => {
  "use strict";

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // ---- What the page carries ----

  // The data stand in the page, or in a script beside it
  function carried({ dataset: { source }, textContent }) {
    if (!source) return textContent;
    const script = make("script", { src: source });
    return new Promise((resolve, reject) => {
      script.addEventListener("load", () => resolve(script.carried));
      script.addEventListener("error", reject);
      document.head.append(script);
    }).finally(() => script.remove());
  }

  async function read(root) {
    const facts = JSON.parse(root.querySelector(".widget-facts").textContent);
    const text = atob(await carried(root.querySelector(".widget-data")));
    const packed = Uint8Array.from(text, letter => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return { facts, bytes: new Uint8Array(await new Response(stream).arrayBuffer()) };
  }

  // The bytes of numbers: the lowest byte of all of them comes first, the highest last
  function gather(bytes, size) {
    const gathered = new Uint8Array(bytes.length), count = bytes.length / size;
    bytes.forEach((byte, at) => {
      gathered[at % count * size + Math.floor(at / count)] = byte;
    });
    return gathered.buffer;
  }

  const floats = bytes => new Float32Array(gather(bytes, 4));

  // A whole number x comes folded: 2 x, or -2 x - 1 where it is negative
  const wholes = bytes => Int16Array.from(new Uint16Array(gather(bytes, 2)), x => x >> 1 ^ -(x & 1));

  // Arrays, each of which has a step of its own
  function readSteps({ sizes, steps }, bytes) {
    const levels = wholes(bytes);
    let start = 0;
    return sizes.map((size, i) =>
      Float64Array.from(levels.subarray(start, start += size), level => level * steps[i]));
  }

  function readReader(facts, bytes) {
    const [inputKernel, kernel, bias, readKernel, readBias] = readSteps(facts, bytes);
    return { inputKernel, kernel, bias, readKernel, readBias };
  }

  // ---- Networks ----

  const sigmoid = x => 1 / (1 + Math.exp(-x));

  function softmax(scores) {
    const top = Math.max(...scores), shares = scores.map(score => Math.exp(score - top));
    const sum = shares.reduce((a, b) => a + b);
    return shares.map(share => share / sum);
  }

  // bias + input kernel; kernels are row by row, one row for each input
  function affine(input, kernel, bias) {
    const sums = Float64Array.from(bias), columns = sums.length;
    input.forEach((value, row) => {
      for (let c = 0, at = row * columns; c < columns; c++, at++) sums[c] += value * kernel[at];
    });
    return sums;
  }

  // The gates of an LSTM from their sums, which come one after the other: in, forget, cell and out
  function gatesOf(sums) {
    const hidden = sums.length / 4;
    const part = (at, opened) => sums.slice(at * hidden, (at + 1) * hidden).map(opened);
    return { i: part(0, sigmoid), f: part(1, sigmoid), g: part(2, Math.tanh), o: part(3, sigmoid) };
  }

  // One step of an LSTM
  function advance({ i, f, g, o }, state, cell) {
    for (let k = 0; k < cell.length; k++) {
      cell[k] = f[k] * cell[k] + i[k] * g[k];
      state[k] = o[k] * Math.tanh(cell[k]);
    }
  }

  // One step of a GRU from its two sums, of what it reads and of its state: reset, update and new
  function advanceGru(read, kept, state) {
    const hidden = state.length;
    for (let k = 0, z = hidden, n = 2 * hidden; k < hidden; k++, z++, n++) {
      const stays = sigmoid(read[z] + kept[z]), fresh = Math.tanh(read[n] + sigmoid(read[k] + kept[k]) * kept[n]);
      state[k] = (1 - stays) * fresh + stays * state[k];
    }
  }

  // ---- Words and elements ----

  const minus = text => text.replace(/^-/, "−");

  function list(parts) {
    const words = parts.map(String);
    return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function write(element, text) {
    if (element.textContent !== String(text)) element.textContent = text;
  }

  // What a screen reader says when it changes
  const makeVoice = () => make("p", { class: "widget-unseen", "aria-live": "polite" });

  // ---- Drawing ----

  // The page's colours, as #rrggbb, and its font
  function inksOf(element) {
    const style = getComputedStyle(element), context = make("canvas").getContext("2d");
    const entries = ["ink", "quiet", "line", "ground", "accent", "signal"].map(name => {
      context.fillStyle = style.getPropertyValue(`--${name}`).trim();
      return [name, context.fillStyle];
    });
    return { ...Object.fromEntries(entries), font: style.fontFamily };
  }

  // Calls draw(inks) now, and again when the element, the screen's pixels or the theme change;
  // returns a function that does so too
  function keepDrawn(element, draw) {
    let inks = inksOf(element);
    const redraw = () => draw(inks);
    redraw();
    new ResizeObserver(redraw).observe(element);
    addEventListener("resize", redraw); // also when the page is zoomed, which changes the pixels
    new MutationObserver(() => {
      inks = inksOf(element);
      redraw();
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return redraw;
  }

  // The canvas, cleared and as fine as the screen, with a unit of one CSS pixel
  function openCanvas(canvas) {
    const context = canvas.getContext("2d"), fine = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(width * fine);
    canvas.height = Math.round(height * fine);
    context.setTransform(fine, 0, 0, fine, 0, 0);
    return { context, width, height };
  }

  // One pixel for each share of white, row by row; what they do not reach is left clear
  function putGreys(canvas, shares) {
    const picture = new ImageData(canvas.width, canvas.height);
    const whole = new Uint32Array(picture.data.buffer);
    shares.forEach((share, i) => {
      whole[i] = 0xff000000 | 0x10101 * Math.round(255 * share);
    });
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  // ---- Use ----

  // The first pointer pressed on an element, until it is released. A finger that turns out to scroll
  // the page cancels its drag, and what was done is undone.
  function onDrag(element, { begin, move, undo, end = () => {} }) {
    let last = null;
    element.addEventListener("pointerdown", event => {
      if (event.button || last) return;
      last = event;
      element.setPointerCapture(event.pointerId);
      begin(event);
    });
    element.addEventListener("pointermove", event => {
      if (last?.pointerId !== event.pointerId) return;
      move(event, last);
      last = event;
    });
    for (const name of ["pointerup", "pointercancel"])
      element.addEventListener(name, event => {
        if (last?.pointerId !== event.pointerId) return;
        last = null;
        if (name === "pointercancel") undo();
        end();
      });
  }

  function onKeys(element, actions) {
    element.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
      event.preventDefault();
      actions[event.key](event);
    });
  }

  // Calls step with the seconds since the last call, until it returns false
  function run(step) {
    let last = performance.now(), request = requestAnimationFrame(tick);
    function tick(now) {
      const passed = clamp(now - last, 0, 250);
      last = now;
      if (step(passed / 1000)) request = requestAnimationFrame(tick);
    }
    return () => cancelAnimationFrame(request);
  }

  // Plays frames from 0 to last(), so many a second, and again while loops(): show(frame) draws one,
  // and tell(isPlaying) says that it starts, or where it stands still
  function makePlayer({ rate, last, show, tell, loops = () => false }) {
    let frame = 0, position = 0, stop = null;

    function pause() {
      stop?.();
      stop = null;
      tell(false);
    }

    function go(to) {
      position = frame = to;
      show(frame);
      pause();
    }

    // Back to the start, and on from there if it plays
    function restart() {
      position = frame = 0;
      show(frame);
      tell(stop !== null);
    }

    function step(seconds) {
      const next = position + seconds * rate, end = last();
      position = loops() ? next % (end + 1) : Math.min(next, end);
      if (Math.floor(position) !== frame) {
        frame = Math.floor(position);
        show(frame);
      }
      if (frame === end && !loops()) pause();
      return stop !== null;
    }

    function play() {
      if (frame === last()) go(0);
      position = frame;
      stop = run(step);
      tell(true);
    }

    return { go, pause, restart, toggle: () => stop ? pause() : play() };
  }

  // ---- Starting ----

  const kit = {
    clamp, floats, wholes, readSteps, readReader, sigmoid, softmax, affine, gatesOf, advance, advanceGru, minus, list,
    make, write, makeVoice, keepDrawn, openCanvas, putGreys, onDrag, onKeys, makePlayer,
  };

  const NEAR = "1000px 0px"; // from the screen, from where what a widget carries is loaded

  function whenNear(root, act) {
    const watch = new IntersectionObserver(seen => {
      if (!seen.some(({ isIntersecting }) => isIntersecting)) return; // several may come at once
      watch.disconnect();
      act();
    }, { rootMargin: NEAR });
    watch.observe(root);
  }

  async function begin(root, start) {
    root.dataset.state = "starting";
    const body = make("div", { class: "widget-body" }), still = root.querySelector(".widget-without a");
    const note = text =>
      make("p", { class: "widget-note" }, `${text} `, "The same without motion: ", still.cloneNode(true), ".");
    const { facts, bytes } = await read(root);
    root.querySelectorAll("script").forEach(script => script.remove());
    root.append(body);
    start({ body, facts, bytes, note });
    root.dataset.state = "ready";
  }

  function install(widget) {
    const { name, start } = widget(kit);
    function beginAll() {
      if (!("DecompressionStream" in window)) return; // the sentence that stands there says enough
      for (const root of document.querySelectorAll(`.widget.${name}:not([data-state])`))
        root.querySelector("[data-source]") ? whenNear(root, () => begin(root, start)) : begin(root, start);
    }
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", beginAll);
    else beginAll();
  }

  const waiting = window.rnnatomyWidgets ?? [];
  window.rnnatomyWidgets = { push: install };
  waiting.forEach(install);
})();

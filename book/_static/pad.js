// The pad: a point of a latent plane, to be dragged, and the digit that a decoder draws from it.
// The page carries the data; lib/rnnatomy/report/widgets/pad.py tells how they are laid out.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { clamp, minus, make, write, affine, gatesOf, advance, sigmoid } = kit;

  const RATE = 14; // rows a second
  const COARSE = 10, FINE = 1; // steps of the last digit shown, for one press of an arrow key
  const DOT = 1.7; // radius of a point, in pixels
  const FAINT = 0.6; // strength of the points
  const APART = 19, PUSHES = 40; // pixels between two numerals, and times they are pushed apart
  const LEFT = 26, BELOW = 22; // pixels at the edges that are kept for the numbers of the axes

  // ---- What the page carries ----

  function read(facts, bytes) {
    const all = facts.sizes.reduce((a, b) => a + b);
    const numbers = Float64Array.from(kit.floats(bytes.subarray(0, 4 * all)));
    let start = 0;
    const arrays = facts.sizes.map(size => numbers.subarray(start, start += size));
    const [startKernel, startBias, inputKernel, kernel, bias, readKernel, readBias, points] = arrays;
    const decoder = { startKernel, startBias, inputKernel, kernel, bias, readKernel, readBias };
    let at = 4 * all;
    const next = count => bytes.subarray(at, at += count), labels = next(points.length / 2);
    const images = facts.images && { ...facts.images, greys: next(count(facts.images)) };
    const reader = facts.reader && kit.readReader(facts.reader, bytes.subarray(at));
    return { ...facts, decoder, points, labels, images, reader };
  }

  const count = ({ shape: [height, width], sample }) => height * width * sample.length;

  // ---- The networks ----

  // The brightness of all pixels, row by row. The decoder starts from a state made of the place, is
  // fed the place at every row, and never what it has drawn.
  function draw(place, { decoder: d, rows, columns, hidden }) {
    const begun = affine(place, d.startKernel, d.startBias), pixels = new Float64Array(rows * columns);
    const fed = affine(place, d.inputKernel, d.bias), cell = begun.slice(0, hidden);
    const state = begun.slice(hidden).map(Math.tanh);
    for (let row = 0; row < rows; row++) {
      advance(gatesOf(affine(state, d.kernel, fed)), state, cell);
      pixels.set(affine(state, d.readKernel, d.readBias).map(sigmoid), row * columns);
    }
    return pixels;
  }

  // The probability of each digit, from a classifier that reads all rows of a drawing
  function judge(pixels, { reader: r, columns }) {
    const state = new Float64Array(r.bias.length / 4), cell = state.slice();
    for (let at = 0; at < pixels.length; at += columns) {
      const fed = affine(pixels.subarray(at, at + columns), r.inputKernel, r.bias);
      advance(gatesOf(affine(state, r.kernel, fed)), state, cell);
    }
    return kit.softmax(affine(state, r.readKernel, r.readBias));
  }

  // ---- The plane ----

  // Digits after the point of a coordinate: the width has three figures, and so every place that the
  // pad takes is told in full
  const digitsOf = ({ width }) => clamp(2 - Math.floor(Math.log10(width)), 0, 20);

  const snap = (value, digits) => Number(value.toFixed(digits)) + 0;

  // Of some samples, that whose point is nearest: which of them, its number, and how far it is
  function nearest([x, y], { points }, samples) {
    let found = { away: Infinity };
    samples.forEach((sample, which) => {
      const away = Math.hypot(points[2 * sample] - x, points[2 * sample + 1] - y);
      if (away < found.away) found = { which, sample, away };
    });
    return found;
  }

  // Places pushed from one another, a little at a time, until numerals there do not touch
  function spread(places) {
    for (let push = 0; push < PUSHES; push++)
      places.forEach((one, i) => places.slice(i + 1).forEach(other => {
        const [x, y] = [one[0] - other[0], one[1] - other[1]], long = Math.hypot(x, y);
        if (long >= APART) return;
        const move = (APART - long) / 4, way = long ? [x / long, y / long] : [1, 0];
        way.forEach((part, axis) => {
          one[axis] += move * part;
          other[axis] -= move * part;
        });
      }));
    return places;
  }

  // Round numbers within the plane, about six of them
  function ticks(low, width) {
    const raw = width / 6, power = 10 ** Math.floor(Math.log10(raw));
    const gap = power * [1, 2, 5, 10].find(share => share * power >= raw);
    const marks = [];
    for (let k = Math.ceil(low / gap); k * gap <= low + width; k++) marks.push(Number((k * gap).toPrecision(6)));
    return marks;
  }

  // ---- Words ----

  // What the plane shows: where the digits lie
  const describe = ({ labels, numerals }, digits) => `${labels.length} points of ${numerals.length} digits. ` +
    `The numeral of each: ${numerals.map(([digit, ...place]) => `${digit} at ${told(place, digits)}`).join("; ")}.`;

  const told = (place, digits) => [...place].map(value => minus(value.toFixed(digits))).join(", ");

  const HELP = "Drag the ring, or press anywhere on the plane; with the keyboard, arrow keys move it, with " +
    "Shift in finer steps, Home goes to the origin, and space draws the digit.";

  // ---- Elements ----

  function makePlane(data, digits) {
    const canvas = make("canvas", { class: "pad-plane", role: "img", "aria-label": describe(data, digits) });
    const handle = make("span", { class: "widget-handle pad-handle" });
    const element = make("div", {
      class: "widget-plane pad-scene", tabindex: 0, role: "application", "aria-label": "Latent plane",
    }, canvas, handle);
    return { element, canvas, handle };
  }

  function makeDigit({ rows, columns }) {
    const canvas = make("canvas", { class: "pad-digit", width: columns, height: rows, role: "img" });
    const pen = make("span", { class: "pad-pen" });
    const strip = make("div", { class: "pad-strip", "aria-hidden": "true" },
      ...Array.from({ length: rows }, () => make("span")));
    return { canvas, pen, strip, element: make("div", { class: "pad-paper" }, canvas, pen) };
  }

  function makeControls({ rows }) {
    const play = make("button", { type: "button", class: "widget-play" }, "Draw");
    const slider = make("input", { class: "widget-slider", type: "range", min: 0, max: rows, step: 1, value: rows });
    const row = make("span", { class: "pad-row", "aria-hidden": "true" });
    const element = make("div", { class: "pad-player" }, play,
      make("label", {}, make("span", {}, "Row ", row), slider));
    return { play, slider, row, element };
  }

  function makeReadout() {
    const place = make("b", { class: "pad-place" }), label = make("b", { class: "pad-label" });
    const spot = make("span", { class: "pad-spot", "aria-hidden": "true" });
    const element = make("p", { class: "pad-readout" },
      make("span", {}, "ζ = (", place, ")"), make("span", {}, "nearest point: digit ", label, spot));
    return { place, label, spot, element };
  }

  // The nearest real image: a picture, words, and a mark on the plane
  function makeReal({ images: { shape: [height, width], sample }, labels }) {
    const canvas = make("canvas", { class: "pad-image", width, height, role: "img" });
    const label = make("b", { class: "pad-real-label" }), away = make("b", { class: "pad-away" });
    const part = `of the ${sample.length} real images that the page carries`;
    const which = sample.length < labels.length ? part : "real image";
    const element = make("div", { class: "pad-real" }, canvas,
      make("p", {}, `Nearest ${which}: digit `, label, ", ", away, " away"));
    return { canvas, label, away, element, mark: make("span", { class: "pad-mark", "aria-hidden": "true" }) };
  }

  // What a classifier says of the drawing: in words, and as a bar for each digit
  function makeReading({ colours }) {
    const answer = make("b", { class: "pad-answer" });
    const bars = colours.map((_, digit) => make("span", {}, make("i"), digit));
    const element = make("div", { class: "pad-reading" }, make("p", {}, "A classifier reads: ", answer),
      make("div", { class: "pad-bars", "aria-hidden": "true" }, ...bars));
    return { answer, bars, element };
  }

  // ---- Drawing ----

  // Lines at round numbers, the one through the origin stronger, with their numbers at the edge
  function drawGrid(context, data, project, { quiet, line, ground, font }, size) {
    context.font = `12px ${font}`;
    for (const axis of [0, 1])
      for (const mark of ticks(data.low[axis], data.width)) {
        const at = project([mark, mark])[axis], ends = axis ? [[LEFT, at], [size, at]] : [[at, 0], [at, size - BELOW]];
        context.strokeStyle = mark ? line : quiet;
        context.lineWidth = 1;
        context.beginPath();
        ends.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
        context.stroke();
      }
    return () => {
      const put = (text, x, y, align) => {
        context.textAlign = align;
        context.textBaseline = "middle";
        context.strokeText(text, x, y);
        context.fillText(text, x, y);
      };
      context.strokeStyle = ground;
      context.fillStyle = quiet;
      context.lineWidth = 4;
      context.lineJoin = "round";
      for (const axis of [0, 1])
        for (const mark of ticks(data.low[axis], data.width)) {
          const at = project([mark, mark])[axis], text = minus(String(mark));
          if (axis && at > 32 && at < size - BELOW) put(text, 6, at, "left");
          if (!axis && at > LEFT && at < size - 34) put(text, at, size - 11, "center");
        }
      context.font = `600 13px ${font}`;
      put("ζ₁", size - 14, size - 12, "center");
      put("ζ₂", 14, 14, "center");
    };
  }

  function drawPlane(canvas, data, inks) {
    const { context, width: size } = kit.openCanvas(canvas), scale = size / data.width;
    const project = ([x, y]) => [(x - data.low[0]) * scale, size - (y - data.low[1]) * scale];
    const drawNumbers = drawGrid(context, data, project, inks, size);
    context.globalAlpha = FAINT;
    data.labels.forEach((label, i) => {
      context.fillStyle = data.colours[label];
      context.beginPath();
      context.arc(...project(data.points.subarray(2 * i)), DOT, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
    drawNumbers();
    context.font = `700 17px ${inks.font}`;
    context.fillStyle = inks.ink;
    context.textAlign = "center";
    spread(data.numerals.map(([, ...place]) => project(place))).forEach((place, i) => {
      context.strokeText(data.numerals[i][0], ...place);
      context.fillText(data.numerals[i][0], ...place);
    });
  }

  // Rows that are not drawn yet are left clear
  function drawDigit({ canvas, pen, strip }, pixels, { rows, columns }, row) {
    kit.putGreys(canvas, pixels.subarray(0, row * columns));
    pen.style.top = `${100 * row / rows}%`;
    pen.hidden = row === rows;
    [...strip.children].forEach((mark, k) => mark.classList.toggle("pad-done", k < row));
  }

  function drawReal({ canvas, label, away, mark }, { which, sample, away: far }, data, digits) {
    const { images: { greys, white }, points, labels, low, width } = data, size = canvas.width * canvas.height;
    const own = greys.subarray(which * size, (which + 1) * size);
    kit.putGreys(canvas, Float64Array.from(own, grey => grey / white));
    write(label, labels[sample]);
    write(away, far.toFixed(digits));
    const [x, y] = [0, 1].map(axis => 100 * (points[2 * sample + axis] - low[axis]) / width);
    Object.assign(mark.style, { left: `${x}%`, top: `${100 - y}%` });
  }

  function drawReading({ answer, bars }, shares) {
    const best = shares.indexOf(Math.max(...shares));
    write(answer, `${best} (${shares[best].toFixed(2)})`);
    bars.forEach((bar, digit) => {
      bar.classList.toggle("pad-best", digit === best);
      bar.firstChild.style.height = `${1.5 * shares[digit]}rem`;
    });
  }

  // ---- Use ----

  function start({ body, facts, bytes, note }) {
    const data = read(facts, bytes), digits = digitsOf(data);
    const plane = makePlane(data, digits), digit = makeDigit(data);
    const controls = makeControls(data), readout = makeReadout();
    const real = data.images && makeReal(data), reading = data.reader && makeReading(data);
    const words = kit.makeVoice(), calm = matchMedia("(prefers-reduced-motion: reduce)");
    const state = { place: [0, 0], row: data.rows, pixels: null, label: 0, image: null };
    const every = [...data.labels.keys()];
    let before = state.place;

    function showRow(row) {
      const text = `${row} of ${data.rows}`;
      state.row = row;
      controls.slider.value = row;
      controls.slider.setAttribute("aria-valuetext", text);
      write(controls.row, text);
      drawDigit(digit, state.pixels, data, row);
    }

    // The picture in words: how far it is drawn, and how much of that is white
    function describeDigit() {
      const drawn = state.pixels.subarray(0, state.row * data.columns);
      const white = drawn.reduce((sum, value) => sum + value, 0) / (drawn.length || 1);
      return `Digit drawn from ${told(state.place, digits)}: ${state.row} of ${data.rows} rows, ` +
        `${Math.round(100 * white)}% of them white, nearest point a ${state.label}`;
    }

    function tell() {
      const place = told(state.place, digits);
      write(words, `Point ${place}, nearest point: digit ${state.label}; row ${state.row} of ${data.rows}.` +
        [reading, real].map(part => part ? ` ${part.element.querySelector("p").textContent}.` : "").join(""));
      plane.element.setAttribute("aria-description", `The ring is at ${place}. ${HELP}`);
      digit.canvas.setAttribute("aria-label", describeDigit());
      real?.canvas.setAttribute("aria-label", `Real image of a ${real.label.textContent}, ` +
        `whose point is at ${told(data.points.subarray(2 * state.image.sample, 2 * state.image.sample + 2), digits)}`);
    }

    const player = kit.makePlayer({
      rate: RATE, last: () => data.rows, show: showRow,
      tell: isPlaying => {
        write(controls.play, calm.matches ? "Next row" : isPlaying ? "Pause" : "Draw");
        if (!isPlaying) tell();
      },
    });

    const toggle = () => calm.matches ? player.go(state.row % data.rows + 1) : player.toggle();

    function put(place) {
      const { low, width } = data, unit = 10 ** -digits;
      state.place = place.map((value, i) => {
        const [least, most] = [Math.ceil(low[i] / unit), Math.floor((low[i] + width) / unit)];
        return snap(clamp(Math.round(value / unit), least, most) * unit, digits);
      });
      state.pixels = draw(state.place, data);
      state.label = data.labels[nearest(state.place, data, every).sample];
      if (real) {
        state.image = nearest(state.place, data, data.images.sample);
        drawReal(real, state.image, data, digits);
      }
      if (reading) drawReading(reading, judge(state.pixels, data));
      const [x, y] = state.place.map((value, i) => 100 * (value - low[i]) / width);
      Object.assign(plane.handle.style, { left: `${x}%`, top: `${100 - y}%` });
      write(readout.place, told(state.place, digits));
      write(readout.label, state.label);
      readout.spot.style.background = data.colours[state.label];
      showRow(state.row);
    }

    function putTold(place) {
      put(place);
      tell();
    }

    const press = (across, up) => event => {
      const size = (event.shiftKey ? FINE : COARSE) * 10 ** -digits;
      putTold([state.place[0] + across * size, state.place[1] + up * size]);
    };

    // The ring goes where the pointer is
    function follow({ clientX, clientY }) {
      const box = plane.canvas.getBoundingClientRect(), { low, width } = data;
      put([low[0] + (clientX - box.left) / box.width * width, low[1] + (box.bottom - clientY) / box.height * width]);
    }

    kit.onDrag(plane.element, {
      begin: event => {
        before = state.place;
        follow(event);
      },
      move: follow, undo: () => put(before), end: tell,
    });
    kit.onKeys(plane.element, {
      ArrowLeft: press(-1, 0), ArrowRight: press(1, 0), ArrowUp: press(0, 1), ArrowDown: press(0, -1),
      Home: () => putTold([0, 0]), " ": toggle,
    });
    controls.play.addEventListener("click", toggle);
    controls.slider.addEventListener("input", () => player.go(Number(controls.slider.value)));
    calm.addEventListener("change", player.pause);

    put(state.place);
    player.go(data.rows);
    if (real) plane.handle.before(real.mark);
    const help = [
      "Each point is where the encoder puts an image, in the colour of its digit; a numeral stands where the " +
        "points around are most of all of that digit.",
      real ? "A small square marks the nearest real image." : "",
      reading ? "The classifier reads the whole drawing, row by row, and takes all for digits." : "",
      HELP,
    ].filter(text => text).join(" ");
    body.append(
      make("p", { class: "pad-lead" }, "Press on a numeral: the decoder draws that digit, as well as it can."),
      make("div", { class: "pad-stage" }, plane.element,
        make("div", { class: "pad-side" }, digit.element, digit.strip, controls.element, readout.element,
          ...reading ? [reading.element] : []),
        ...real ? [real.element] : []),
      words,
      note(help));
    kit.keepDrawn(plane.element, inks => drawPlane(plane.canvas, data, inks));
  }

  return { name: "pad", start };
});

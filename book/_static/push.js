// The push: a decoder that is fed its own outputs goes round its closed curve, and is pushed off it.
// The page carries the network and its curves; lib/rnnatomy/report/widgets/push.py tells how.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { clamp, make, write, affine } = kit;

  const RATE = 20; // frames a second
  const AT_ONCE = 10; // frames, where nothing moves
  const SMALL = 0.2, LARGE = 1, COARSE = 0.1, FINE = 0.02; // pushes, as shares of the size of the states
  const CLOSE = 0.01, STAYS = 3; // what is so near a curve for so many frames is on it
  const PLACES = 200; // states along a closed curve
  const TRAIL = 60, STRIP = 100, BEFORE = 30; // frames that are shown, and gone on a curve before
  const LEAST = 0.001, MOST = 3; // ends of the scale of distances
  const ROOM = 0.22; // around the curves, of what they take

  // ---- What the page carries ----

  function read(facts, bytes) {
    const arrays = kit.readSteps(facts, bytes).values(), next = () => arrays.next().value;
    const modes = [next(), next()], mean = next(), hidden = mean.length;
    const see = state => modes.map(mode => mode.reduce((sum, part, i) => sum + part * (state[i] - mean[i]), 0));
    const networks = facts.networks.map(({ sets }) => {
      const [inputKernel, inputBias, kernel, readKernel, readBias, bias] = Array.from({ length: 6 }, next);
      const network = { inputKernel, inputBias, kernel, readKernel, readBias, bias };
      network.sets = sets.map((set, k) => {
        const numbers = next(), rows = [];
        for (let at = 0; at < numbers.length; at += hidden) rows.push(numbers.subarray(at, at + hidden));
        const states = set.closed ? trace(rows) : rows;
        return { ...set, number: k + 1, states, seen: states.map(see), drawn: states.map(state => output(state, network)) };
      });
      return network;
    });
    const ellipses = facts.shapes.map(([a, b]) => turn(90, angle => [a * Math.cos(angle), b * Math.sin(angle)]));
    const points = part => [[0, 0], ...networks.flatMap(({ sets }) => sets.flatMap(set => set[part]))];
    return {
      size: facts.size, modes, see, networks, ellipses,
      frame: frame(points("seen")), paper: frame([...points("drawn"), ...ellipses.flat()]),
    };
  }

  const turn = (places, make) => Array.from({ length: places }, (_, at) => make(2 * Math.PI * at / places));

  // States all along a closed curve, from its waves: mean, cosines and sines
  function trace([middle, ...waves]) {
    const half = waves.length / 2;
    return turn(PLACES, angle => {
      const state = middle.slice();
      waves.forEach((wave, k) => {
        const share = k < half ? Math.cos((k + 1) * angle) : Math.sin((k + 1 - half) * angle);
        wave.forEach((part, i) => state[i] += share * part);
      });
      return state;
    });
  }

  // The square around some points, a little larger than they need
  function frame(points) {
    const ends = [0, 1].map(axis => points.map(point => point[axis])).map(all => [Math.min(...all), Math.max(...all)]);
    const width = (1 + 2 * ROOM) * Math.max(...ends.map(([low, high]) => high - low)) || 1;
    return { low: ends.map(([low, high]) => (low + high - width) / 2), width };
  }

  // ---- The network ----

  const output = (state, { readKernel, readBias }) => affine(state, readKernel, readBias);

  const advance = (state, n) => kit.advanceGru(
    affine(output(state, n), n.inputKernel, n.inputBias), affine(state, n.kernel, n.bias), state);

  // How far a state is from the line between two others
  function off(state, from, to) {
    let along = 0, long = 0, far = 0;
    for (let i = 0; i < state.length; i++) {
      const way = to[i] - from[i], gap = state[i] - from[i];
      along += way * gap;
      long += way * way;
      far += gap * gap;
    }
    const share = clamp(along / (long || 1), 0, 1);
    return Math.sqrt(Math.max(far - share * (2 * along - share * long), 0));
  }

  const distance = (state, other) => off(state, other, other);

  // The set that is nearest to a state, and how far it is
  function nearest(state, { sets }) {
    let found = { away: Infinity };
    for (const set of sets)
      set.states.forEach((from, at, { length }) => {
        const away = off(state, from, set.closed ? set.states[(at + 1) % length] : from);
        if (away < found.away) found = { away, set };
      });
    return found;
  }

  // ---- Words ----

  const told = value => value < LEAST ? `under ${LEAST}` : value.toPrecision(2);

  const nameOf = ({ closed, states, number, name }) =>
    closed ? `curve ${number} (${name})` : states.length > 1 ? `set ${number} (${name})` : "a point of rest";

  function sentence({ push, set, away, frame, network: { fresh, sets } }) {
    const start = fresh ? "Before training. " : "", frames = count => `${count} ${count === 1 ? "frame" : "frames"}`;
    if (!push) return `${start}The decoder goes on by itself, on ${nameOf(set)}.`;
    const { end, back, size } = push, home = sets.includes(push.home) && push.home;
    const began = size ? `Pushed ${home ? `off ${nameOf(home)} ` : ""}by ${told(size)} of the size of the states` : "Let go where it was";
    if (!end) return `${start}${began}. After ${frames(frame - push.frame)} it is ${told(away)} from ${nameOf(set)}.`;
    const what = home === end ? "it came back" : `it ended on ${home ? "another, " : ""}${nameOf(end)}`;
    return `${start}${began}. Within a hundredth after ${frames(back)}: ${what}.`;
  }

  // One after the other; each is done when a push is forgotten
  const TASKS = [
    { text: "Drag the point off the curve, and let go.", test: ({ size }) => size > FINE },
    { text: "Now find a push after which it ends on another curve.", test: ({ home, end }) => home !== end },
    { text: "So curves are held, but not against every push. Do large random ones do it too?", test: () => false },
  ];
  const ALONE = "It is forgotten. Is there a push from which it does not come back?";

  const HELP = "Drag the ring, or press anywhere on the plane; with the keyboard, arrow keys push it, with Shift less, " +
    "Home goes back, and space plays. The plane shows two modes of many: the buttons push in a random direction among " +
    "all, of which little shows here. Distances are shares of the size of the states: how far they are from their " +
    "middle (root mean square).";

  // ---- Elements ----

  const button = (text, more) => make("button", { type: "button", class: more }, text);

  const picture = name => make("canvas", { class: name, role: "img" });

  function makeParts(twin) {
    const plane = picture("push-plane"), paper = picture("push-paper"), strip = picture("push-strip");
    const handle = make("span", { class: "widget-handle push-handle" });
    const scene = make("div", {
      class: "widget-plane push-scene", tabindex: 0, role: "application", "aria-label": "Plane of two modes of the states",
      "aria-description": HELP,
    }, plane, handle);
    const away = make("b", { class: "push-away" }), box = make("input", { type: "checkbox" });
    const lead = make("p", { class: "push-lead", "aria-live": "polite" });
    const words = make("p", { class: "push-told", "aria-hidden": "true" }), voice = kit.makeVoice();
    const key = make("div", { class: "push-key", role: "group", "aria-label": "Start on" });
    const play = button("Play", "widget-play"), small = button("Small push", "push-small");
    const large = button("Large push", "push-large"), back = button("Back to the curve", "push-back");
    const before = twin ? [make("label", { class: "push-before" }, box, " before training")] : [];
    const name = (...parts) => make("p", { class: "push-name" }, ...parts);
    const elements = [
      lead, make("div", { class: "push-controls" }, play, small, large, back, ...before),
      make("div", { class: "push-stage" }, scene,
        make("div", { class: "push-side" }, make("div", {}, name("What it draws"), paper),
          make("div", {}, name("Off the nearest curve: ", away), strip))),
      key, words, voice,
    ];
    return { plane, paper, strip, handle, scene, away, box, lead, words, voice, key, play, small, large, back, elements };
  }

  // What each colour is: buttons, which put the point there
  const makeKey = (sets, go) => sets.map(set => {
    const spot = make("span", { class: "push-spot", "aria-hidden": "true", style: `border-color: ${set.colour}` });
    const one = make("button", { type: "button", class: "push-set" }, spot, `${set.number} ${set.name}`);
    one.addEventListener("click", () => go(set));
    return one;
  });

  // ---- Drawing ----

  const projection = ({ low, width }, size) => ([x, y]) => [(x - low[0]) / width * size, size - (y - low[1]) / width * size];

  function line(context, points, { colour, thick = 1, alpha = 1, dash = [], closed = false }) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thick, globalAlpha: alpha, lineJoin: "round" });
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(point => context.lineTo(...point));
    if (closed) context.closePath();
    context.stroke();
    context.globalAlpha = 1;
  }

  function dot(context, [x, y], radius, colour, alpha = 1) {
    Object.assign(context, { fillStyle: colour, globalAlpha: alpha });
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
    context.globalAlpha = 1;
  }

  function drawSet(context, { closed, colour }, points, look) {
    if (closed) line(context, points, { colour, closed, ...look });
    else points.forEach(point => dot(context, point, points.length > 1 ? 2 : 6, colour, look.alpha));
  }

  // The last frames, each fainter than the next; a push is dashed, for the network did not go there
  function drawTrail(context, { past }, ink, at) {
    past.slice(-TRAIL).forEach((now, k, all) => {
      const alpha = (k + 1) / all.length;
      if (k) line(context, [at(all[k - 1]), at(now)], { colour: ink, thick: 1.5, alpha, dash: now.jump ? [4, 4] : [] });
      dot(context, at(now), 1.8, ink, alpha);
    });
  }

  // Where the number of a curve stands: as far as can be from the others
  function spotOf(own, sets) {
    const others = sets.filter(set => set !== own).flatMap(({ seen }) => seen);
    const clear = own.seen.map(([x, y]) => Math.min(9, ...others.map(([u, v]) => Math.hypot(x - u, y - v))));
    return own.seen[clear.indexOf(Math.max(...clear))];
  }

  function drawPlane(canvas, { frame, networks: [{ sets }] }, state, inks) {
    const { context, width: size } = kit.openCanvas(canvas), project = projection(frame, size), own = state.network.sets;
    const [x, y] = project([0, 0]);
    for (const ends of [[[0, y], [size, y]], [[x, 0], [x, size]]]) line(context, ends, { colour: inks.line });
    Object.assign(context, { font: `12px ${inks.font}`, fillStyle: inks.quiet, textBaseline: "middle" });
    context.fillText("mode 1", size - 48, y + 10);
    context.fillText("mode 2", x + 6, 10);
    for (const set of new Set([...sets, ...own])) {
      const look = own.includes(set) ? { thick: set === state.set ? 4 : 1.8 } : { thick: 1.2, alpha: 0.35 };
      drawSet(context, set, set.seen.map(project), look);
    }
    drawTrail(context, state, inks.ink, ({ seen }) => project(seen));
    if (state.drag) line(context, [state.drag.seen, state.seen].map(project), { colour: inks.signal, thick: 2, dash: [5, 4] });
    Object.assign(context, { font: `700 15px ${inks.font}`, textAlign: "center", textBaseline: "middle" });
    Object.assign(context, { strokeStyle: inks.ground, fillStyle: inks.ink, lineWidth: 5 });
    context.setLineDash([]);
    for (const { closed, number, spot } of own)
      if (closed) {
        context.strokeText(number, ...project(spot));
        context.fillText(number, ...project(spot));
      }
  }

  function drawPaper(canvas, { paper, networks: [{ sets }], ellipses }, state, inks) {
    const { context, width: size } = kit.openCanvas(canvas), project = projection(paper, size);
    for (const shape of ellipses) line(context, shape.map(project), { colour: inks.quiet, dash: [2, 4], closed: true });
    for (const set of sets) drawSet(context, set, set.drawn.map(project), { thick: 1.5, alpha: set === state.set ? 1 : 0.4 });
    drawTrail(context, state, inks.ink, ({ drawn }) => project(drawn));
    dot(context, project(state.drawn), 7, inks.ground);
    dot(context, project(state.drawn), 5.5, inks.accent);
  }

  function drawStrip(canvas, { past, frame }, inks) {
    const { context, width, height } = kit.openCanvas(canvas), left = 36, top = Math.log10(MOST);
    const high = share => 3 + (top - Math.log10(clamp(share, LEAST, MOST))) / (top - Math.log10(LEAST)) * (height - 10);
    const point = now => [left + (now.frame - frame + STRIP) / STRIP * (width - left - 5), high(now.away)];
    Object.assign(context, { font: `11px ${inks.font}`, fillStyle: inks.quiet, textAlign: "right", textBaseline: "middle" });
    for (const share of [1, 0.1, CLOSE, LEAST]) {
      line(context, [[left, high(share)], [width, high(share)]], share === CLOSE ? { colour: inks.quiet, dash: [4, 3] } : { colour: inks.line });
      context.fillText(share, left - 5, high(share));
    }
    past.forEach((now, k) => {
      const look = now.jump ? { colour: inks.signal, thick: 2, dash: [5, 4] } : { colour: now.set.colour, thick: 2.5 };
      if (k) line(context, [point(past[k - 1]), point(now)], look);
    });
    dot(context, point(past.at(-1)), 4, inks.accent);
  }

  // ---- Use ----

  function start({ body, facts, bytes, note }) {
    const data = read(facts, bytes), { networks: [trained, twin], size } = data, parts = makeParts(twin);
    for (const { sets } of data.networks) sets.forEach(set => set.spot = spotOf(set, sets));
    if (twin) twin.fresh = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    const state = { network: trained, frame: 0, push: null, drag: null, task: 0 };
    let inks = null, playing = false, clock = 0;

    function measure() {
      const { away, set } = nearest(state.h, state.network);
      return Object.assign(state, { set, away: away / size, seen: data.see(state.h), drawn: output(state.h, state.network) });
    }

    // Keep what is seen of the state; jump: it is there by a push, and no frame went by
    function look(jump = false) {
      const { set, away, seen, drawn, frame } = measure();
      state.past = [...state.past, { set, away, seen, drawn, frame, jump }].slice(-STRIP);
    }

    function draw() {
      const { low, width } = data.frame, [x, y] = state.seen.map((value, axis) => 100 * clamp((value - low[axis]) / width, 0, 1));
      Object.assign(parts.handle.style, { left: `${x}%`, top: `${100 - y}%` });
      parts.scene.dataset.point = [state.frame, ...state.seen, ...state.drawn, state.away].join(" ");
      write(parts.away, told(state.away));
      write(parts.words, sentence(state));
      [...parts.key.children].forEach((one, k) => one.classList.toggle("push-on", k + 1 === state.set.number));
      if (!inks) return;
      drawPlane(parts.plane, data, state, inks);
      drawPaper(parts.paper, data, state, inks);
      drawStrip(parts.strip, state, inks);
    }

    // In words, for those who do not see it
    function tell() {
      const { set, away, seen, drawn, past, network: { sets } } = state, { plane, paper, strip } = parts;
      const at = point => [...point].map(value => value.toFixed(2)).join(", ");
      const most = Math.max(...past.map(one => one.away));
      write(parts.voice, sentence(state));
      plane.ariaLabel = `Two modes of the states: ${sets.map(nameOf).join(", ")}. The point is at ${at(seen)}`;
      paper.ariaLabel = `What the decoder draws: now a point at ${at(drawn)}`;
      strip.ariaLabel = `Distance over ${past.length} frames: at most ${told(most)}, now ${told(away)}, from ${nameOf(set)}`;
    }

    // A push is forgotten: the point is on a curve again
    function settle() {
      const { push, frame, set, away } = state;
      if (!push || push.end) return;
      push.stays = away < CLOSE ? push.stays + 1 : 0;
      if (push.stays < STAYS) return;
      Object.assign(push, { end: set, back: Math.max(frame - push.frame - STAYS + 1, 1) });
      while (!state.network.fresh && TASKS[state.task].test(push)) {
        state.task += 1;
        write(parts.lead, `✓ Done. ${trained.sets.length > 1 ? TASKS[state.task].text : ALONE}`);
      }
      tell();
    }

    function onward() {
      advance(state.h, state.network);
      state.frame += 1;
      look();
      settle();
    }

    const player = kit.makePlayer({
      rate: RATE, last: () => Infinity,
      show: frame => {
        for (; clock < frame; clock++) onward();
        draw();
      },
      tell: isPlaying => {
        playing = isPlaying;
        write(parts.play, calm.matches ? `${AT_ONCE} frames on` : isPlaying ? "Pause" : "Play");
        if (!isPlaying) tell();
      },
    });

    const toggle = () => calm.matches ? player.go(clock + AT_ONCE) : player.toggle();

    const goOn = () => playing || calm.matches ? tell() : player.toggle();

    // On from another state
    function put(h) {
      Object.assign(state, { h: h.slice(), past: [] });
      look();
    }

    function goTo(set) {
      Object.assign(state, { push: null, start: set });
      put(set.states[0]);
      for (let k = 0; k < BEFORE; k++) onward();
      draw();
      tell();
    }

    // From where the push began, were there several before a frame went by
    function push(from, set = state.set) {
      const last = state.push, same = last?.frame === state.frame, begun = same ? last.from : from;
      const far = distance(state.h, begun) / size;
      const home = last && !last.end ? last.home : set;
      state.push = { from: begun, state: state.h.slice(), size: far, home, frame: state.frame, stays: 0 };
      look(true);
      draw();
    }

    function kick(direction, share) {
      const from = state.h.slice(), long = Math.hypot(...direction);
      direction.forEach((part, i) => state.h[i] += share * size * part / long);
      push(from);
    }

    const random = share => () => {
      kick(state.h.map(() => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())), share);
      goOn();
    };

    const press = (axis, sense) => ({ shiftKey }) => {
      kick(data.modes[axis].map(part => sense * part), shiftKey ? FINE : COARSE);
      if (!playing) tell();
    };

    function choose(network) {
      state.network = network;
      parts.key.replaceChildren(...makeKey(network.sets, goTo));
      state.start = network.sets[0];
      if (!state.push) push(state.h);
      Object.assign(state.push, { frame: state.frame, stays: 0, end: null });
      put(state.push.state); // the same push again
      draw();
    }

    // The point goes where the pointer is, or with it
    function follow({ clientX, clientY }) {
      const box = parts.plane.getBoundingClientRect(), { low, width } = data.frame, { drag } = state;
      const at = [(clientX - box.left) / box.width, (box.bottom - clientY) / box.height].map((share, axis) => low[axis] + share * width);
      drag.grip ??= at.map((value, axis) => drag.held * (drag.seen[axis] - value));
      const [x, y] = at.map((value, axis) => clamp(value + drag.grip[axis], low[axis], low[axis] + width) - drag.seen[axis]);
      state.h = drag.from.map((value, i) => value + x * data.modes[0][i] + y * data.modes[1][i]);
      measure();
      draw();
    }

    kit.onDrag(parts.scene, {
      begin: event => {
        if (playing) player.pause();
        state.drag = { from: state.h.slice(), set: state.set, seen: state.seen, held: event.target === parts.handle };
        follow(event);
      },
      move: follow,
      undo: () => {
        state.h = state.drag.from.slice();
        measure();
      },
      end: () => {
        const { from, set } = state.drag;
        state.drag = null;
        if (distance(state.h, from) < LEAST * size) return draw();
        push(from, set);
        goOn();
      },
    });
    kit.onKeys(parts.scene, {
      ArrowLeft: press(0, -1), ArrowRight: press(0, 1), ArrowUp: press(1, 1), ArrowDown: press(1, -1),
      Home: () => goTo(state.start), " ": toggle,
    });
    parts.play.addEventListener("click", toggle);
    parts.small.addEventListener("click", random(SMALL));
    parts.large.addEventListener("click", random(LARGE));
    parts.back.addEventListener("click", () => goTo(state.start));
    parts.box.addEventListener("change", () => {
      choose(parts.box.checked ? twin : trained);
      goOn();
    });
    calm.addEventListener("change", player.pause);
    new IntersectionObserver(seen => {
      if (!seen.at(-1).isIntersecting && playing) player.pause();
    }).observe(parts.scene);

    write(parts.lead, trained.sets[0].closed ? TASKS[0].text : "Drag the point away, and let go.");
    parts.key.append(...makeKey(trained.sets, goTo));
    goTo(trained.sets[0]);
    player.pause();
    body.append(...parts.elements, note(HELP));
    kit.keepDrawn(parts.elements[2], colours => {
      inks = colours;
      draw();
    });
  }

  return { name: "push", start };
});

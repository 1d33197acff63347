// The viewer: trajectories in three dimensions, to be turned and played, and a moving stick figure.
// The page carries the data; lib/rnnatomy/report/widgets/viewer.py tells how they are laid out and
// how a point is projected.
(window.rnnatomyWidgets ??= []).push(kit => {
  "use strict";

  const { clamp, list, make, write } = kit;

  const START = { azimuth: -60, elevation: 30, zoom: 1 }; // degrees, as matplotlib has them
  const TURN = 5, PER_PIXEL = 0.5; // degrees for one press of a key, and for one pixel of a drag
  const ZOOM = 1.25, LEAST = 0.5, MOST = 8;
  const DISTANCE = 5; // of the eye from the middle, in half diagonals of the box
  const FILL = 0.48; // length of a half diagonal, in the lesser of width and height
  const EDGE_PIECES = 10; // of an edge of the box, so that a curve can pass before or behind it
  const MANY = 20; // trajectories above which lines are thinner and moving signs smaller
  const SHORT = 60; // pixels of an axis below which it is not named
  const FAINT = 0.3; // strength of the trajectories that were not chosen

  let count = 0; // of widgets on the page: each has radio buttons of its own

  // Signs of the groups, as matplotlib's, each about 2 wide
  const SIGNS = {
    "o": "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "s": "M-.88-.88H.88V.88H-.88Z",
    "^": "M0-1.1L1.1.9H-1.1Z",
    "v": "M0 1.1L1.1-.9H-1.1Z",
    "D": "M0-1.2L1.2 0L0 1.2L-1.2 0Z",
    "P": "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "X": "M-1.1-.55L-.55-1.1L0-.55L.55-1.1L1.1-.55L.55 0L1.1.55L.55 1.1L0 .55L-.55 1.1L-1.1.55L-.55 0Z",
    "<": "M-1.1 0L.9-1.1V1.1Z",
    ">": "M1.1 0L-.9-1.1V1.1Z",
    "*": "M0-1.3L.35-.48L1.24-.4L.57.18L.76 1.05L0 .6L-.76 1.05L-.57.18L-1.24-.4L-.35-.48Z",
  };

  const radians = degrees => degrees * Math.PI / 180;
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  // ---- What the page carries ----

  function read(facts, bytes) {
    let start = 0;
    const next = (frames, columns) => {
      const end = start + 2 * frames * columns, folded = bytes.subarray(start, end);
      start = end;
      return levelsOf(kit.wholes(folded), frames, columns);
    };
    facts.curves.forEach(curve => {
      curve.points = rows(next(curve.frames, 3), facts.points);
    });
    facts.figures.forEach(figure => {
      const joints = figure.parents.length, curve = facts.curves[figure.curve];
      const layer = () => {
        const places = rows(addParents(next(curve.frames, joints * 3), figure.parents), figure);
        return Array.from({ length: curve.frames }, (_, t) => places.slice(t * joints, (t + 1) * joints));
      };
      figure.frames = layer();
      if (figure.ghost) figure.ghost.frames = layer();
      curve.figure = figure;
    });
    facts.curves.forEach(curve => {
      curve.clusters &&= curve.clusters.flatMap(([number, frames]) => Array(frames).fill(facts.clusters[number]));
    });
    return facts;
  }

  // Second differences in time, column by column, back to levels, frame by frame
  function levelsOf(second, frames, columns) {
    const levels = new Uint16Array(frames * columns);
    for (let column = 0, at = 0; column < columns; column++) {
      for (let t = 0, one = 0, two = 0; t < frames; t++, at++) {
        const level = second[at] + 2 * one - two & 65535;
        levels[t * columns + column] = level;
        [one, two] = [level, one];
      }
    }
    return levels;
  }

  // A joint is told from its parent, which comes before it; sums are modulo 65536, as the array's
  function addParents(levels, parents) {
    const columns = parents.length * 3;
    for (let frame = 0; frame < levels.length; frame += columns)
      parents.forEach((parent, joint) => {
        if (parent < 0) return;
        for (let i = 0; i < 3; i++) levels[frame + joint * 3 + i] += levels[frame + parent * 3 + i];
      });
    return levels;
  }

  function rows(levels, { low, step }) {
    return Array.from({ length: levels.length / 3 }, (_, k) => low.map((least, i) => least + step * levels[k * 3 + i]));
  }

  // ---- Geometry ----

  function boundsOf(points) {
    const low = [0, 1, 2].map(i => points.reduce((least, p) => Math.min(least, p[i]), Infinity));
    const high = [0, 1, 2].map(i => points.reduce((most, p) => Math.max(most, p[i]), -Infinity));
    const centre = low.map((least, i) => (least + high[i]) / 2), sizes = low.map((least, i) => high[i] - least);
    const digits = clamp(1 - Math.floor(Math.log10(Math.max(...sizes) || 1)), 0, 20); // after the point
    return { low, high, centre, digits, radius: Math.hypot(...sizes) / 2 || 1 };
  }

  // The projection of the points (p - centre) / radius: [x, y, nearness from -1 to 1]
  function projection({ azimuth, elevation, zoom }, width, height) {
    const [a, e] = [radians(azimuth), radians(elevation)], scale = FILL * Math.min(width, height);
    const right = [-Math.sin(a), Math.cos(a), 0];
    const up = [-Math.sin(e) * Math.cos(a), -Math.sin(e) * Math.sin(a), Math.cos(e)];
    const toward = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
    const project = q => {
      const near = dot(q, toward), size = scale * zoom / (1 - near / DISTANCE);
      return [width / 2 + size * dot(q, right), height / 2 - size * dot(q, up), near];
    };
    return { scale, project };
  }

  // The edges of the box, each along an axis
  function edgesOf({ low, high }) {
    return [0, 1, 2].flatMap(axis => [0, 1, 2, 3].map(corner => {
      const from = low.slice(), others = [0, 1, 2].filter(i => i !== axis);
      others.forEach((i, bit) => {
        if (corner >> bit & 1) from[i] = high[i];
      });
      const to = from.slice();
      to[axis] = high[axis];
      return { axis, from, to, isFloor: from[2] === low[2] };
    }));
  }

  // Of the edges along each axis the one to be named: of the first two axes the lowest to be seen
  // around the floor, of the third the leftmost; all else lies above or to the right of it
  function axesOf(edges, project) {
    const middle = ({ from, to }) => project(between(from, to, 0.5));
    return [0, 1, 2].map(axis => {
      const along = edges.filter(edge => edge.axis === axis && (axis === 2 || edge.isFloor));
      const place = edge => axis === 2 ? -middle(edge)[0] : middle(edge)[1];
      return along.reduce((best, edge) => place(edge) > place(best) ? edge : best);
    });
  }

  const between = (from, to, share) => from.map((start, i) => start + (to[i] - start) * share);

  // How a stick figure is seen: from the side and a little from the front of where it goes, or of
  // where the third axis points if it stays. It is followed, so the ground moves and it does not.
  function stageOf(figure) {
    const frames = figure.frames.concat(figure.ghost?.frames ?? []), most = Math.max(...frames.flat().map(p => p[1]));
    const ground = Math.min(...figure.frames.flat().map(p => p[1]));
    const skull = skullOf(figure), tall = most + skull - ground || 1;
    const [first, last] = [figure.frames[0][0], figure.frames.at(-1)[0]];
    const way = [last[0] - first[0], last[2] - first[2]];
    const heading = Math.hypot(...way) > tall / 2 ? Math.atan2(way[0], way[1]) : 0;
    const angle = heading + radians(heading ? -60 : 30);
    const toward = [Math.sin(angle), 0, Math.cos(angle)], right = [Math.cos(angle), 0, -Math.sin(angle)];
    const aside = frame => frame.map(p => Math.abs(dot(p, right) - dot(frame[0], right)));
    const half = Math.max(tall / 4, ...frames.map(frame => Math.max(...aside(frame))));
    return { ground, tall, toward, right, half, skull };
  }

  // A head reaches from its joint to the one before it
  function skullOf({ frames: [places], parents, head }) {
    return head === null ? 0 : Math.hypot(...places[head].map((value, i) => value - places[parents[head]][i]));
  }

  // ---- Words ----

  const number = (value, digits) => kit.minus(Number(value.toFixed(digits)).toString());

  function phase(curves, frame) {
    const isEncoder = curves.map(({ split }) => frame < split);
    if (isEncoder.every(Boolean)) return ", encoder";
    return isEncoder.some(Boolean) ? ", encoder or decoder" : ", decoder";
  }

  // What colours stand for
  const lookOf = (data, { isByCluster }, curve, frame) =>
    isByCluster ? curve.clusters[Math.min(frame, curve.frames - 1)] : data.groups[curve.group];

  // The errors of a ghost at a frame, and those of its rival
  function errorsOf({ ghost: { errors, still } }, frame) {
    if (errors[frame] === null) return "none, this frame is not predicted";
    return `${errors[frame].toFixed(2)}; of the last frame seen, repeated: ${still[frame].toFixed(2)}`;
  }

  function keyOf({ curves, axes, rate, box, kind, hasClusters }) {
    const signs = ["open circle: start"];
    if (curves.some(({ split }) => split))
      signs.push("thin and dashed: encoder", "open diamond: hand-over to the decoder", "solid: decoder");
    signs.push("small filled sign: end", "large sign: the frame shown");
    const text = signs.join("; "), ranges = axes.map((axis, i) =>
      `${axis} from ${number(box.low[i], box.digits)} to ${number(box.high[i], box.digits)}`);
    const matched = hasClusters ? ` A cluster has the colour, sign and name of the ${kind} that it is matched to.` : "";
    return `${text[0].toUpperCase()}${text.slice(1)}.${matched} The box runs over ${list(ranges)}. ` +
      `Plays ${number(rate, 1)} frames a second.`;
  }

  // What is seen: how many trajectories, from where, and where they are at the frame shown; a group
  // that is played as a whole is where the middle of it is
  function describe(data, state, textOf) {
    const { axes, box, curves, groups, kind, hasClusters } = data, { view, shown, chosen, frame } = state;
    const visible = curves.filter(({ group }) => shown[group]), { azimuth, elevation, zoom } = view;
    const from = `azimuth ${number(azimuth, 1)}°, elevation ${number(elevation, 1)}°, zoom ${number(zoom, 2)}`;
    const place = some => {
      const points = some.map(({ points }) => points[Math.min(frame, points.length - 1)]);
      const mean = i => points.reduce((sum, p) => sum + p[i], 0) / points.length;
      return axes.map((_, i) => number(mean(i), box.digits)).join(", ");
    };
    const parts = chosen === null
      ? groups.map(({ name }, g) => [name, visible.filter(({ group }) => group === g)])
      : [[curves[chosen].name, visible.includes(curves[chosen]) ? [curves[chosen]] : []]];
    const within = some => {
      if (!state.isByCluster) return "";
      const names = [...new Set(some.map(curve => lookOf(data, state, curve, frame).name))];
      return ` in ${names.length > 1 ? "clusters" : "cluster"} ${list(names)}`;
    };
    const told = parts.filter(([, some]) => some.length)
      .map(([name, some]) => `${name} at ${place(some)}${within(some)}`);
    const colours = hasClusters ? `Coloured by ${state.isByCluster ? "cluster" : kind}. ` : "";
    return `${visible.length} of ${curves.length} trajectories shown, seen from ${from}. ${colours}` +
      `Frame ${textOf(frame)}: ${told.join("; ") || "nothing shown"}.`;
  }

  const HELP = "Drag to turn, with a finger sideways first; with the keyboard, arrow keys turn, plus and minus zoom, Home resets " +
    "the view, and space plays or pauses.";

  // ---- Elements ----

  const button = (name, text) => make("button", { type: "button", "aria-label": name, title: name }, text);

  function makeCheck(isOn, ...content) {
    const box = make("input", { type: "checkbox" });
    box.checked = isOn;
    return { box, label: make("label", { class: "viewer-check" }, box, ...content) };
  }

  function makeSign({ colour, marker }) {
    const picture = make("span", { class: "viewer-sign", "aria-hidden": "true" });
    picture.innerHTML = `<svg viewBox="-1.6 -1.6 3.2 3.2"><path d="${SIGNS[marker]}" fill="${colour}"/></svg>`;
    return picture;
  }

  function makeGroup(look) {
    const sign = makeSign(look);
    return { ...makeCheck(true, sign, look.name), sign };
  }

  // What colours stand for: radio buttons, and the clusters with their signs
  function makeColours({ kind, clusters }) {
    const name = `viewer-${++count}-colours`;
    const [byGroup, byCluster] = [kind, "cluster"].map(value => make("input", { type: "radio", name, value }));
    byGroup.checked = true;
    const choice = make("fieldset", { class: "viewer-groups" }, make("legend", {}, "Colour by"),
      ...[byGroup, byCluster].map(box => make("label", { class: "viewer-check" }, box, box.value)));
    const key = make("div", { class: "viewer-groups", hidden: "" }, make("span", { class: "viewer-title" }, "Clusters"),
      ...Object.values(clusters).map(look => make("span", { class: "viewer-check" }, makeSign(look), look.name)));
    return { byCluster, choice, key };
  }

  // The stick figure's key: which lines are whose, and how far the prediction is off
  function makeGhost() {
    const line = look => make("span", { class: `viewer-line ${look}`, "aria-hidden": "true" });
    const { box, label } = makeCheck(true, line("viewer-dashed"), "ghost: predicted");
    const errors = make("p", { class: "viewer-errors" });
    const key = make("div", { class: "viewer-groups" },
      make("span", { class: "viewer-check" }, line(""), "recorded"), label);
    return { box, errors, element: make("div", { class: "viewer-ghost" }, key, errors) };
  }

  function makeControls(data) {
    const groups = data.groups.map(makeGroup);
    const shown = make("fieldset", { class: "viewer-groups" },
      make("legend", {}, "Shown"), ...groups.map(one => one.label));
    const play = make("button", { type: "button", class: "widget-play" }, "Play");
    const loop = makeCheck(!matchMedia("(prefers-reduced-motion: reduce)").matches, "Loop");
    const menu = make("select", {}, ...data.choices.map((at, value) =>
      make("option", { value }, at === null ? "All trajectories" : data.curves[at].name)));
    const slider = make("input", { class: "widget-slider", type: "range", min: 1, step: 1, value: 1 });
    const frame = make("span", { class: "viewer-frame", "aria-hidden": "true" });
    const [closer, farther] = [button("Zoom in", "+"), button("Zoom out", "−")];
    const reset = make("button", { type: "button" }, "Reset view");
    const player = make("div", { class: "viewer-player" },
      play, loop.label, make("label", {}, "Sequence ", menu),
      make("label", { class: "viewer-time" }, make("span", {}, "Frame ", frame), slider));
    const zoom = make("div", { class: "viewer-zoom", role: "group", "aria-label": "View" },
      farther, closer, reset);
    const colours = makeColours(data), ghost = makeGhost();
    return { groups, shown, colours, ghost, play, loop, menu, slider, frame, closer, farther, reset, player, zoom };
  }

  function makeStage(data, controls) {
    const space = make("canvas", {
      class: "viewer-space", tabindex: 0, role: "application",
      "aria-label": `Trajectories over ${list(data.axes)}`,
    });
    const body = make("canvas", { class: "viewer-figure", role: "img" });
    const element = make("div", { class: "viewer-stage" },
      make("div", { class: "viewer-scene" }, space, controls.zoom));
    if (data.figures.length) element.append(make("div", {}, body));
    if (data.figures.some(({ ghost }) => ghost)) body.after(controls.ghost.element);
    element.classList.toggle("viewer-pair", data.figures.length > 0);
    return { element, space, body };
  }

  // ---- Drawing ----

  function open(canvas) {
    const opened = kit.openCanvas(canvas);
    opened.context.lineCap = opened.context.lineJoin = "round";
    return opened;
  }

  // A colour as it looks in a haze of the ground's: what is farther is weaker. Kept, for it is
  // asked for thousands of times in a drawing.
  function haze(ground) {
    const parts = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16)), known = new Map();
    return (colour, strength) => {
      const share = Math.round(strength * 24) / 24, key = colour + share;
      if (!known.has(key)) {
        const mixed = between(parts(ground), parts(colour), share).map(Math.round);
        known.set(key, `rgb(${mixed.join(" ")})`);
      }
      return known.get(key);
    };
  }

  function drawSign(context, d, [x, y], size, { fill, line, width }) {
    context.save();
    context.translate(x, y);
    context.scale(size, size);
    context.lineWidth = width / size;
    const path = new Path2D(d);
    if (line) context.strokeStyle = line;
    if (line) context.stroke(path);
    if (fill) context.fillStyle = fill;
    if (fill) context.fill(path);
    context.restore();
  }

  function drawLine(context, from, to, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  }

  const fog = near => 0.4 + 0.6 * (near + 1) / 2; // strength of what is at some nearness

  function boxParts(edges, axes, project, inks, mix) {
    return edges.flatMap(edge => {
      const { from, to } = edge, isAxis = axes.includes(edge);
      const at = k => project(between(from, to, k / EDGE_PIECES));
      return Array.from({ length: EDGE_PIECES }, (_, k) => {
        const [start, end] = [at(k), at(k + 1)], near = (start[2] + end[2]) / 2;
        const colour = mix(inks.quiet, fog(near) * (isAxis ? 1 : 0.4));
        return { near, draw: context => drawLine(context, start, end, colour, isAxis ? 1.4 : 0.8) };
      });
    });
  }

  // One part for each step of a trajectory; an encoder's dashes go on from one to the next
  function lineParts({ split }, places, look, weight, mix, thick) {
    let run = 0;
    return places.slice(1).map((end, k) => {
      const start = places[k], near = (start[2] + end[2]) / 2, before = run;
      const shade = mix(look(k + 1).colour, fog(near) * weight), isEncoder = k + 1 < split;
      run += Math.hypot(end[0] - start[0], end[1] - start[1]);
      const width = thick * (isEncoder ? 0.9 + 0.3 * near : 1.5 + 0.8 * near);
      return { near, draw: context => {
        if (isEncoder) {
          context.setLineDash([3, 3]);
          context.lineDashOffset = before;
          context.lineCap = "butt";
        }
        drawLine(context, start, end, shade, width);
        context.setLineDash([]);
        context.lineCap = "round";
      } };
    });
  }

  function signParts({ split, frames }, places, look, weight, inks, mix) {
    const sign = (at, d, size, isOpen) => {
      const place = places[at], near = place[2], colour = mix(look(at).colour, fog(near) * weight);
      const inked = isOpen
        ? { fill: inks.ground, line: colour, width: 3 }
        : { fill: colour, line: inks.ground, width: 1.5 };
      return { near: near + 0.02, draw: context => drawSign(context, d, place, size + 0.5 * near, inked) };
    };
    const parts = [sign(0, SIGNS.o, 2.6, true), sign(frames - 1, SIGNS[look(frames - 1).marker], 3.6, false)];
    if (split > 0 && split < frames) parts.push(sign(split - 1, SIGNS.D, 2.8, true));
    return parts;
  }

  // The names of the axes and their ends, outside the box and within the picture
  function drawNames(context, { axes, box }, edges, project, { ink, quiet, ground, font }, width, height) {
    const middle = project([0, 0, 0]);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.strokeStyle = ground;
    context.lineWidth = 4;
    edges.forEach(({ from, to }, i) => {
      const [start, end] = [project(from), project(to)];
      const [dx, dy] = [end[0] - start[0], end[1] - start[1]], long = Math.hypot(dx, dy);
      if (long < SHORT) return;
      const place = between(start, end, 0.5);
      const side = Math.sign(dy * (middle[0] - place[0]) - dx * (middle[1] - place[1])) || 1;
      const put = (text, share, gap, style, colour, stays) => {
        context.font = `${style} ${font}`;
        context.fillStyle = colour;
        const half = context.measureText(text).width / 2 + 2, [x, y] = between(start, end, share);
        const out = [-side * dy / long, side * dx / long], reach = gap + Math.abs(out[0]) * half;
        const wanted = [x + out[0] * reach, y + out[1] * reach];
        const at = [clamp(wanted[0], half, width - half), clamp(wanted[1], 9, height - 9)];
        if (!stays && Math.hypot(at[0] - wanted[0], at[1] - wanted[1]) > 12) return;
        context.strokeText(text, ...at);
        context.fillText(text, ...at);
      };
      put(number(box.low[i], box.digits), 0.08, 10, "12px", quiet, false);
      put(number(box.high[i], box.digits), 0.92, 10, "12px", quiet, false);
      put(axes[i], 0.5, 14, "600 13px", ink, true);
    });
  }

  function drawSpace(canvas, data, state, inks) {
    const { view, shown, chosen, frame } = state;
    const { context, width, height } = open(canvas), mix = haze(inks.ground);
    const { scale, project } = projection(view, width, height), isCrowd = data.curves.length > MANY;
    const visible = data.curves.filter(({ group }) => shown[group]).map(curve => {
      const isChosen = chosen === null || curve === data.curves[chosen];
      return { curve, places: curve.places.map(project), look: at => lookOf(data, state, curve, at), isChosen };
    });
    const axes = axesOf(data.edges, project), parts = boxParts(data.edges, axes, project, inks, mix);
    const picked = [], thin = isCrowd ? 0.7 : 1;
    for (const { curve, places, look, isChosen } of visible) {
      const isPicked = isChosen && chosen !== null, weight = isChosen ? 1 : FAINT;
      (isPicked ? picked : parts).push(
        ...lineParts(curve, places, look, weight, mix, isPicked ? 1.4 : thin),
        ...signParts(curve, places, look, weight, inks, mix));
    }
    for (const layer of [parts, picked])
      layer.sort((a, b) => a.near - b.near).forEach(({ draw }) => draw(context));
    const size = isCrowd && chosen === null ? 5 : 7;
    for (const { curve, places, look } of visible.filter(({ isChosen }) => isChosen)) {
      const place = places[Math.min(frame, curve.frames - 1)], { colour, marker } = look(frame);
      drawSign(context, SIGNS[marker], place, size, { line: inks.ink, width: 2.5, fill: colour });
    }
    drawNames(context, data, axes, project, inks, width, height);
    canvas.dataset.view = JSON.stringify({ ...view, k: scale, width, height });
  }

  function drawGround(context, { right }, at, scale, { quiet }, width, y) {
    const gap = 10, middle = dot(at, right), reach = width / 2 / scale;
    drawLine(context, [0, y], [width, y], quiet, 1.2);
    for (let mark = Math.ceil((middle - reach) / gap) * gap; mark <= middle + reach; mark += gap) {
      const x = width / 2 + (mark - middle) * scale;
      drawLine(context, [x, y], [x - 5, y + 7], quiet, 1);
    }
  }

  function drawFigure(canvas, figure, frame, hasGhost, inks) {
    const { context, width, height } = open(canvas), mix = haze(inks.ground);
    figure.stage ??= stageOf(figure);
    const stage = figure.stage, root = figure.frames[frame][0];
    const scale = Math.min((height - 44) / stage.tall, (width - 24) / 2 / stage.half);
    const floor = (height + stage.tall * scale) / 2;
    drawGround(context, stage, root, scale, inks, width, floor);
    const see = p => [
      width / 2 + (dot(p, stage.right) - dot(root, stage.right)) * scale,
      floor - (p[1] - stage.ground) * scale,
      clamp((dot(p, stage.toward) - dot(root, stage.toward)) / stage.half, -1, 1),
    ];
    const bones = places => figure.parents.map((parent, joint) => {
      const from = places[Math.max(parent, 0)], to = places[joint];
      return { from, to, near: (from[2] + to[2]) / 2, isHead: joint === figure.head };
    }).sort((a, b) => a.near - b.near);
    for (const { from, to, near, isHead } of bones(figure.frames[frame].map(see))) {
      const colour = mix(inks.ink, fog(near)), width = 3.5 + 1.5 * near;
      const skull = { fill: inks.ground, line: colour, width: 2 * width }; // the fill covers half of the line
      if (isHead) drawSign(context, SIGNS.o, to, stage.skull * scale, skull);
      else drawLine(context, from, to, colour, width);
    }
    if (hasGhost) drawGhost(context, bones(figure.ghost.frames[frame].map(see)), Math.max(0, stage.skull * scale), inks);
  }

  function drawGhost(context, bones, skull, { signal }) {
    context.setLineDash([4, 4]);
    context.lineCap = "butt";
    context.strokeStyle = signal;
    context.lineWidth = 2;
    for (const { from, to, isHead } of bones) {
      if (!isHead) {
        drawLine(context, from, to, signal, 2);
        continue;
      }
      context.beginPath();
      context.arc(to[0], to[1], skull, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }

  // ---- Use ----

  function prepare(data) {
    data.box = boundsOf(data.curves.flatMap(({ points }) => points));
    const { centre, radius } = data.box, unit = p => p.map((value, i) => (value - centre[i]) / radius);
    data.curves.forEach(curve => {
      curve.places = curve.points.map(unit);
    });
    data.edges = edgesOf({ low: unit(data.box.low), high: unit(data.box.high) });
    data.choices = data.figures.length
      ? data.figures.map(({ curve }) => curve)
      : data.curves.length > 1 ? [null, ...data.curves.keys()] : [0];
    data.isSplit = data.curves.some(({ split }) => split);
    data.hasClusters = Object.keys(data.clusters).length > 0;
    return data;
  }

  function start({ body, facts, bytes, note }) {
    const data = prepare(read(facts, bytes));
    const controls = makeControls(data), stage = makeStage(data, controls), words = kit.makeVoice();
    const state = {
      view: { ...START }, shown: data.groups.map(() => true), chosen: data.choices[0], frame: 0,
      isByCluster: false, hasGhosts: true,
    };
    const { colours, ghost } = controls;
    let before = state.view;

    const figureOf = () => data.curves[state.chosen]?.figure;
    const isHaunted = () => state.hasGhosts && (figureOf()?.ghost?.errors[state.frame] ?? null) !== null;
    const errors = () => figureOf()?.ghost ? errorsOf(figureOf(), state.frame) : "none, there is no ghost";
    const played = () => state.chosen === null ? data.curves : [data.curves[state.chosen]];
    const count = () => Math.max(...played().map(({ frames }) => frames));
    const name = () => state.chosen === null ? "All trajectories" : data.curves[state.chosen].name;
    const textOf = frame => `${frame + 1} of ${count()}${data.isSplit ? phase(played(), frame) : ""}`;

    if (data.hasClusters) body.append(colours.choice);
    body.append(controls.shown, colours.key, stage.element, controls.player, words, note(`${keyOf(data)} ${HELP}`));
    const draw = kit.keepDrawn(stage.element, inks => {
      drawSpace(stage.space, data, state, inks);
      const figure = figureOf();
      if (figure) drawFigure(stage.body, figure, state.frame, isHaunted(), inks);
    });

    function showFrame(frame) {
      const text = textOf(frame);
      state.frame = frame;
      controls.slider.max = count();
      controls.slider.value = frame + 1;
      controls.slider.setAttribute("aria-valuetext", text);
      write(controls.frame, text);
      write(ghost.errors, `Error of the ghost: ${errors()}.`);
      draw();
    }

    // The pictures in words, for a screen reader; not frame by frame, which would interrupt it
    function describeAll() {
      stage.space.setAttribute("aria-description", `${describe(data, state, textOf)} ${HELP}`);
      const predicted = figureOf()?.ghost && state.hasGhosts ? `; over it, dashed, the ghost as predicted, error ${errors()}` : "";
      stage.body.setAttribute("aria-label", `Stick figure of ${name()}, frame ${textOf(state.frame)}${predicted}`);
    }

    const player = kit.makePlayer({
      rate: data.rate, last: () => count() - 1, show: showFrame, loops: () => controls.loop.box.checked,
      tell: isPlaying => {
        write(controls.play, isPlaying ? "Pause" : "Play");
        write(words, `${name()}: ${isPlaying ? "playing" : `frame ${textOf(state.frame)}`}.`);
        describeAll();
      },
    });

    function look(change) {
      Object.assign(state.view, change);
      state.view.elevation = clamp(state.view.elevation, -90, 90);
      state.view.zoom = clamp(state.view.zoom, LEAST, MOST);
      draw();
    }

    function tellView() {
      const { azimuth, elevation, zoom } = state.view;
      write(words, `Azimuth ${number(azimuth, 1)}°, elevation ${number(elevation, 1)}°, zoom ${number(zoom, 2)}.`);
      describeAll();
    }

    const turn = (across, down) => look({
      azimuth: (state.view.azimuth - across) % 360, elevation: state.view.elevation + down,
    });
    const told = change => () => {
      change();
      tellView();
    };
    const press = (across, down) => told(() => turn(across, down));
    const closer = told(() => look({ zoom: state.view.zoom * ZOOM }));
    const farther = told(() => look({ zoom: state.view.zoom / ZOOM }));
    const reset = told(() => look(START));

    kit.onDrag(stage.space, {
      begin: () => {
        before = { ...state.view };
      },
      move: (to, from) =>
        turn((to.clientX - from.clientX) * PER_PIXEL, (to.clientY - from.clientY) * PER_PIXEL),
      undo: () => look(before), end: tellView,
    });
    kit.onKeys(stage.space, {
      ArrowLeft: press(-TURN, 0), ArrowRight: press(TURN, 0),
      ArrowUp: press(0, -TURN), ArrowDown: press(0, TURN),
      "+": closer, "=": closer, "-": farther, Home: reset, " ": player.toggle,
    });
    controls.closer.addEventListener("click", closer);
    controls.farther.addEventListener("click", farther);
    controls.reset.addEventListener("click", reset);
    controls.play.addEventListener("click", player.toggle);
    controls.slider.addEventListener("input", () => player.go(Number(controls.slider.value) - 1));
    controls.menu.addEventListener("change", () => {
      state.chosen = data.choices[controls.menu.value];
      player.restart();
    });
    controls.groups.forEach(({ box }, group) => box.addEventListener("change", () => {
      state.shown[group] = box.checked;
      draw();
      describeAll();
    }));

    colours.choice.addEventListener("change", () => {
      state.isByCluster = colours.byCluster.checked;
      colours.key.hidden = !state.isByCluster;
      controls.groups.forEach(({ sign }) => {
        sign.hidden = state.isByCluster;
      });
      draw();
      write(words, `Coloured by ${state.isByCluster ? "cluster" : data.kind}.`);
      describeAll();
    });
    ghost.box.addEventListener("change", () => {
      state.hasGhosts = ghost.box.checked;
      draw();
      describeAll();
    });

    player.go(0);
  }

  return { name: "viewer", start };
});

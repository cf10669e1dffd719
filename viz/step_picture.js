"use strict";
// What steps look like: numbers, the states that they lead to, and pictures of these. Every number was computed by Python;
// the only arithmetic here is a sweep times its seed, since sweeps are linear in it.
const stepping = (() => {
  const data = JSON.parse(document.getElementById("step-data").textContent);
  const { figures } = data;
  const SLOTS = { p: 0, t: 1, a: 2 }, DASH = "–";
  const chosen = { seed: 1, node: null }; // the seed of the sweep, and the node whose sum is shown

  // ------------------------------------------------------------------ numbers, written as Python writes them
  const trimmed = (text) => text.replace(/\.?0*$/, ""); // of a text with a point
  function brief(x, digits = 7) {
    if (Number.isNaN(x)) return "nan";
    if (!Number.isFinite(x)) return x < 0 ? "-inf" : "inf";
    if (x === 0) return Object.is(x, -0) ? "-0" : "0";
    const [exact] = Math.abs(x).toExponential(40).split("e"), cut = exact.slice(0, digits + 1); // the point is the second letter
    const tie = /^50*$/.test(exact.slice(digits + 1)) && "02468".includes(cut.at(-1)); // which Python rounds to even
    const [mantissa, power] = Math.abs(x).toExponential(digits - 1).split("e"), e = Number(power), sign = x < 0 ? "-" : "";
    const figures = (tie ? cut : mantissa).replace(".", "");
    if (e < -4 || e >= digits) return `${sign}${trimmed(`${figures[0]}.${figures.slice(1)}`)}e${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
    const whole = e < 0 ? "0" : figures.slice(0, e + 1), rest = e < 0 ? "0".repeat(-e - 1) + figures : figures.slice(e + 1);
    return sign + trimmed(`${whole}.${rest}`);
  }
  const times = (raw) => Number(raw) * (Number(raw) === 0 ? 1 : chosen.seed); // no zero becomes -0
  // A value times the seed. Of an array too large to be held here, only the text for the seed 1 is known.
  function scaled(steps, i) {
    const raw = steps.raw[i];
    if (chosen.seed === 1 || steps.phase[i] === "p") return steps.text[i];
    if (raw === null || typeof raw !== "object") return brief(times(raw));
    const { shape, rows } = raw, count = shape.reduce((a, b) => a * b, 1);
    const listed = (list, whole) => `[${list.map((x) => brief(times(x), 5)).join(", ")}${whole ? "" : ", …"}]`;
    if (shape.length === 1) return count <= 6 ? listed(rows[0] ?? [], true) : `${listed(rows[0].slice(0, 2), false)} (${count},)`;
    if (shape.length !== 2 || !count) return `${brief(chosen.seed)} × ${steps.text[i]}`;
    if (count <= 6) return `[${rows.map((row) => listed(row, true)).join(", ")}]`;
    const first = shape[1] <= 6 ? listed(rows[0], true) : listed(rows[0].slice(0, 2), false);
    return `[${first}${shape[0] > 1 ? ", …" : ""}] (${shape.join(", ")})`;
  }

  // A value in a box of the picture: of an array its shape and extremes.
  function boxed(steps, i) {
    const raw = steps.raw[i];
    if (raw === null || typeof raw !== "object") return scaled(steps, i);
    if (chosen.seed === 1 || steps.phase[i] === "p") return raw.short;
    if (raw.shape.reduce((a, b) => a * b, 1) <= 3 || raw.least === null) return scaled(steps, i);
    return `${raw.shape.join("×")}: ${[raw.least, raw.most].map(times).sort((a, b) => a - b).map((x) => brief(x, 4)).join(" … ")}`;
  }

  // ------------------------------------------------------------------ tracks: which step last wrote each slot
  class Track {
    constructor(figure, { steps, phases, mode, name, seed: node, scalable }, clears = new Map()) {
      Object.assign(this, { figure, order: steps, phases, mode, name, node, scalable, clears });
      this.count = figures[figure].nodes.name.length;
      if (mode === "iterations") phases.slice(1).forEach(([begin]) => this.clears.set(begin, [0, 3 * this.count]));
      this.every = Math.max(50, Math.ceil(steps.length / 64));
      this.checkpoints = [new Int32Array(3 * this.count)];
    }
    // The state after `frame` steps: for the value, tangent and adjoint of each node, 1 + the step that computed it, or 0.
    state(frame) {
      const known = Math.min(Math.floor(frame / this.every), this.checkpoints.length - 1);
      const state = this.checkpoints[known].slice(), { phase, node } = figures[this.figure].steps;
      for (let k = known * this.every; k < frame; k++) {
        const clear = this.clears.get(k), i = this.order[k];
        if (clear) state.fill(0, ...clear);
        state[SLOTS[phase[i]] * this.count + node[i]] = i + 1;
        if ((k + 1) % this.every === 0 && this.checkpoints.length === (k + 1) / this.every) this.checkpoints.push(state.slice());
      }
      return state;
    }
  }
  // All passes of one mode one after another; the values are kept, and each pass begins with fresh tangents or adjoints.
  function joined(tracks) {
    const order = [], phases = [], clears = new Map(), steps = figures[0].steps, count = figures[0].nodes.name.length;
    tracks.forEach((track, turn) => {
      const own = turn ? track.steps.filter((i) => steps.phase[i] !== "p") : track.steps;
      if (turn) clears.set(order.length, [count, 3 * count]);
      phases.push([order.length, `pass ${turn + 1}`]);
      order.push(...own);
    });
    return new Track(0, { steps: order, phases, mode: tracks[0].mode, name: "", seed: -1, scalable: false }, clears);
  }

  // ------------------------------------------------------------------ a picture, and what it shows at the moment
  const ranges = (text) => text.split(" ").filter(Boolean).map((range) => range.split("-").map(Number));
  class View {
    constructor(frame) {
      this.frame = frame;
      this.sheets = new Map();
      this.closed = new Set();
    }
    sheet(figure, place) {
      const key = `${figure}/${place}`;
      if (!this.sheets.has(key)) {
        const root = this.frame.querySelector(`[data-figure="${figure}"] .sheet[data-sheet="${place}"]`);
        const boxes = new Map();
        root.querySelectorAll("[data-node]").forEach((box) => {
          const text = (kind) => box.querySelector(`.shows-${kind}`);
          const parts = { box, value: text("value"), derivative: text("derivative"), name: text("name"), sign: text("sign") };
          boxes.set(Number(box.dataset.node), parts);
          box.setAttribute("role", "button");
          box.setAttribute("tabindex", "-1");
        });
        const groups = Array.from(root.querySelectorAll("g[data-sheet]"), (box) => ({ box, inside: ranges(box.dataset.inside) }));
        const edges = Array.from(root.querySelectorAll("[data-tail]"), (edge) => ({ edge, tail: edge.dataset.tail, head: edge.dataset.head }));
        groups.forEach(({ box }) => { box.setAttribute("role", "button"); box.setAttribute("tabindex", "0"); });
        const frames = Array.from(root.querySelectorAll(".cluster"), (cluster) => ({ cluster, inside: ranges(cluster.dataset.inside) }));
        frames.forEach(({ cluster }) => {
          cluster.setAttribute("role", "button");
          cluster.setAttribute("tabindex", "0");
          cluster.setAttribute("aria-expanded", "true");
          cluster.setAttribute("aria-label", `${cluster.querySelector("title").textContent}, open`);
        });
        this.sheets.set(key, { root, boxes, groups, edges, frames });
      }
      return this.sheets.get(key);
    }
    show(track, frame, place, suffix) {
      if (this.at !== `${track.figure}/${place}`) {
        this.frame.querySelectorAll(".figure").forEach((one) => { one.hidden = Number(one.dataset.figure) !== track.figure; });
        this.frame.querySelectorAll(`[data-figure="${track.figure}"] .sheet`).forEach((one) => { one.hidden = Number(one.dataset.sheet) !== place; });
        this.at = `${track.figure}/${place}`;
      }
      const { boxes, groups, edges, frames } = this.sheet(track.figure, place), { steps, nodes } = figures[track.figure];
      const state = track.state(frame), now = frame ? track.order[frame - 1] : -1;
      const node = now < 0 ? -1 : steps.node[now], child = now < 0 ? -1 : steps.child[now], phase = now < 0 ? "" : steps.phase[now];
      const slot = suffix === "dot" ? 1 : 2;
      boxes.forEach((parts, n) => {
        const value = state[n], derivative = state[slot * track.count + n];
        write(parts.value, value ? boxed(steps, value - 1) : DASH);
        if (parts.derivative) {
          write(parts.derivative, !suffix ? "" : derivative ? boxed(steps, derivative - 1) : DASH);
          write(parts.name, suffix ? `${clipped(nodes.name[n])}_${suffix}` : "");
          write(parts.sign, suffix ? "\u00a0=\u00a0" : "");
          [parts.derivative, parts.name, parts.sign].forEach((text) => {
            text?.classList.toggle("fill-tangent", suffix === "dot");
            text?.classList.toggle("fill-adjoint", suffix === "bar");
          });
        }
        mark(parts.box, [
          ["known", value], ["has-tangent", suffix === "dot" && derivative], ["has-adjoint", suffix === "bar" && derivative],
          ["now", n === node], ["now-value", n === node && phase === "p"], ["now-tangent", n === node && phase === "t"],
          ["now-adjoint", n === node && phase === "a"], ["child", n === child], ["picked", n === chosen.node],
        ]);
        const words = [`${nodes.kind[n]} ${called(n, nodes)}`, `value ${value ? steps.text[value - 1] : "not computed yet"}`];
        if (suffix && parts.derivative) words.push(`${slot === 1 ? "tangent" : "adjoint"} ${derivative ? scaled(steps, derivative - 1) : "not computed yet"}`);
        parts.box.setAttribute("aria-label", words.join(", "));
        parts.box.setAttribute("tabindex", n === (node < 0 || !boxes.has(node) ? boxes.keys().next().value : node) ? "0" : "-1");
      });
      const within = (inside, n) => n >= 0 && inside.some(([from, to]) => n >= from && n <= to);
      groups.forEach(({ box, inside }) => mark(box, [["known", state[inside[0][0]]], ["now", within(inside, node)], ["now-value", within(inside, node)]]));
      frames.forEach(({ cluster, inside }) => cluster.classList.toggle("now", within(inside, node)));
      const home = (n) => (boxes.has(n) ? String(n) : `s${groups.find(({ inside }) => within(inside, n))?.box.dataset.sheet}`);
      const from = node < 0 ? "" : home(node), to = child < 0 ? "" : home(child), args = node < 0 ? [] : nodes.args[node].map(home);
      edges.forEach(({ edge, tail, head }) => mark(edge, [
        ["flows", phase && phase !== "a" && head === from && args.includes(tail)],
        ["flows-back", phase === "a" && tail === from && head === to],
      ]));
      fit(this.frame);
      const box = boxes.get(node)?.box ?? groups.find(({ inside }) => within(inside, node))?.box;
      if (box) reveal(this.frame, box);
    }
    // Opens or closes the frame of a scope where it stands: nothing moves. A closed one lies over what it holds.
    toggle(chosen) {
      const root = chosen.closest(".sheet"), key = [Number(root.closest(".figure").dataset.figure), Number(root.dataset.sheet)];
      const { boxes, edges, frames } = this.sheet(...key), covered = new Set();
      if (this.closed.has(chosen)) this.closed.delete(chosen); else this.closed.add(chosen);
      const over = (outer, inner) => outer !== inner && inner.every(([from, to]) => outer.some(([low, high]) => from >= low && to <= high));
      frames.forEach(({ cluster, inside }) => {
        const closed = this.closed.has(cluster), layer = cluster.parentNode;
        cluster.classList.toggle("closed", closed);
        cluster.setAttribute("aria-expanded", String(!closed));
        cluster.setAttribute("aria-label", `${cluster.querySelector("title").textContent}, ${closed ? "closed" : "open"}`);
        if (closed) boxes.forEach((_, n) => { if (inside.some(([from, to]) => n >= from && n <= to)) covered.add(String(n)); });
        if (closed) layer.append(cluster); else if (cluster === chosen) layer.insertBefore(cluster, layer.querySelector(".node, .edge"));
      });
      frames.forEach(({ cluster, inside }) =>
        cluster.classList.toggle("covered", frames.some((outer) => this.closed.has(outer.cluster) && over(outer.inside, inside))));
      boxes.forEach((parts, n) => parts.box.classList.toggle("covered", covered.has(String(n))));
      edges.forEach(({ edge, tail, head }) => edge.classList.toggle("covered", covered.has(tail) && covered.has(head)));
    }
  }
  const called = (n, nodes) => nodes.name[n] + (nodes.alias[n] ? ` (${nodes.alias[n]})` : "");
  const clipped = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);
  function mark(box, classes) { classes.forEach(([name, on]) => box.classList.toggle(name, Boolean(on))); }
  function write(text, said) {
    if (!text || text.textContent === said) return;
    const room = Number(text.dataset.room ?? 0), most = 26;
    text.textContent = said.length > Math.max(room, 1) && said.length > most ? `${said.slice(0, most - 1)}…` : said;
    if (room && text.textContent.length > room) {
      text.setAttribute("textLength", String(room * 6.62));
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    } else text.removeAttribute("textLength");
  }
  // As large as fits, but never too small to be read: what does not fit is scrolled to.
  function fit(frame) {
    const svg = Array.from(frame.querySelectorAll(".sheet")).find((sheet) => !sheet.closest("[hidden]"))?.querySelector("svg");
    if (!svg) return;
    const { width, height } = svg.viewBox.baseVal, wide = (frame.clientWidth - 2) / width, high = (innerHeight * 0.7) / height;
    const scale = Math.min(Math.max(Math.min(wide, high), Math.min(1.1, Math.max(wide, 0.84))), 1.4);
    svg.style.width = `${(width * scale).toFixed(0)}px`;
    svg.style.height = `${(height * scale).toFixed(0)}px`;
  }
  function reveal(frame, box) {
    const outer = frame.getBoundingClientRect(), inner = box.getBoundingClientRect(), margin = 24;
    const by = (low, high, from, to) => (low < from + margin ? low - from - margin : high > to - margin ? Math.min(high - to + margin, low - from - margin) : 0);
    frame.scrollTop += by(inner.top, inner.bottom, outer.top, outer.bottom);
    frame.scrollLeft += by(inner.left, inner.right, outer.left, outer.right);
  }

  // ------------------------------------------------------------------ arrays
  const SVG = "http://www.w3.org/2000/svg";
  function heat(raw, factor) {
    const rows = raw.rows, most = Math.max(...rows.flat().map((x) => Math.abs(Number(x))).filter(Number.isFinite), 0), size = 13;
    const svg = document.createElementNS(SVG, "svg"), wide = Math.max(...rows.map((row) => row.length), 0);
    svg.setAttribute("class", "heat");
    svg.setAttribute("width", wide * size);
    svg.setAttribute("height", rows.length * size);
    svg.setAttribute("role", "img");
    const ends = [raw.least, raw.most].map((x) => (x === null ? "none" : brief(Number(x) * factor))).sort((a, b) => Number(a) - Number(b));
    svg.setAttribute("aria-label", `heat map of shape ${raw.shape.join("×")}, from ${ends[0]} to ${ends[1]}${raw.odd ? `, ${raw.odd} not finite` : ""}`);
    rows.forEach((row, r) => row.forEach((entry, c) => {
      const x = Number(entry) * factor, cell = document.createElementNS(SVG, "g"), square = document.createElementNS(SVG, "rect");
      cell.setAttribute("transform", `translate(${c * size} ${r * size})`);
      square.setAttribute("width", size - 1);
      square.setAttribute("height", size - 1);
      square.setAttribute("class", x < 0 ? "below" : Number.isNaN(x) ? "odd" : "above");
      if (Number.isFinite(x)) square.setAttribute("fill-opacity", most ? (0.06 + 0.9 * Math.abs(x / factor) / most).toFixed(2) : "0.06");
      cell.append(square);
      if (x < 0 || !Number.isFinite(x)) { // a sign, so that it does not depend on colours
        const sign = document.createElementNS(SVG, "path");
        sign.setAttribute("d", x < 0 ? "M3.5 6H8.5" : "M3 3L9 9M9 3L3 9");
        cell.append(sign);
      }
      svg.append(cell);
    }));
    return svg;
  }
  function described(title, i, steps) {
    const part = document.createElement("div"), head = document.createElement("h3"), raw = steps.raw[i], factor = steps.phase[i] === "p" ? 1 : chosen.seed;
    head.textContent = title;
    part.append(head);
    if (raw === null || typeof raw !== "object") {
      const said = document.createElement("p");
      said.textContent = scaled(steps, i);
      part.append(said);
      return part;
    }
    const whole = raw.rows.length * (raw.rows[0]?.length ?? 0) === raw.shape.reduce((a, b) => a * b, 1);
    const said = document.createElement("p");
    said.textContent = `shape ${raw.shape.join("×")}${raw.least === null ? "" : `, from ${brief(Math.min(raw.least * factor, raw.most * factor))} to ${brief(Math.max(raw.least * factor, raw.most * factor))}`}`
      + `${raw.odd ? `, ${raw.odd} not finite` : ""}${whole ? "" : `; its ${raw.shape.length === 1 ? "first" : "corner of"} ${raw.shape.length === 1 ? raw.rows[0].length : `${raw.rows.length}×${raw.rows[0]?.length ?? 0}`}`}`;
    part.append(said);
    if (!raw.rows.length || !raw.rows[0].length) return part;
    const numbers = document.createElement("details"), summary = document.createElement("summary"), table = document.createElement("table");
    summary.textContent = "numbers";
    raw.rows.forEach((row) => {
      const line = table.insertRow();
      row.forEach((entry) => { line.insertCell().textContent = typeof entry === "number" ? brief(entry * factor, 5) : entry; });
    });
    table.tabIndex = 0; // it may be wider than the page
    table.setAttribute("aria-label", `numbers of ${title}`);
    numbers.append(summary, table);
    part.append(heat(raw, factor), numbers);
    return part;
  }
  return { data, chosen, DASH, brief, scaled, Track, joined, View, called, fit, described };
})();

// The page at one step: what is said, lit and asked, and how one gets from step to step.
(() => {
  const element = (id) => document.getElementById(id);
  const { data, chosen, DASH, brief, scaled, Track, joined, View, called, fit, described } = stepping;
  const { figures, tabs, programs } = data;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const WORDS = { p: "value", t: "tangent", a: "adjoint" }, score = { right: 0, asked: 0 };
  let tab = tabs[0], pass = 0, at = 0, timer = null, asking = null;

  const passes = new Map();
  function tracks() {
    if (!passes.has(tab.mode)) {
      const own = figures[tab.figure].tracks;
      const of = (mode) => own.filter((track) => track.mode === mode);
      passes.set(tab.mode, tab.mode === "compare" ? [joined(of("forward")), joined(of("reverse"))]
        : tab.tracks.map((place) => new Track(tab.figure, own[place])));
    }
    return passes.get(tab.mode);
  }
  const comparing = () => tab.mode === "compare";
  const current = () => tracks()[comparing() ? 0 : pass];
  const length = () => (comparing() ? Math.max(...tracks().map((track) => track.order.length)) : current().order.length);

  // ------------------------------------------------------------------ the step in words
  const left = new View(element("left"));
  let right = null;
  function rightView() {
    if (right) return right;
    const frame = element("right");
    [...left.closed].forEach((cluster) => left.toggle(cluster)); // so that the copy begins with all scopes open
    left.frame.querySelectorAll(".figure").forEach((figure) => frame.append(figure.cloneNode(true)));
    frame.querySelectorAll("[id]").forEach((one) => { if (one.id !== "right-title") one.id += "-2"; });
    listen(frame);
    right = new View(frame);
    return right;
  }
  const suffixOf = (mode) => ({ forward: "dot", reverse: "bar" })[mode] ?? "";
  const sentence = (i, steps, nodes) => {
    const name = called(steps.node[i], nodes), from = steps.child[i] < 0 ? "" : `, from its child ${called(steps.child[i], nodes)}`;
    return `${WORDS[steps.phase[i]]} of ${name}${from}`;
  };
  const suffixed = (i, steps, nodes) => nodes.name[steps.node[i]] + { p: "", t: "_dot", a: "_bar" }[steps.phase[i]];
  function plain(i, steps, nodes) {
    const name = suffixed(i, steps, nodes), rule = steps.rule[i], numbers = steps.numbers[i], added = steps.term[i] !== null;
    const sign = added ? "+=" : "=", lines = [rule ? `${name} ${sign} ${rule}` : `${name} = ${steps.text[i]}`];
    if (numbers && numbers !== rule) lines.push(`${sign} ${numbers}`);
    if (added) lines.push(`${steps.before[i]} + ${steps.term[i].startsWith("-") ? `(${steps.term[i]})` : steps.term[i]} = ${steps.text[i]}`);
    else if (rule) lines.push(`= ${steps.text[i]}`);
    return lines;
  }
  function equation(i, steps, nodes, into) {
    into.replaceChildren();
    const head = document.createElement("h2");
    head.textContent = sentence(i, steps, nodes);
    head.className = `phase-${WORDS[steps.phase[i]]}`;
    into.append(head);
    const lines = steps.math?.[i];
    (lines ?? plain(i, steps, nodes)).forEach((line) => {
      const row = document.createElement("div");
      row.className = "line";
      if (lines) row.innerHTML = line; else row.textContent = line; // MathML made and escaped by Python
      into.append(row);
    });
    if (chosen.seed !== 1 && steps.phase[i] !== "p") {
      const row = document.createElement("div");
      row.className = "line times";
      row.textContent = `times the seed ${brief(chosen.seed)}: ${scaled(steps, i)}`;
      into.append(row);
    }
  }
  const spoken = (i, steps, nodes) => {
    const name = suffixed(i, steps, nodes), rule = steps.rule[i], value = scaled(steps, i);
    const by = steps.term[i] !== null ? `${name} += ${rule}, which makes` : `${name} =${rule ? ` ${rule} =` : ""}`;
    return `${sentence(i, steps, nodes)}: ${by} ${value}`;
  };

  function counters() {
    const box = element("counters"), [into, out] = data.size, all = figures[0].tracks;
    box.hidden = !comparing();
    if (!comparing()) return;
    box.replaceChildren();
    const summary = document.createElement("p"), plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
    const needed = (n, word) => plural(n, word).replace(/pass$/, "pass").replace("passs", "passes");
    summary.textContent = `${plural(into, "input number")}, ${plural(out, "output number")}: ${needed(into, "forward pass")}, ${needed(out, "reverse pass")} for all derivatives.`;
    const table = document.createElement("table"), done = tracks().map((track) => {
      const steps = figures[0].steps, taken = track.order.slice(0, Math.min(at, track.order.length));
      const finished = track.phases.filter(([, ], k) => (track.phases[k + 1]?.[0] ?? track.order.length) <= taken.length).length;
      const operations = (phase) => taken.filter((i) => steps.phase[i] === phase && steps.rule[i] && steps.rule[i] !== "seed").length;
      return [`${finished} of ${all.filter((one) => one.mode === track.mode).length}`, operations("p"), operations(track.mode === "forward" ? "t" : "a")];
    });
    [["", "forward", "reverse"], ["passes finished", done[0][0], done[1][0]], ["values computed", done[0][1], done[1][1]],
      ["tangents, adjoint terms", done[0][2], done[1][2]]].forEach((cells, k) => {
      const row = table.insertRow();
      cells.forEach((text, column) => {
        const cell = document.createElement(k && column || text === "" ? "td" : "th");
        if (cell.tagName === "TH") cell.scope = k ? "row" : "col";
        cell.textContent = text;
        row.append(cell);
      });
    });
    box.append(summary, table);
  }

  // ------------------------------------------------------------------ one node: its whole sum, its array
  function inspect() {
    const box = element("inspector"), track = current(), { steps, nodes } = figures[track.figure];
    box.replaceChildren();
    const state = track.state(Math.min(at, track.order.length)), now = at ? track.order[Math.min(at, track.order.length) - 1] : -1;
    const n = chosen.node ?? (now >= 0 && typeof steps.raw[now] === "object" && steps.raw[now] !== null ? steps.node[now] : null);
    box.hidden = n === null;
    if (n === null) return;
    const head = document.createElement("h2"), about = document.createElement("p");
    head.textContent = called(n, nodes);
    about.textContent = `${nodes.kind[n]}, ${nodes.dtype[n]}${nodes.shape[n] ? `, shape ${nodes.shape[n]}` : ""}`;
    box.append(head, about);
    if (chosen.node !== null) {
      const close = document.createElement("button");
      close.type = "button";
      close.textContent = "Close";
      close.addEventListener("click", () => pick(null));
      head.append(" ", close);
      sums(n, track, box);
    }
    [0, 1, 2].forEach((slot) => {
      const i = state[slot * track.count + n] - 1;
      if (i >= 0 && (nodes.shape[n] || chosen.node === null)) box.append(described(WORDS["pta"[slot]], i, steps));
    });
  }
  // The chain rule of a node: each term of its sum, those that have not arrived yet as well.
  function sums(n, track, box) {
    const { steps, nodes } = figures[track.figure], done = Math.min(at, track.order.length);
    const list = document.createElement("ul");
    track.order.forEach((i, k) => {
      if (steps.node[i] !== n) return;
      const item = document.createElement("li"), known = k < done, numbers = steps.numbers[i];
      const from = steps.child[i] < 0 ? "" : ` (from ${nodes.name[steps.child[i]]})`;
      const own = steps.term[i] ?? steps.text[i], end = known ? ` = ${numbers && numbers !== steps.rule[i] ? `${numbers} = ` : ""}${own}` : `: not computed yet`;
      item.textContent = `${suffixed(i, steps, nodes)} ${steps.term[i] === null ? "=" : "+="} ${steps.rule[i] || "given"}${end}${from}`;
      item.className = known ? "" : "pending";
      list.append(item);
    });
    box.append(list);
    if (chosen.seed !== 1 && track.scalable) {
      const note = document.createElement("p");
      note.textContent = `For the seed 1; times ${brief(chosen.seed)} for the seed chosen.`;
      box.append(note);
    }
  }
  function pick(n) {
    chosen.node = n;
    draw();
    remember();
  }

  // ------------------------------------------------------------------ the page at one step
  let part = 0;
  function draw() {
    const track = current(), { steps, nodes } = figures[track.figure], frame = Math.min(at, track.order.length);
    const now = frame ? track.order[frame - 1] : -1;
    element("right").hidden = !comparing();
    element("left-title").textContent = comparing() ? "forward" : "";
    element("right-title").textContent = comparing() ? "reverse" : "";
    if (document.body.dataset.mode !== tab.mode) document.body.dataset.mode = tab.mode; // which restyles everything
    document.body.classList.toggle("scaled", chosen.seed !== 1);
    follow(track, now);
    left.show(track, frame, part, suffixOf(track.mode));
    if (comparing()) rightView().show(tracks()[1], Math.min(at, tracks()[1].order.length), part, suffixOf("reverse"));
    const box = element("equation");
    if (comparing()) {
      box.replaceChildren();
      tracks().forEach((one) => {
        const k = Math.min(at, one.order.length), half = document.createElement("div");
        half.className = "half";
        if (k) equation(one.order[k - 1], steps, nodes, half); else half.textContent = `${one.mode}: not begun`;
        if (at > one.order.length) half.append(finished(one));
        box.append(half);
      });
    } else if (now < 0) {
      box.replaceChildren();
      const head = document.createElement("h2"), said = document.createElement("p");
      head.textContent = "Nothing is computed yet";
      said.textContent = "Next, or the right arrow key, takes the first step.";
      box.append(head, said);
    } else equation(now, steps, nodes, box);
    element("source").textContent = now >= 0 && nodes.source[steps.node[now]] ? nodes.source[steps.node[now]] : "";
    const [, title] = track.phases.findLast(([begin]) => begin < Math.max(frame, 1)) ?? [0, ""];
    element("count").textContent = `${at} of ${length()}`;
    element("slider").value = at;
    element("slider").setAttribute("aria-valuetext", `step ${at} of ${length()}, ${title}`);
    const other = comparing() ? tracks()[1] : null, beside = other ? other.order[Math.min(at, other.order.length) - 1] : undefined;
    element("status").textContent = now < 0 ? "Before the first step."
      : `Step ${at} of ${length()}: ${spoken(now, steps, nodes)}.${beside === undefined ? "" : ` Beside it: ${spoken(beside, steps, nodes)}.`}`;
    if (asking === null) element("question").hidden = true;
    table(track, frame, now);
    light(now, steps);
    counters();
    inspect();
  }
  function finished(track) {
    const said = document.createElement("p");
    said.className = "done";
    said.textContent = `The ${track.mode} ${track.phases.length === 1 ? "pass is" : "passes are"} finished.`;
    return said;
  }
  // Whoever has opened a part of a large graph is taken to the part in which the step is.
  function follow(track, now) {
    const sheets = figures[track.figure].sheets;
    if (part >= sheets.length) part = 0;
    if (now >= 0 && part) {
      const node = figures[track.figure].steps.node[now];
      const holds = (place) => left.sheet(track.figure, place).boxes.get(node);
      if (!holds(part)) part = Math.max(0, sheets.findIndex((_, place) => place && holds(place)));
    }
    element("sheet").value = String(part);
  }
  let lit = null, underlined = null;
  const cells = new Map(), MOST_MARKED = 400, MOST_LAID_OUT = 120; // rows: up to the first, each term says whether it has arrived
  function rowsOf(figure) {
    if (!cells.has(figure)) {
      const body = element("table").querySelector(`[data-figure="${figure}"] tbody`);
      const few = body.rows.length <= MOST_MARKED;
      cells.set(figure, Array.from(body.rows, (row) => ({
        row, seed: null, shown: [null, null, null], parts: [".value", ".tangent", ".adjoint"].map((kind) => row.querySelector(kind)),
        terms: few ? Array.from(row.querySelectorAll("[data-step]")) : [],
      })));
    }
    return cells.get(figure);
  }
  // Of a long table the rows around the step: a browser lays out a hundred rows at once, five thousand it does not.
  function windowed(rows, n) {
    const inside = (k) => k >= rows.from && k < rows.from + MOST_LAID_OUT;
    if (rows.guest !== undefined && !inside(rows.guest)) rows[rows.guest].row.hidden = true;
    rows.away = rows.from === undefined ? 9 : inside(n) ? 0 : rows.away + 1;
    if (rows.away > 3) { // not only an input whose adjoint gets a term now and then
      rows.from = Math.max(0, n - Math.floor(MOST_LAID_OUT / 2));
      rows.forEach(({ row }, k) => { row.hidden = !inside(k); });
    }
    rows[rows.guest = n].row.hidden = false;
  }
  function table(track, frame, now) {
    const root = element("table"), { steps } = figures[track.figure];
    root.querySelectorAll(".figure").forEach((one) => { one.hidden = Number(one.dataset.figure) !== track.figure; });
    const states = comparing() ? tracks().map((one) => one.state(Math.min(at, one.order.length))) : [track.state(frame)];
    const rows = rowsOf(track.figure), few = rows.length <= MOST_MARKED, reached = new Set(few ? track.order.slice(0, frame) : []);
    if (few && comparing()) tracks()[1].order.slice(0, at).forEach((i) => reached.add(i));
    rows.forEach((one, n) => {
      one.parts.forEach((cell, slot) => {
        if (!cell) return;
        const place = slot * track.count + n, i = states.length === 1 ? states[0][place] : Math.max(states[0][place], states[1][place]);
        if (one.shown[slot] === i && one.seed === chosen.seed) return;
        one.shown[slot] = i;
        cell.textContent = i ? scaled(steps, i - 1) : DASH;
      });
      one.seed = chosen.seed;
      one.terms.forEach((term) => term.classList.toggle("pending", !reached.has(Number(term.dataset.step))));
    });
    underlined?.classList.remove("picked");
    underlined = chosen.node === null ? null : rows[chosen.node].row;
    underlined?.classList.add("picked");
    if (!few) windowed(rows, now < 0 ? 0 : steps.node[now]);
    lit?.classList.remove("now");
    lit?.removeAttribute("aria-current");
    lit = now < 0 ? null : rows[steps.node[now]].row;
    lit?.classList.add("now");
    lit?.setAttribute("aria-current", "step");
  }
  let running = null;
  function light(now, steps) {
    const root = element("program"), program = programs[tab.program];
    root.hidden = !program;
    root.querySelectorAll("pre").forEach((one) => { one.hidden = Number(one.dataset.listing) !== program?.listing; });
    running?.classList.remove("now");
    running?.removeAttribute("aria-current");
    running = null;
    if (!program || now < 0) return;
    const n = steps.node[now], own = steps.phase[now] === "p" ? program.values[n] : program.derivatives[n] ?? -1;
    const place = own < 0 && steps.child[now] >= 0 ? program.derivatives[steps.child[now]] : own; // d a / d b = 1: the child's line serves
    const box = root.querySelector(`[data-listing="${program.listing}"]`), line = box.firstElementChild.children[place];
    if (!line) return;
    running = line;
    line.classList.add("now");
    line.setAttribute("aria-current", "step");
    const above = line.offsetTop - box.scrollTop;
    if (above < 30 || above > box.clientHeight - 60) box.scrollTop = line.offsetTop - box.clientHeight / 2;
  }

  // ------------------------------------------------------------------ moving
  function pause() {
    clearTimeout(timer);
    timer = null;
    element("play").setAttribute("aria-label", "play");
    element("play").classList.remove("playing");
  }
  function go(to, keep = false) {
    if (!keep) pause();
    asking = null;
    at = Math.min(Math.max(Math.round(to) || 0, 0), length());
    draw();
    remember();
  }
  function next() {
    if (asking !== null) { score.asked++; tell("Here it is."); return; }
    if (at >= length()) return;
    if (element("quiz").checked && !comparing() && ask(current().order[at])) return;
    go(at + 1);
  }
  function play() {
    if (at >= length()) at = 0;
    element("play").setAttribute("aria-label", "pause");
    element("play").classList.add("playing");
    const tick = () => {
      go(at + 1, true);
      const { steps, nodes } = figures[current().figure], stop = element("stop").value.trim();
      const halted = stop !== "" && tracks().some((track) => nodes.name[steps.node[track.order[at - 1]]] === stop);
      if (at >= length() || halted) { pause(); return; }
      timer = setTimeout(tick, Math.max(20, (calm.matches ? 1600 : 900) / Number(element("speed").value)));
    };
    timer = setTimeout(tick, 60);
  }

  // ------------------------------------------------------------------ quiz
  function ask(i) {
    const { steps, nodes } = figures[current().figure], raw = steps.raw[i];
    if (steps.phase[i] === "p" || steps.rule[i] === "seed" || typeof raw !== "number") return false;
    asking = i;
    pause();
    const box = element("equation"), head = document.createElement("h2"), rule = document.createElement("div");
    box.replaceChildren();
    head.textContent = sentence(i, steps, nodes);
    rule.className = "line";
    if (steps.math) rule.innerHTML = steps.math[i][0]; else rule.textContent = plain(i, steps, nodes)[0]; // MathML made and escaped by Python
    box.append(head, rule);
    left.sheet(current().figure, part).boxes.get(steps.node[i])?.box.classList.add("picked");
    element("asked").textContent = `${suffixed(i, steps, nodes)} = ?${chosen.seed === 1 ? "" : ` (seed ${brief(chosen.seed)})`}`;
    element("answer").value = "";
    element("verdict").textContent = "";
    element("question").hidden = false;
    element("status").textContent = `What is the ${sentence(i, steps, nodes)}?`;
    element("answer").focus();
    return true;
  }
  function tell(said) {
    const i = asking, { steps, nodes } = figures[current().figure];
    go(at + 1);
    element("question").hidden = false;
    element("asked").textContent = `${suffixed(i, steps, nodes)} = ${scaled(steps, i)}`;
    element("verdict").textContent = `${said} ${score.right} of ${score.asked} right.`;
    element("next").focus();
  }
  function check(event) {
    event.preventDefault();
    if (asking === null) return;
    const given = element("answer").value.trim().replace(",", ".").replace("−", "-"), { steps } = figures[current().figure];
    const right = Number(steps.raw[asking]) * chosen.seed, answer = Number(given);
    if (given === "" || Number.isNaN(answer)) { element("verdict").textContent = "Write a number, such as -0.25."; return; }
    score.asked++;
    if (Math.abs(answer - right) <= 5e-3 * Math.abs(right) + 1e-9) { score.right++; tell("Right."); return; }
    element("verdict").textContent = `Not yet. With its numbers: ${steps.numbers[asking] || steps.rule[asking]}`;
    element("answer").select();
  }

  // ------------------------------------------------------------------ choosing
  function choose(mode, keep = {}) {
    pause();
    asking = null;
    chosen.node = null;
    tab = tabs.find((one) => one.mode === mode) ?? tabs[0];
    document.querySelectorAll("[role=tab]").forEach((one) => {
      const on = one.dataset.mode === tab.mode;
      one.setAttribute("aria-selected", String(on));
      one.tabIndex = on ? 0 : -1;
    });
    element("stage").setAttribute("aria-labelledby", `tab-${tab.mode}`);
    pass = keep.pass ?? 0;
    chosen.seed = keep.seed ?? 1;
    part = 0;
    const derivative = tab.mode === "forward" || tab.mode === "reverse", all = tracks();
    element("pass-label").hidden = !derivative || all.length < 2;
    element("pass-label").firstElementChild.textContent = tab.mode === "forward" ? "with respect to" : "of";
    element("pass").replaceChildren(...all.map((track, place) => new Option(track.name, String(place), false, place === pass)));
    element("quiz-label").hidden = !derivative;
    element("sheet-label").hidden = figures[tab.figure].sheets.length < 2;
    element("sheet").replaceChildren(...figures[tab.figure].sheets.map((sheet, place) => new Option(place ? sheet.title : "the whole graph", String(place))));
    prepare();
  }
  function prepare() { // what depends on the pass
    const track = current(), { nodes } = figures[track.figure];
    const scalable = track.scalable && !comparing();
    element("seed-label").hidden = !scalable;
    if (!scalable) chosen.seed = 1;
    element("seed").value = String(chosen.seed);
    if (track.node >= 0) element("seed-name").textContent = `${nodes.name[track.node]}_${suffixOf(track.mode)} =`;
    element("slider").max = String(length());
    const marks = element("phases");
    marks.replaceChildren(...track.phases.map(([begin, title], k) => {
      const mark = document.createElement("span"), end = track.phases[k + 1]?.[0] ?? track.order.length;
      mark.style.flexGrow = String(end - begin);
      mark.textContent = track.phases.length > 8 && !title.startsWith("pass") ? String(k + 1) : title;
      return mark;
    }));
    if (comparing()) {
      const rest = document.createElement("span");
      rest.style.flexGrow = String(length() - track.order.length);
      marks.append(rest);
    }
  }

  // ------------------------------------------------------------------ what is shown is in the address
  let remembering = null;
  function remember() { // when it has come to rest: browsers refuse an address that changes all the time
    clearTimeout(remembering);
    remembering = setTimeout(() => {
      const track = current(), parts = [`mode=${tab.mode}`, `step=${at}`];
      if (pass && !comparing()) parts.push(`pass=${encodeURIComponent(track.name)}`);
      if (chosen.seed !== 1) parts.push(`seed=${chosen.seed}`);
      if (chosen.node !== null) parts.push(`node=${encodeURIComponent(figures[tab.figure].nodes.name[chosen.node])}`);
      try { history.replaceState(null, "", `#${parts.join("&")}`); } catch (error) { /* a page inside a notebook has no address */ }
    }, 200);
  }
  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1)), mode = asked.get("mode") ?? data.start;
    const own = tabs.find((one) => one.mode === mode) ?? tabs.find((one) => one.mode === data.start) ?? tabs[0];
    const place = own.tracks.findIndex((one) => figures[own.figure].tracks[one].name === asked.get("pass"));
    const factor = asked.has("seed") ? Number(asked.get("seed")) : 1;
    choose(own.mode, { pass: Math.max(0, place), seed: Number.isFinite(factor) ? factor : 1 });
    at = Math.min(Math.max(parseInt(asked.get("step") ?? "0", 10) || 0, 0), length());
    const node = figures[tab.figure].nodes.name.indexOf(asked.get("node") ?? "");
    chosen.node = node < 0 ? null : node;
    draw();
    const lost = asked.has("node") && node < 0;
    element("message").hidden = !lost;
    element("message").textContent = lost ? `There is no node called ${asked.get("node").slice(0, 40)} here.` : "";
  }

  // ------------------------------------------------------------------ wiring
  function activate(target) {
    const box = target.closest("[data-node], g[data-sheet], .cluster");
    if (!box) return false;
    if (box.classList.contains("cluster")) (box.closest("#right") ? right : left).toggle(box);
    else if (box.dataset.node !== undefined) pick(chosen.node === Number(box.dataset.node) ? null : Number(box.dataset.node));
    else { part = Number(box.dataset.sheet); open(); }
    return true;
  }
  function open() {
    const track = current();
    left.show(track, Math.min(at, track.order.length), part, suffixOf(track.mode));
    if (comparing()) rightView().show(tracks()[1], Math.min(at, tracks()[1].order.length), part, "bar");
    element("sheet").value = String(part);
  }
  function listen(frame) { frame.addEventListener("click", (event) => activate(event.target)); }
  listen(element("left"));
  element("table").addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-node]");
    if (row && !String(getSelection())) pick(chosen.node === Number(row.dataset.node) ? null : Number(row.dataset.node));
  });
  document.querySelectorAll("[role=tab]").forEach((one) => one.addEventListener("click", () => { choose(one.dataset.mode); go(0); }));
  const press = { first: () => go(0), back: () => go(at - 1), next, last: () => go(length()), play: () => (timer === null ? play() : pause()), help: () => element("keys").showModal() };
  Object.entries(press).forEach(([id, act]) => element(id).addEventListener("click", act));
  element("slider").addEventListener("input", () => go(Number(element("slider").value)));
  element("pass").addEventListener("change", () => { pass = Number(element("pass").value); prepare(); go(at); });
  element("sheet").addEventListener("change", () => { part = Number(element("sheet").value); open(); });
  element("seed").addEventListener("input", () => {
    const given = Number(element("seed").value);
    if (element("seed").value !== "" && Number.isFinite(given)) { chosen.seed = given; go(at); }
  });
  element("quiz").addEventListener("change", () => { asking = null; draw(); });
  element("question").addEventListener("submit", check);
  element("reveal").addEventListener("click", () => { if (asking !== null) { score.asked++; tell("Here it is."); } });
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
    if (target.closest("[role=tab]") && /^Arrow(Left|Right)$/.test(event.key)) {
      const all = Array.from(document.querySelectorAll("[role=tab]"));
      const other = all[(all.indexOf(target) + (event.key === "ArrowRight" ? 1 : all.length - 1)) % all.length];
      event.preventDefault();
      other.focus();
      other.click();
      return;
    }
    const inside = target.closest("#left, #right"), box = target.closest?.("[data-node]");
    if (event.key === "Enter" && inside && activate(target)) { event.preventDefault(); return; }
    if (box && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const all = Array.from(box.closest(".sheet").querySelectorAll("[data-node]")).sort((a, b) => a.dataset.node - b.dataset.node);
      const other = all[all.indexOf(box) + (event.key === "ArrowDown" ? 1 : -1)];
      event.preventDefault();
      other?.focus();
      return;
    }
    const mode = { f: "forward", r: "reverse" }[event.key.toLowerCase()];
    if (event.key === " " && target.closest("button, summary")) return;
    const acts = { ArrowLeft: press.back, ArrowRight: next, Home: press.first, End: press.last, " ": press.play, "?": press.help };
    if (mode && tabs.some((one) => one.mode === mode)) { choose(mode); go(0); }
    else if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
  addEventListener("hashchange", recall);
  addEventListener("resize", () => [left, right].forEach((view) => view && fit(view.frame)));
  document.documentElement.classList.add("live");
  recall();
})();

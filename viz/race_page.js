"use strict";
// Plays what Python computed. No optimizer runs here: another start is looked up among those that were run beforehand.
(() => {
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("race-data").textContent);
  const { view, plot, chart, axis, evaluations } = data;
  const last = evaluations.length - 1;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const slider = element("step"), play = element("play"), speed = element("speed"), ground = element("landscape");
  const own = data.racers.map((racer) => ({ x: racer.x, y: racer.y, t: racer.t, diverged: racer.diverged }));
  let runs = own, chosen = null, frame = last, moving = null, others = null;

  // ------------------------------------------------------------------ from numbers to the picture
  const across = (x) => plot.left + ((x - view[0]) / (view[1] - view[0])) * plot.width;
  const down = (y) => plot.top + ((view[3] - y) / (view[3] - view[2])) * plot.height;
  const along = (k) => chart.left + (evaluations[k] / evaluations[last]) * chart.width;
  const level = (t) => chart.top + ((axis.high - t) / (axis.high - axis.low)) * chart.height;
  const loss = (t) => (axis.log ? axis.floor + (t <= -16 ? 0 : 10 ** t) : t);
  const brief = (value) => {
    const v = +value.toPrecision(4);
    return v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(3).replace(/e([+-])(\d)$/, "e$10$2") : String(v);
  };
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const place = (mark, [x, y], shown) => {
    mark.setAttribute("visibility", shown ? "visible" : "hidden");
    if (shown) mark.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  };
  // Where a route is at its point `at`, or where it last left the picture.
  function leftAt(point, at, box) {
    const low = [box.left, box.top], high = [box.left + box.width, box.top + box.height];
    const within = (p) => p.every((v, d) => v >= low[d] - 0.01 && v <= high[d] + 0.01);
    let j = at;
    while (j >= 0 && !within(point(j))) j--;
    if (j === at) return { at: point(at), outside: false };
    if (j < 0) return { at: point(at).map((v, d) => clamp(v, low[d], high[d])), outside: true };
    const from = point(j), to = point(j + 1);
    const room = Math.min(...[0, 1].map((d) => (to[d] > from[d] ? (high[d] - from[d]) / (to[d] - from[d]) : to[d] < from[d] ? (low[d] - from[d]) / (to[d] - from[d]) : Infinity)));
    return { at: [0, 1].map((d) => from[d] + room * (to[d] - from[d])), outside: true };
  }

  function draw() {
    runs.forEach((run, i) => {
      const route = [], curve = [];
      let k = 0;
      for (; k <= frame && run.x[k] !== null; k++) {
        route.push(`${across(run.x[k]).toFixed(1)},${down(run.y[k]).toFixed(1)}`);
        curve.push(`${along(k).toFixed(1)},${level(run.t[k]).toFixed(1)}`);
      }
      const at = Math.max(k - 1, 0), lost = run.diverged !== null && evaluations[frame] >= run.diverged && k > 0;
      for (const part of ["halo", "path"]) element(`${part}-${i}`).setAttribute("points", route.join(" "));
      element(`curve-${i}`).setAttribute("points", curve.join(" "));
      if (!k) { // the function is not defined at this start
        for (const part of ["head", "cross", "curve-head", "curve-cross"]) place(element(`${part}-${i}`), [0, 0], false);
        element(`loss-${i}`).textContent = "–";
        return;
      }
      const seen = leftAt((j) => [across(run.x[j]), down(run.y[j])], at, plot), drawn = leftAt((j) => [along(j), level(run.t[j])], at, chart);
      const outside = seen.outside;
      place(element(`head-${i}`), seen.at, !lost && !outside);
      place(element(`cross-${i}`), seen.at, lost);
      place(element(`curve-head-${i}`), drawn.at, !lost && !drawn.outside);
      place(element(`curve-cross-${i}`), drawn.at, lost);
      element(`loss-${i}`).textContent = lost ? `diverged at ${run.diverged}` : brief(loss(run.t[at])) + (outside ? ", outside" : "");
    });
    element("cursor").setAttribute("transform", `translate(${along(frame).toFixed(1)} 0)`);
    const said = `${evaluations[frame]} of ${evaluations[last]}`;
    slider.value = frame;
    slider.setAttribute("aria-valuetext", `evaluation ${said}`);
    element("count").textContent = said;
    if (element("inside").open) look();
  }

  // ------------------------------------------------------------------ inside the optimizers
  function look() {
    const table = element("inside-table");
    table.replaceChildren();
    if (chosen !== null || !data.inside) {
      table.insertRow().insertCell().textContent = data.inside ? "Only for the race's own start: put it back to look." : "Too long a race to be kept here.";
      return;
    }
    data.inside.forEach((racer, i) => {
      const row = table.insertRow(), name = document.createElement("th"), held = racer.values[frame];
      name.scope = "row";
      name.textContent = data.racers[i].name;
      row.append(name);
      const cell = row.insertCell();
      if (!held) cell.textContent = frame ? "nothing new at this evaluation" : "no step yet";
      else racer.names.forEach((title, j) => {
        const item = document.createElement("span"), label = document.createElement("b");
        label.textContent = title;
        item.append(label, ` (${held[2 * j] ?? "–"}, ${held[2 * j + 1] ?? "–"})`);
        cell.append(item, " ");
      });
    });
  }

  // ------------------------------------------------------------------ playing
  function stop() {
    if (moving !== null) cancelAnimationFrame(moving);
    moving = null;
    play.textContent = "Play";
    remember();
  }
  function start() {
    if (frame >= last) frame = 0;
    let position = frame, before = null, held = 0;
    play.textContent = "Pause";
    const tick = (now) => {
      const passed = before === null ? 0 : Math.min(now - before, 100);
      before = now;
      const pace = (last / 12000) * Number(speed.value); // frames a millisecond: the whole race in twelve seconds
      held += passed;
      if (!calm.matches) position += passed * pace;
      else if (held >= 1000) { position += 1000 * pace; held = 0; } // whole seconds at a time instead of movement
      const next = Math.min(last, Math.floor(position));
      if (next !== frame || before === null) { frame = next; draw(); }
      if (frame >= last) stop(); else moving = requestAnimationFrame(tick);
    };
    draw();
    moving = requestAnimationFrame(tick);
  }
  function go(to) { stop(); frame = clamp(Math.round(to), 0, last); draw(); remember(); }

  // ------------------------------------------------------------------ other starts
  async function unpack() {
    const packed = Uint8Array.from(atob(data.starts.packed), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const { side, scales } = data.starts, frames = last + 1, count = side * side * runs.length * frames, planes = [];
    for (let p = 0; p < 3; p++) { // low bytes, then high bytes, of differences along a run
      const plane = new Uint16Array(count);
      for (let j = 0; j < count; j++) {
        const change = bytes[2 * p * count + j] + 256 * bytes[(2 * p + 1) * count + j];
        plane[j] = j % frames ? plane[j - 1] + change : change;
      }
      planes.push(plane);
    }
    return (number) => runs.map((_, i) => {
      const from = (number * runs.length + i) * frames, diverged = data.starts.diverged[number * runs.length + i];
      const values = planes.map((plane, p) => Array.from(plane.subarray(from, from + frames), (code) =>
        code === 65535 ? null : scales[p][0] + (code / 65534) * (scales[p][1] - scales[p][0])));
      return { x: values[0], y: values[1], t: values[2], diverged: diverged < 0 ? null : diverged };
    });
  }
  const startAt = (number) => [data.starts.x[number % data.starts.side], data.starts.y[Math.floor(number / data.starts.side)]];
  async function choose(number) {
    const said = element("chosen");
    if (number !== null && !others) {
      try { others = await unpack(); } catch (error) { said.textContent = "This browser cannot unpack the other starts."; return; }
    }
    chosen = number;
    runs = number === null ? own : others(number);
    const at = number === null ? data.start : startAt(number);
    const shown = `(${at.map(brief).join(", ")})`;
    said.textContent = number === null ? `Start ${shown}, the race’s own.`
      : data.starts.ok[number] ? `Start ${shown}, the nearest of ${data.starts.side ** 2}; same rates.`
      : `Start ${shown}: not defined there.`;
    element("back").hidden = number === null;
    element("start").setAttribute("transform", `translate(${across(at[0]).toFixed(1)} ${down(at[1]).toFixed(1)})`);
    draw();
    remember();
  }
  function pick(event) {
    const box = ground.getBoundingClientRect(), unit = ground.viewBox.baseVal.width / box.width;
    const x = ((event.clientX - box.left) * unit - plot.left) / plot.width, y = ((event.clientY - box.top) * unit - plot.top) / plot.height;
    if (x < 0 || x > 1 || y < 0 || y > 1) return;
    const side = data.starts.side, column = clamp(Math.floor(x * side), 0, side - 1), row = clamp(Math.floor((1 - y) * side), 0, side - 1);
    choose(row * side + column);
  }
  function move(event) { // the arrow keys go from start to start
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Escape" && chosen !== null) choose(null);
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const side = data.starts.side;
    if (chosen === null) { // begin at the one nearest to the race's own start
      const near = (list, value) => list.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(list[best] - value) ? i : best), 0);
      choose(near(data.starts.y, data.start[1]) * side + near(data.starts.x, data.start[0]));
    } else choose(clamp(Math.floor(chosen / side) + by[1], 0, side - 1) * side + clamp((chosen % side) + by[0], 0, side - 1));
  }

  // ------------------------------------------------------------------ what is shown is in the address
  const toggles = data.racers.map((_, i) => element(`toggle-${i}`));
  function toggle() {
    toggles.forEach((box, i) => document.querySelectorAll(`.racer-${i}`).forEach((part) => part.classList.toggle("off", !box.checked)));
  }
  function remember() {
    const hidden = toggles.flatMap((box, i) => (box.checked ? [] : [i]));
    const parts = [`step=${evaluations[frame]}`, ...(chosen === null ? [] : [`start=${chosen}`]), ...(hidden.length ? [`hide=${hidden}`] : [])];
    try { history.replaceState(null, "", `#${parts.join("&")}`); } catch (error) { /* a page inside a notebook has no address */ }
  }
  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const hidden = (asked.get("hide") ?? "").split(",").filter(Boolean).map(Number);
    toggles.forEach((box, i) => { box.checked = !hidden.includes(i); });
    toggle();
    const step = parseFloat(asked.get("step"));
    if (Number.isFinite(step)) frame = Math.max(0, evaluations.findLastIndex((k) => k <= step));
    const number = asked.has("start") ? Number(asked.get("start")) : NaN;
    if (data.starts && Number.isInteger(number) && number >= 0 && number < data.starts.side ** 2) choose(number); else draw();
  }

  // ------------------------------------------------------------------ wiring
  slider.max = last;
  slider.addEventListener("input", () => go(Number(slider.value)));
  play.addEventListener("click", () => (moving === null ? start() : stop()));
  toggles.forEach((box) => box.addEventListener("change", () => { toggle(); remember(); }));
  element("inside").addEventListener("toggle", () => { if (element("inside").open) look(); });
  element("losses").addEventListener("click", (event) => {
    const box = element("losses").getBoundingClientRect(), unit = element("losses").viewBox.baseVal.width / box.width;
    const asked = (((event.clientX - box.left) * unit - chart.left) / chart.width) * evaluations[last];
    go(evaluations.findLastIndex((k) => k <= clamp(asked, 0, evaluations[last])));
  });
  if (data.starts) {
    ground.setAttribute("tabindex", "0");
    ground.setAttribute("role", "application");
    ground.addEventListener("click", pick);
    ground.addEventListener("keydown", move);
    element("back").addEventListener("click", () => choose(null));
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, button, summary")) return;
    const to = { ArrowLeft: frame - 1, ArrowRight: frame + 1, Home: 0, End: last }[event.key];
    if (event.key === " ") { event.preventDefault(); if (moving === null) start(); else stop(); }
    else if (to !== undefined) { event.preventDefault(); go(to); }
  });
  addEventListener("hashchange", recall);
  document.documentElement.classList.add("live");
  recall();
})();

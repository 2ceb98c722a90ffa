// The plot: tens of thousands of points on a canvas. One layer holds all of them and is painted where the view or what is
// lit changes; a second one above it holds what moves: the chosen point, the marked ones, the shape that is drawn.
"use strict";

async function draw(place) {
  const answer = await fetch(place.dataset.from);
  place.removeAttribute("aria-busy");
  if (!answer.ok) { place.querySelector("p").textContent = await answer.text(); return; }
  const data = await answer.json();
  place.querySelector("p").remove();
  place.append(document.getElementById("plane").content.cloneNode(true));
  plotted(place, data);
}

function plotted(place, data) {
  const count = data.x.length, { width, height } = data;
  const box = place.querySelector(".canvases"), [under, over] = box.querySelectorAll("canvas");
  const told = place.querySelector("#point"), labels = place.querySelector(".labels");
  const lit = new Set(), marked = new Uint8Array(count);
  const byLabel = data.labels.map(() => []);
  for (let at = 0; at < count; at++) byLabel[data.label[at]].push(at);
  let chosen = -1, hovered = -1, asked = 0, tool = "point", band = null, held = null, due = 0, isWhole = false;
  let zoom = 1, left = 0, top = 0, scale = 1, ratio = 1; // `left`, `top`: of what is seen, in pixels of the drawing

  over.setAttribute("aria-label", `${count.toLocaleString("en")} segments of ${data.feature} in the plane; arrows lead from point to point, Enter shows the clip, Space marks it`);
  place.querySelector("#said").textContent = `${data.said} Only neighbourhoods mean something, distances across the picture do not.`;
  box.style.aspectRatio = `${width} / ${height}`;

  // -- points -------------------------------------------------------------------------------------------------------------

  const itemOf = (at, field) => data.items[field][data.item[at]];
  const isSeen = (at) => !lit.size || lit.has(data.label[at]);
  const nameOf = (at) => `${itemOf(at, "video_id")}: ${data.labels[data.label[at]][0]}`;
  const markOf = (at) => ({
    dataset: itemOf(at, "dataset"), video_id: itemOf(at, "video_id"), label: itemOf(at, "label"),
    segment: data.segment[at], start_s: data.start_s[at], end_s: data.end_s[at], item_start_s: itemOf(at, "start_s"), item_end_s: itemOf(at, "end_s"),
  });

  // the nearest point to a place of the drawing that is at most so far
  function nearest(x, y, most) {
    let best = -1, least = most * most;
    for (let at = 0; at < count; at++) {
      const far = (data.x[at] - x) ** 2 + (data.y[at] - y) ** 2;
      if (far <= least && isSeen(at)) { best = at; least = far; }
    }
    return best;
  }
  // the nearest point on that side: the way along counts once, the way across twice
  function towards(x, y) {
    const a = data.x[chosen], b = data.y[chosen];
    let best = -1, least = Infinity;
    for (let at = 0; at < count; at++) {
      const c = data.x[at] - a, d = data.y[at] - b, along = c * x + d * y, across = Math.abs(c * y - d * x);
      if (at !== chosen && along > 0 && along + 2 * across < least && isSeen(at)) { best = at; least = along + 2 * across; }
    }
    return best;
  }

  // -- painting -----------------------------------------------------------------------------------------------------------

  const radius = () => (count > 20000 ? 2 : count > 4000 ? 3 : 5) * Math.min(2.5, Math.sqrt(zoom)) * Math.max(0.6, Math.min(1.2, scale));
  const onX = (x) => (x - left) * zoom * scale, onY = (y) => (y - top) * zoom * scale;

  function cleared(canvas) {
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    return pen;
  }
  function dots(pen, points, size) {
    pen.beginPath();
    for (const at of points) {
      const x = onX(data.x[at]), y = onY(data.y[at]);
      if (x < -size || y < -size || x > width * scale + size || y > height * scale + size) continue;
      pen.moveTo(x + size, y);
      pen.arc(x, y, size, 0, 7);
    }
  }
  function paint() {
    isWhole = false;
    const pen = cleared(under), size = radius();
    const order = data.labels.map((_, at) => at).sort((one, other) => lit.has(one) - lit.has(other));
    for (const number of order) {
      const isLit = !lit.size || lit.has(number);
      pen.fillStyle = isLit ? data.labels[number][1] : getComputedStyle(over).getPropertyValue("--grey");
      pen.globalAlpha = isLit ? 0.8 : 0.25;
      dots(pen, byLabel[number], size);
      pen.fill();
    }
    paintOver();
  }
  function paintOver() {
    const pen = cleared(over), style = getComputedStyle(over), ink = style.getPropertyValue("--ink"), size = radius();
    const own = [];
    for (let at = 0; at < count; at++) if (marked[at]) own.push(at);
    pen.strokeStyle = ink;
    pen.lineWidth = size < 3 ? 0.8 : 1.5;
    dots(pen, own, size + (size < 3 ? 1 : 2));
    pen.stroke();
    for (const [at, wide] of [[hovered, 2], [chosen, 3]]) {
      if (at < 0) continue;
      pen.fillStyle = data.labels[data.label[at]][1];
      pen.lineWidth = wide;
      dots(pen, [at], size + 2);
      pen.fill();
      pen.stroke();
    }
    if (band) {
      pen.beginPath();
      outline(band).forEach(([x, y], at) => (at ? pen.lineTo(onX(x), onY(y)) : pen.moveTo(onX(x), onY(y))));
      pen.closePath();
      pen.globalAlpha = 0.15;
      pen.fillStyle = ink;
      pen.fill();
      pen.globalAlpha = 1;
      pen.lineWidth = 1.5;
      pen.setLineDash([5, 4]);
      pen.stroke();
      pen.setLineDash([]);
    }
  }
  function soon(all) { // once a picture of the screen, however often it is asked for
    isWhole ||= all;
    due ||= requestAnimationFrame(() => { due = 0; if (isWhole) paint(); else paintOver(); });
  }
  function fit() {
    ratio = devicePixelRatio || 1;
    scale = box.clientWidth / width;
    for (const canvas of [under, over]) { canvas.width = Math.round(width * scale * ratio); canvas.height = Math.round(height * scale * ratio); }
    paint();
  }

  // -- the view -----------------------------------------------------------------------------------------------------------

  function view(next, x, y) { // a place of the drawing stays where it is on the screen
    next = Math.max(1, Math.min(60, next));
    moved(x - (x - left) * zoom / next, y - (y - top) * zoom / next, next);
  }
  function moved(x, y, next = zoom) {
    zoom = next;
    left = Math.max(0, Math.min(width - width / zoom, x));
    top = Math.max(0, Math.min(height - height / zoom, y));
    box.classList.toggle("near", zoom > 1);
    soon(true);
  }
  const middle = () => (chosen >= 0 ? [data.x[chosen], data.y[chosen]] : [left + width / zoom / 2, top + height / zoom / 2]);
  function reach(at) { // a point that is led to is seen
    const x = onX(data.x[at]), y = onY(data.y[at]);
    if (x < 0 || y < 0 || x > width * scale || y > height * scale) moved(data.x[at] - width / zoom / 2, data.y[at] - height / zoom / 2);
  }

  // -- choosing and marking -----------------------------------------------------------------------------------------------

  function choose(at) {
    chosen = at;
    over.dataset.chosen = at;
    told.textContent = `${nameOf(at)}${marked[at] ? ", marked" : ""}`;
    reach(at);
    soon(false);
  }
  async function show(at) {
    choose(at);
    const own = ++asked, beside = document.getElementById("beside");
    const where = new URLSearchParams({ feature: data.feature, segment: data.segment[at] });
    const answer = await fetch(`/card/${itemOf(at, "key")}?${where}`), text = await answer.text();
    if (own !== asked) return;
    if (answer.ok) beside.innerHTML = text; else beside.textContent = text;
    marks.show();
    if (matchMedia("(max-width: 800px)").matches) beside.scrollIntoView({ block: "nearest" });
  }
  function refresh() {
    for (let at = 0; at < count; at++) marked[at] = marks.has(markOf(at));
    soon(false);
  }
  marks.onChange(refresh);

  function outline(shape) {
    if (tool === "lasso") return shape;
    const [[a, b], [c, d]] = [shape[0], shape[shape.length - 1]];
    return [[a, b], [c, b], [c, d], [a, d]];
  }
  function inside(x, y, corners) { // even-odd rule
    let is = false;
    for (let at = 0, before = corners.length - 1; at < corners.length; before = at++) {
      const [a, b] = corners[at], [c, d] = corners[before];
      if ((b > y) !== (d > y) && x < (c - a) * (y - b) / (d - b) + a) is = !is;
    }
    return is;
  }
  function take(shape) {
    const corners = outline(shape), own = [];
    for (let at = 0; at < count; at++) if (isSeen(at) && inside(data.x[at], data.y[at], corners)) own.push(at);
    const away = place.querySelector("[name=away]").checked;
    (away ? marks.remove : marks.add)(own.map(markOf));
    told.textContent = `${own.length.toLocaleString("en")} point${own.length === 1 ? "" : "s"} ${away ? "no longer " : ""}marked`;
  }

  // -- the pointer --------------------------------------------------------------------------------------------------------

  function at(event) {
    const frame = over.getBoundingClientRect();
    return [(event.clientX - frame.left) / scale / zoom + left, (event.clientY - frame.top) / scale / zoom + top];
  }
  const near = (event) => (event.pointerType === "touch" ? 24 : 10) / scale / zoom;
  over.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    held = { x: event.clientX, y: event.clientY, left, top, is: false };
    if (tool !== "point") band = [at(event)];
    if (tool !== "point" || zoom > 1) over.setPointerCapture(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    if (held && Math.hypot(event.clientX - held.x, event.clientY - held.y) > 4) held.is = true;
    if (band) { band.push(at(event)); soon(false); }
    else if (held && zoom > 1 && held.is) moved(held.left - (event.clientX - held.x) / scale / zoom, held.top - (event.clientY - held.y) / scale / zoom);
    else if (!held) {
      const found = nearest(...at(event), near(event));
      if (found === hovered) return;
      hovered = found;
      over.title = found < 0 ? "" : nameOf(found);
      over.style.cursor = tool !== "point" ? "crosshair" : found < 0 ? "default" : "pointer";
      soon(false);
    }
  });
  over.addEventListener("pointerup", (event) => {
    const was = held, shape = band;
    held = band = null;
    if (!was) return;
    if (shape && was.is) { take(shape); soon(false); return; }
    if (was.is) return;
    const found = nearest(...at(event), near(event));
    if (found >= 0) show(found);
    else soon(false);
  });
  over.addEventListener("pointercancel", () => { held = band = null; soon(false); });
  over.addEventListener("pointerleave", () => { if (hovered >= 0 && !held) { hovered = -1; soon(false); } });
  over.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a page is scrolled as ever
    event.preventDefault();
    view(zoom * Math.exp(-event.deltaY / 200), ...at(event));
  }, { passive: false });

  // -- keys and buttons ---------------------------------------------------------------------------------------------------

  over.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const closer = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
    if (way) { event.preventDefault(); const next = chosen >= 0 ? towards(...way) : nearest(...middle(), Infinity); if (next >= 0) choose(next); }
    if (closer) { event.preventDefault(); view(zoom * closer, ...middle()); }
    if (event.key === "0") view(1, 0, 0);
    if (event.key === "Enter" && chosen >= 0) show(chosen);
    if (event.key === " ") { event.preventDefault(); if (chosen >= 0) { marks.toggle(markOf(chosen)); choose(chosen); } }
    if (event.key === "Escape") { held = band = null; soon(false); }
  });
  place.querySelector(".tools").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.tool) {
      tool = button.dataset.tool;
      box.classList.toggle("shaping", tool !== "point");
      place.querySelectorAll("[data-tool]").forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
    }
    if (button.dataset.zoom) view(Number(button.dataset.zoom) ? zoom * Number(button.dataset.zoom) : 1, ...middle());
  });
  data.labels.forEach(([name, colour, many], number) => {
    const button = document.createElement("button"), dot = document.createElement("i"), note = document.createElement("span");
    Object.assign(button, { type: "button" }).setAttribute("aria-pressed", "false");
    dot.className = "key";
    Object.assign(dot.style, { background: colour, borderRadius: "5px" });
    Object.assign(note, { className: "note", textContent: many.toLocaleString("en") });
    button.append(dot, name, " ", note);
    button.addEventListener("click", () => {
      if (lit.has(number)) lit.delete(number); else lit.add(number);
      button.setAttribute("aria-pressed", String(lit.has(number)));
      soon(true);
    });
    labels.append(button);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => soon(true));
  new ResizeObserver(fit).observe(box);
  fit();
  refresh();
}

document.querySelectorAll("[data-from]").forEach(draw);

// What the pages of `zsar serve` do by themselves: keys, one film at a time, why one does not play, and the plot.
"use strict";

const films = () => [...document.querySelectorAll("video")];

// one film at a time; `play` and `error` do not bubble, so they are caught on their way down
document.addEventListener("play", (event) => films().filter((film) => film !== event.target).forEach((film) => film.pause()), true);
document.addEventListener("error", async (event) => {
  if (event.target.tagName !== "VIDEO") return;
  const told = event.target.nextElementSibling;
  const answer = await fetch(event.target.src.split("#")[0], { headers: { Range: "bytes=0-0" } });
  told.textContent = answer.ok ? "This browser does not play it." : await answer.text();
  told.hidden = false;
}, true);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) {
    const first = document.querySelector("[data-first]");
    if (first) { event.preventDefault(); first.focus(); if (first.select) first.select(); }
  }
  if (event.target.matches(".card")) onCard(event);
});

function onCard(event) {
  const cards = [...document.querySelectorAll(".card")];
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = step && cards[cards.indexOf(event.target) + step];
  const film = event.target.querySelector("video");
  if (next) { event.preventDefault(); next.focus(); }
  if (event.key === "Enter" && film) { event.preventDefault(); film.paused ? film.play() : film.pause(); }
}

document.addEventListener("submit", (event) => event.target.setAttribute("aria-busy", "true"));
addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => form.removeAttribute("aria-busy")));

// -- the plot ---------------------------------------------------------------------------------------------------------

async function draw(place) {
  const answer = await fetch(place.dataset.from);
  if (answer.ok) place.innerHTML = await answer.text();
  else place.textContent = await answer.text();
  place.removeAttribute("aria-busy");
  if (answer.ok) choosing(place.querySelector("svg"), place.querySelector("#point"), place.querySelector(".labels"));
}

function choosing(svg, told, labels) {
  const points = [...svg.querySelectorAll("circle")];
  let chosen = null, asked = 0;

  function choose(point) {
    if (chosen) chosen.classList.remove("chosen");
    chosen = point;
    point.classList.add("chosen");
    point.parentNode.append(point);
    told.textContent = point.querySelector("title").textContent;
  }
  async function show(point) {
    choose(point);
    const own = ++asked, beside = document.getElementById("beside");
    const answer = await fetch(point.dataset.card), text = await answer.text();
    if (own !== asked) return;
    if (answer.ok) beside.innerHTML = text; else beside.textContent = text;
    if (matchMedia("(max-width: 800px)").matches) beside.scrollIntoView({ block: "nearest" });
  }
  const at = (point) => [Number(point.getAttribute("cx")), Number(point.getAttribute("cy"))];
  const seen = () => (svg.classList.contains("some") ? points.filter((point) => point.classList.contains("lit")) : points);

  // the nearest point on that side: the way along counts once, the way across twice
  function towards(x, y) {
    const [a, b] = at(chosen);
    let best = null, least = Infinity;
    for (const point of seen()) {
      const [c, d] = at(point), along = (c - a) * x + (d - b) * y, across = Math.abs((c - a) * y - (d - b) * x);
      if (point !== chosen && along > 0 && along + 2 * across < least) { best = point; least = along + 2 * across; }
    }
    return best;
  }
  svg.addEventListener("click", (event) => { if (event.target.tagName === "circle") show(event.target); });
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) { event.preventDefault(); const next = chosen ? towards(...way) : seen()[0]; if (next) choose(next); }
    if (event.key === "Enter" && chosen) show(chosen);
  });
  labels.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    const lit = new Set([...labels.querySelectorAll("[aria-pressed=true]")].map((each) => each.dataset.of));
    svg.classList.toggle("some", lit.size > 0);
    points.forEach((point) => point.classList.toggle("lit", lit.has(point.dataset.label)));
  });
}

document.querySelectorAll("[data-from]").forEach(draw);

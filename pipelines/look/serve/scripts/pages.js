// What the pages of `zsar serve` do by themselves: keys, one film at a time, why one does not play.
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

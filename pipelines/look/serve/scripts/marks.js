// Clips that are marked: kept by the browser from page to page, given labels, and taken out as a CSV, by a command, or
// by saving them where the server was started with --edit. The server is told nothing before that.
"use strict";

const marks = (() => {
  const tray = document.getElementById("tray");
  const place = tray && `zsar marked ${tray.dataset.root}`;
  const listeners = [];
  let held = new Map(), isKept = true;

  // a mark: dataset, video_id, label, start_s, end_s of the segment, or its number where it has no times (a caption);
  // item_start_s, item_end_s where the item is a part of its file; given: the label that was typed for it
  const FIELDS = ["dataset", "video_id", "label", "start_s", "end_s", "item_start_s", "item_end_s", "segment", "given"];
  const name = (mark) => `${mark.dataset}\n${mark.video_id}\n${mark.start_s ?? ""}\n${mark.end_s ?? (mark.segment ?? "")}`;
  const labelOf = (mark) => mark.given ?? mark.label ?? null;

  function read() {
    held = new Map();
    let rows = [];
    try { rows = JSON.parse(localStorage.getItem(place) || "[]"); } catch { rows = []; }
    for (const row of rows) {
      const mark = Object.fromEntries(FIELDS.map((field, at) => [field, row[at] ?? null]));
      held.set(name(mark), mark);
    }
  }
  function changed() {
    try {
      if (held.size) localStorage.setItem(place, JSON.stringify([...held.values()].map((mark) => FIELDS.map((field) => mark[field] ?? null))));
      else localStorage.removeItem(place);
      isKept = true;
    } catch { isKept = false; }
    show();
  }
  function add(several) { several.forEach((mark) => { if (!held.has(name(mark))) held.set(name(mark), { ...mark, given: null }); }); changed(); }
  function remove(several) { several.forEach((mark) => held.delete(name(mark))); changed(); }
  const has = (mark) => held.has(name(mark));

  // -- what is shown ------------------------------------------------------------------------------------------------------

  const made = (tag, text, given = {}) => Object.assign(document.createElement(tag), { textContent: text }, given);
  const several = (count, of) => `${count.toLocaleString("en")} ${of}${count === 1 ? "" : "s"}`;

  function groups() {
    const found = new Map();
    for (const mark of held.values()) {
      if (!found.has(mark.given)) found.set(mark.given, []);
      found.get(mark.given).push(mark);
    }
    return [...found].sort(([one], [other]) => (one === null) - (other === null) || String(one).localeCompare(String(other)));
  }

  function show() {
    document.querySelectorAll("[data-mark]").forEach((button) => {
      const isMarked = has(JSON.parse(button.dataset.mark));
      button.setAttribute("aria-pressed", String(isMarked));
      button.textContent = isMarked ? "marked" : "mark";
      button.closest(".card").classList.toggle("marked", isMarked);
    });
    listeners.forEach((listener) => listener());
    if (!tray) return;
    tray.hidden = !held.size;
    document.body.classList.toggle("with-tray", held.size > 0);
    const videos = new Set([...held.values()].map((mark) => `${mark.dataset}\n${mark.video_id}`)).size;
    tray.querySelector("#marked").textContent = `${held.size.toLocaleString("en")} marked${videos < held.size ? `, of ${several(videos, "video")}` : ""}`;
    const unlabelled = [...held.values()].filter((mark) => mark.given === null).length;
    tray.querySelector("#give").textContent = unlabelled ? `Label ${unlabelled.toLocaleString("en")}` : "All are labelled";
    tray.querySelector("#give").disabled = !unlabelled;
    tray.querySelector("#unkept").hidden = isKept;
    const list = tray.querySelector("#groups");
    const opened = new Set([...list.querySelectorAll("details[open]")].map((each) => each.dataset.of));
    list.replaceChildren(...groups().map(([given, own]) => group(given, own, opened)));
    command();
  }

  const SHOWN = 200;
  function group(given, own, opened) {
    const whole = made("details", "");
    whole.dataset.of = String(given);
    whole.open = opened.has(whole.dataset.of);
    const summary = made("summary", given === null ? "as they are" : given);
    summary.append(made("span", ` ${own.length.toLocaleString("en")}`, { className: "note" }));
    whole.append(summary);
    const rows = made("ul", "", { className: "plain" });
    for (const mark of own.slice(0, SHOWN)) {
      const isTimed = mark.start_s !== null && mark.end_s !== null;
      const span = isTimed ? `, ${mark.start_s.toFixed(2)} to ${mark.end_s.toFixed(2)} s` : mark.segment ? `, number ${mark.segment + 1}` : "";
      const row = made("li", `${mark.video_id}${span}${mark.label ? ` (${mark.label})` : ""} `);
      const away = made("button", "unmark", { type: "button" });
      away.setAttribute("aria-label", `unmark ${mark.video_id}${span}`);
      away.addEventListener("click", () => remove([mark]));
      row.append(away);
      rows.append(row);
    }
    if (own.length > SHOWN) rows.append(made("li", `and ${several(own.length - SHOWN, "other")}`, { className: "note" }));
    whole.append(rows);
    if (given !== null) {
      const off = made("button", "take this label off", { type: "button" });
      off.addEventListener("click", () => { own.forEach((mark) => { mark.given = null; }); changed(); });
      whole.append(off, " ");
    }
    const away = made("button", `unmark ${own.length === 1 ? "it" : "these"}`, { type: "button" });
    away.addEventListener("click", () => remove(own));
    whole.append(away);
    return whole;
  }

  // -- what becomes of them -----------------------------------------------------------------------------------------------

  const inParts = () => tray.querySelector("[name=parts]").checked;
  const chosenName = () => tray.querySelector("#saving [name=name]").value.trim();
  // as a table of labels: `#0` of an item that is a part of its file is no part of the file's name
  const FILE = "zsar-marked.csv";
  const quoted = (value) => { const text = String(value ?? ""); return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };

  function csv() {
    const rows = [["video", "label", "start_s", "end_s", "dataset", "item"]], met = new Set();
    for (const mark of held.values()) {
      const isPart = mark.item_start_s !== null;
      const span = inParts() ? [mark.start_s ?? mark.item_start_s, mark.end_s ?? mark.item_end_s] : [mark.item_start_s, mark.item_end_s];
      const row = [isPart ? mark.video_id.replace(/#\d+$/, "") : mark.video_id, labelOf(mark), ...span, mark.dataset, mark.video_id];
      const told = row.map(quoted).join(",");
      if (!met.has(told)) { met.add(told); rows.push(row); }
    }
    return rows.map((row) => row.map(quoted).join(",") + "\n").join("");
  }
  function command() {
    const shown = tray.querySelector("#command");
    const named = /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(chosenName()) ? chosenName() : "NAME";
    shown.textContent = `zsar sql "select * from labels" --labels ${FILE} --save-as ${named}${inParts() ? " --parts" : ""} --root ${tray.dataset.at}`;
  }
  function download(file, text) {
    const link = made("a", "", { download: file, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  // what is saved, where it is told what became of it, and the button that asked
  async function send(body, told, button) {
    if (!tray.dataset.token) return;
    button.disabled = true;
    told.textContent = "Saving …";
    try {
      const headers = { "Content-Type": "application/json", "X-Zsar-Token": tray.dataset.token };
      const answer = await fetch("/selections", { method: "POST", headers, body: JSON.stringify(body) });
      told.textContent = await answer.text();
    } catch { told.textContent = "The server does not answer (any more)."; }
    button.disabled = false;
  }
  async function save(event) {
    event.preventDefault();
    event.stopPropagation();
    const rows = [...held.values()].map((mark) => [mark.dataset, mark.video_id, labelOf(mark), mark.start_s, mark.end_s]);
    await send({ name: chosenName(), parts: inParts(), rows }, tray.querySelector("#saved"), tray.querySelector("#saving button"));
  }

  async function known() {
    const list = document.getElementById("known");
    if (list.childElementCount) return;
    const answer = await fetch("/labels");
    if (answer.ok) list.replaceChildren(...(await answer.json()).map((label) => made("option", "", { value: label })));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-mark]");
    if (button) toggle(JSON.parse(button.dataset.mark));
    if (event.target.closest("#mark-all")) add([...document.querySelectorAll(".cards [data-mark]")].map((each) => JSON.parse(each.dataset.mark)));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches(".card")) return;
    const button = event.target.querySelector("[data-mark]");
    if (button) { event.preventDefault(); toggle(JSON.parse(button.dataset.mark)); }
  });
  function toggle(mark) { if (has(mark)) remove([mark]); else add([mark]); }

  if (tray) {
    read();
    addEventListener("storage", (event) => { if (event.key === place) { read(); show(); } });
    tray.querySelector("#labelling").addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const field = event.target.querySelector("input"), label = field.value.trim();
      if (!label) return;
      held.forEach((mark) => { mark.given ??= label; });
      field.value = "";
      changed();
    });
    tray.querySelector("#labelling input").addEventListener("focus", known);
    tray.querySelector("#saving").addEventListener("submit", save);
    tray.querySelector("#saving").addEventListener("input", command);
    tray.querySelector("#csv").addEventListener("click", () => download(FILE, csv()));
    tray.querySelector("#unmark").addEventListener("click", () => remove([...held.values()]));
    show();
  }
  return { add, remove, toggle, has, show, known, quoted, download, send, onChange: (listener) => listeners.push(listener) };
})();

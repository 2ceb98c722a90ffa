// The audit: what was decided of each doubt, kept by the browser for each data set, and the rest of it as a data set.
"use strict";

(() => {
  const place = document.getElementById("decided"), tray = document.getElementById("tray");
  if (!place) return;
  const dataset = place.dataset.of, kept = `zsar decided ${tray.dataset.root} ${dataset}`;
  const FILE = "zsar-decided.csv";
  // video_id to "keep", or to {label}, or to "out"
  let decided = new Map();
  try { decided = new Map(JSON.parse(localStorage.getItem(kept) || "[]")); } catch { decided = new Map(); }

  const doubts = [...document.querySelectorAll("[data-about]")];
  const changed = (kind) => [...decided].filter(([, what]) => (kind === "label" ? typeof what === "object" : what === kind));
  const several = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

  function keep() {
    try { localStorage.setItem(kept, JSON.stringify([...decided])); } catch { /* they are there as long as the page */ }
    show();
  }
  function show() {
    for (const doubt of doubts) {
      const what = decided.get(JSON.parse(doubt.dataset.about).video_id);
      const value = typeof what === "object" ? "label" : what ?? "";
      doubt.querySelectorAll("[type=radio]").forEach((radio) => { radio.checked = radio.value === value; });
      if (value === "label") doubt.querySelector("[name=label]").value = what.label;
    }
    place.hidden = !decided.size;
    place.querySelector("#count").textContent = [
      several(changed("label").length, "other label", "other labels"),
      several(changed("out").length, "left out", "left out"),
      several(changed("keep").length, "kept as it is", "kept as they are"),
    ].join(", ");
    command();
  }
  function decide(doubt, value) {
    const { video_id } = JSON.parse(doubt.dataset.about), field = doubt.querySelector("[name=label]"), label = field.value.trim();
    if (value === "label" && !label) { decided.delete(video_id); field.focus(); keep(); return; }
    decided.set(video_id, value === "label" ? { label } : value);
    keep();
  }
  for (const doubt of doubts) {
    const field = doubt.querySelector("[name=label]");
    doubt.addEventListener("change", (event) => {
      if (event.target.type === "radio") decide(doubt, event.target.value);
      else decide(doubt, "label");
    });
    field.addEventListener("focus", marks.known);
  }

  // -- what becomes of it -------------------------------------------------------------------------------------------------

  const name = () => place.querySelector("[name=name]").value.trim();
  function command() {
    const named = /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name()) ? name() : "NAME";
    const of = dataset.replaceAll("'", "''");
    const query = `select v.dataset, v.video_id, coalesce(l.label, v.label) as label from videos v left join labels l using (dataset, video_id) where v.dataset = '${of}' and (l.video_id is null or l.label is not null)`;
    place.querySelector("#cleaning").textContent = `zsar sql "${query}" --labels ${FILE} --save-as ${named} --root ${tray.dataset.at}`;
  }
  // whose label is empty is left out
  function csv() {
    const rows = [["video", "label", "dataset"]];
    for (const [video, what] of decided) if (what !== "keep") rows.push([video, what.label ?? "", dataset]);
    return rows.map((row) => row.map(marks.quoted).join(",") + "\n").join("");
  }
  place.querySelector("#decisions").addEventListener("click", () => marks.download(FILE, csv()));
  place.querySelector("#undo").addEventListener("click", () => { decided.clear(); keep(); });
  place.querySelector("form").addEventListener("input", command);
  place.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const labels = Object.fromEntries(changed("label").map(([video, { label }]) => [video, label]));
    const body = { name: name(), of: dataset, labels, without: changed("out").map(([video]) => video) };
    await marks.send(body, place.querySelector("#kept"), place.querySelector("button.main"));
  });
  show();
})();

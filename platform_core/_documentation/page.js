"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const by = (id) => document.getElementById(id);

// ── light or dark: as the system has it, until somebody decides ──
const root = document.documentElement;
const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
if (kept()) root.dataset.theme = kept();
by("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a file that may keep nothing */ }
});

// ── searching: every word has to be in an entry, or in the head of its module ──
const entries = all("[data-item]").map((element) => {
  const canvas = element.closest(".canvas");
  const head = canvas ? canvas.querySelector("header").textContent : "";
  return { element, module: element.closest("[data-module]").dataset.module, text: `${element.textContent} ${head}`.toLowerCase() };
});
const folds = all(".cell > details").map((element) => ({ element, open: element.open }));

function filter() {
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const only = by("only").value;
  const filtering = words.length > 0;
  let count = 0;
  for (const { element, module, text } of entries) {
    const fits = (!only || module === only) && words.every((word) => text.includes(word));
    element.hidden = !fits;
    count += fits;
  }
  for (const cell of all(".cell")) cell.hidden = !cell.querySelector("[data-item]:not([hidden])");
  for (const canvas of all(".canvas")) {
    canvas.hidden = Boolean(only && canvas.dataset.module !== only) || (filtering && !canvas.querySelector("[data-item]:not([hidden])"));
  }
  for (const fold of folds) fold.element.open = filtering || fold.open;
  for (const chapter of all("main > section")) {
    const items = chapter.querySelector("[data-item]");
    const found = chapter.querySelector("[data-item]:not([hidden])");
    chapter.hidden = items ? !found : filtering;
  }
  by("found").textContent = filtering || only ? `${count} found` : "";
}
by("search").addEventListener("input", filter);
by("only").addEventListener("change", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    by("search").focus();
  }
  if (event.key === "Escape" && document.activeElement === by("search")) {
    by("search").value = "";
    filter();
  }
});

// ── a link leads to what is hidden at the moment: show everything, then go there ──
addEventListener("hashchange", () => {
  const target = by(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("[hidden]")) {
    by("search").value = by("only").value = "";
    filter();
    target.scrollIntoView();
  }
});

// ── pictures: what belongs to the thing that is pointed at lights up; a click leads to it ──
for (const picture of all(".picture svg")) {
  const lines = all(".line", picture);
  const touched = (line, key) =>
    [line.dataset.from, line.dataset.to].some((end) => end === key || end.startsWith(`${key}.`));
  const light = (key) => {
    const on = new Set([key]);
    for (const line of lines) {
      const lit = touched(line, key);
      line.classList.toggle("on", lit);
      if (lit) on.add(line.dataset.from).add(line.dataset.to);
    }
    for (const entry of all(".entry", picture)) entry.classList.toggle("on", on.has(entry.dataset.key));
    picture.classList.add("lit");
  };
  for (const thing of all("[data-key]", picture)) {
    thing.addEventListener("pointerenter", () => light(thing.dataset.key));
    thing.addEventListener("pointerleave", () => picture.classList.remove("lit"));
    thing.addEventListener("click", () => {
      const target = by(`event-${thing.dataset.key}`) || by(`module-${thing.dataset.key.split(".")[0]}`);
      if (target) location.hash = target.id;
    });
  }
}

// ── where the page is served: load it anew when what is installed has changed ──
const build = document.querySelector('meta[name="build"]');
if (build) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const now = await (await fetch("build", { cache: "no-store" })).text();
      if (now && now !== build.content) location.reload();
    } catch { /* it restarts at the moment */ }
  }, 1000);
}

"use strict";
// What the pages have in common. Text reaches them through textContent alone. Each page has a `state` and a class `Scene`, shown once for each model.
const data = JSON.parse(document.getElementById("data").textContent);
const scenes = [];

function make(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

const plural = (list, one) => `${one}${list.length > 1 ? "s" : ""}`;
const percent = (value) => `${Math.round(100 * value)} %`;
const range = (n) => Array.from({ length: n }, (_, k) => k);
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/).map(Number);

function point(at) { for (const scene of scenes) scene.point(at); }
function hold(at) {
  state.held = state.held && state.held.side === at.side && state.held.n === at.n ? null : at;
  point(state.held || at);
}
function showAll() { for (const scene of scenes) scene.show(); }

/** What a node does that points at a place while the mouse is over it. */
const pointed = (at) => ({ onpointerenter: () => point(at), onpointerleave: () => point(state.held) });

/** A word that points at a place, and holds it when it is pressed. */
function pressed(text, at, more = {}) {
  return make("span", {
    class: "word", text, tabindex: "0", role: "button", ...more, ...pointed(at),
    onfocus: () => point(at), onblur: () => point(state.held), onclick: () => hold(at),
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); hold(at); } },
  });
}

function choice(home, name, options) {
  const buttons = options.map(([value, label]) => make("button", {
    type: "button", text: label, "aria-pressed": state[name] === value,
    onclick: () => { state[name] = value; buttons.forEach((one, n) => one.setAttribute("aria-pressed", options[n][0] === value)); showAll(); },
  }));
  document.getElementById(home).append(...buttons);
}

/** Fills the page. `named` gives the text of a pair's button. */
function start(named) {
  document.title = data.title;
  document.getElementById("title").textContent = data.title;
  const home = document.getElementById("models");
  const buttons = data.models[0].pairs.map((pair, n) => make("button", {
    type: "button", dir: "auto", "aria-pressed": n === 0, text: named(pair),
    onclick: () => { state.pair = n; state.held = null; buttons.forEach((one, k) => one.setAttribute("aria-pressed", k === n)); showAll(); },
  }));
  document.getElementById("sentences").append(...buttons);
  home.className = data.models.length > 1 ? "two" : "one";
  for (const model of data.models) { const scene = new Scene(model); scenes.push(scene); home.append(scene.body); }
  showAll();
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { state.held = null; point(null); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAll);
  document.body.dataset.ready = "yes";
}

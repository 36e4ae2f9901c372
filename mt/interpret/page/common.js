"use strict";
// What the pages have in common. Text reaches them through textContent alone. Each page has a `state` and pushes its `scenes`.
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

function point(at) { for (const scene of scenes) scene.point(at); }
function hold(at) {
  state.held = state.held && state.held.side === at.side && state.held.n === at.n ? null : at;
  point(state.held || at);
}
function showAll() { for (const scene of scenes) scene.show(); }

function choice(home, name, options) {
  const buttons = options.map(([value, label]) => make("button", {
    type: "button", text: label, "aria-pressed": state[name] === value,
    onclick: () => { state[name] = value; buttons.forEach((one, n) => one.setAttribute("aria-pressed", options[n][0] === value)); showAll(); },
  }));
  document.getElementById(home).append(...buttons);
}

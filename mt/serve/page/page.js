// The page: translates while one types, and never touches what was typed.

import { get, post, postFile, Refused, useKey } from "./server.js";
import { light, showMatrix, showWords, splice } from "./words.js";
import { openMenu, closeMenu } from "./menu.js";

const PAUSE = 250; // milliseconds without typing before a request
const LINKED = 5000; // characters; longer texts are translated without links
const IN_ADDRESS = 2000; // characters of a text that is kept in the address
const $ = (id) => document.getElementById(id);
const [text, output, mirror, source, target] = ["text", "output", "mirror", "source", "target"].map($);
const places = { word: output, from: mirror };

let languages = [];
let settings = {};
let shown = null; // the answer that is shown, with links; null: none, or without
let running = null; // the AbortController of the last request
let timer = 0;
let again = () => translate();

// ---- languages and the address

function targetsOf(code) {
  if (code !== "auto") return languages.find((one) => one.code === code)?.targets ?? [];
  return [...new Set(languages.flatMap((one) => one.targets))];
}

function fill(select, codes, chosen) {
  const names = Object.fromEntries(languages.map((one) => [one.code, one.name]));
  select.replaceChildren(...codes.map((code) => new Option(code === "auto" ? "Detect language" : names[code], code)));
  if (codes.includes(chosen)) select.value = chosen;
}

function chooseSource(code, wanted = target.value) {
  const readable = languages.filter((one) => one.targets.length).map((one) => one.code);
  fill(source, readable.length > 1 ? ["auto", ...readable] : readable, code);
  fill(target, targetsOf(source.value), wanted);
  tellLanguages();
}

function spoken() {
  return source.value === "auto" ? shown?.detectedLanguage?.language ?? "" : source.value;
}

function tellLanguages() {
  text.lang = mirror.lang = spoken();
  output.lang = target.value;
  $("swap").disabled = !targetsOf(target.value).includes(spoken() || source.value);
}

function keepAddress() {
  const state = new URLSearchParams({ source: source.value, target: target.value });
  if (text.value && text.value.length <= IN_ADDRESS) state.set("q", text.value);
  history.replaceState(null, "", `${location.pathname}#${state}`); // after "#" it is not sent to the server
}

function readAddress() {
  const state = new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : location.search);
  chooseSource(state.get("source") ?? settings.language.source.code, state.get("target") ?? settings.language.target.code);
  text.value = state.get("q") ?? "";
}

// ---- what is said

function say(state) {
  $("state").textContent = state;
}

function fail(error, repeat) {
  if (error.name === "AbortError") return;
  const known = error instanceof Refused;
  if (!known) console.error(error);
  $("said").textContent = known ? error.message : "Something went wrong on this page.";
  again = repeat;
  $("message").hidden = false;
  output.removeAttribute("aria-busy");
  say("");
}

function calm() {
  $("message").hidden = true;
}

function show(answer) {
  // answer: with words, or only with a text
  closeMenu();
  shown = answer.target ? answer : null;
  if (shown) {
    showWords(output, answer.target, "word");
    showWords(mirror, answer.source, "from");
    mirror.append("\n");
    mirror.scrollTop = text.scrollTop;
  } else {
    output.textContent = answer.translatedText;
    mirror.replaceChildren();
  }
  output.classList.remove("stale");
  output.removeAttribute("aria-busy");
  const found = answer.detectedLanguage;
  const name = languages.find((one) => one.code === found?.language)?.name;
  say(found ? `${name}, ${found.confidence} %` : "");
  showRanked(answer);
  tellLanguages();
  if ($("attention").open) showAttention();
}

function showRanked(answer) {
  const others = answer.alternatives ?? [];
  $("others").hidden = !others.length;
  $("ranked").replaceChildren(
    ...others.map((one) => {
      const item = document.createElement("li");
      const score = document.createElement("small");
      score.textContent = ` ${one.score.toFixed(2)}`;
      score.title = `the one above has ${answer.score.toFixed(2)}`;
      item.dir = "auto";
      item.append(one.text, score);
      return item;
    }),
  );
}

function clearOutput() {
  shown = null;
  output.replaceChildren();
  mirror.replaceChildren();
  output.classList.remove("stale");
  say("");
  showRanked({});
  $("matrix").replaceChildren();
  tellLanguages();
}

// ---- translation

function glossary() {
  // "house = Haus" is as good as a tab
  return $("glossary").value.replace(/^([^\t\n=#]+?)[ \t]*=[ \t]*/gm, "$1\t");
}

function fields(q) {
  const terms = glossary();
  return { q, source: source.value, target: target.value, ...(terms.trim() ? { glossary: terms } : {}) };
}

async function translate() {
  clearTimeout(timer);
  running?.abort();
  closeMenu();
  calm();
  keepAddress();
  const q = text.value;
  if (!q.trim()) return clearOutput();
  const controller = (running = new AbortController());
  output.classList.add("stale");
  output.setAttribute("aria-busy", "true");
  say("…");
  try {
    const linked = q.length <= LINKED;
    const asked = linked ? { ...fields(q), alternatives: 2 } : fields(q);
    const answer = await post(linked ? "align" : "translate", asked, controller.signal);
    if (controller === running) show(answer);
  } catch (error) {
    if (controller === running) fail(error, translate);
  }
}

function typed() {
  running?.abort();
  shown = null;
  mirror.replaceChildren(); // its words are those of an older text
  light(places, [], "word", null);
  output.classList.add("stale");
  const most = settings.charLimit;
  $("count").textContent = text.value ? `${text.value.length}${most > 0 ? ` / ${most}` : ""}` : "";
  $("count").classList.toggle("over", most > 0 && text.value.length > most);
  clearTimeout(timer);
  timer = setTimeout(translate, text.value.trim() ? PAUSE : 0);
}

function swap() {
  if ($("swap").disabled) return;
  const [from, to] = [spoken(), target.value];
  if (output.textContent) text.value = output.textContent;
  chooseSource(to, from);
  typed();
  text.focus();
}

// ---- words

async function askWords(word) {
  const number = Number(word.dataset.n);
  const place = shown.segments.findIndex(({ target: [first, last] }) => first <= number && number < last);
  if (place < 0) return;
  const segment = shown.segments[place];
  const before = shown.target.tokens.slice(segment.target[0], number);
  const prefix = before.map((token) => token.text + token.after).join("").trimEnd();
  const state = shown;
  const controller = (running = new AbortController());
  const asked = { ...fields(segment.text), source: spoken(), prefix };
  say("…");
  try {
    const { alternatives } = await post("alternatives", { ...asked, alternatives: 6 }, controller.signal);
    if (state !== shown) return;
    say("");
    openMenu(word, alternatives, (one) => choose(state, place, one, asked));
  } catch (error) {
    if (state === shown) fail(error, () => askWords(word));
  }
}

async function choose(state, place, one, asked) {
  const controller = (running = new AbortController());
  calm();
  say("…");
  try {
    const forced = { ...asked, prefix: one.translatedText };
    const part = await post("align", forced, controller.signal);
    if (state !== shown) return;
    const number = state.segments[place].target[0] + wordsOf(asked.prefix, part);
    show(splice(state, place, part));
    output.querySelector(`[data-n="${number}"]`)?.focus();
  } catch (error) {
    if (state === shown) fail(error, () => choose(state, place, one, asked));
  }
}

function wordsOf(prefix, part) {
  // how many words of a part are in its prefix
  let length = part.target.before.length;
  return part.target.tokens.filter((token) => (length += token.text.length + token.after.length) <= prefix.length + 1).length;
}

async function showAttention() {
  const state = shown;
  if (!state) return $("matrix").replaceChildren();
  try {
    const parts = await Promise.all(
      state.segments.map(({ text: q, translation: prefix }) => post("align", { ...fields(q), source: spoken(), prefix, attention: true })),
    );
    if (state === shown) {
      $("matrix").replaceChildren();
      for (const part of parts) {
        const table = document.createElement("div");
        showMatrix(table, part);
        $("matrix").append(table);
      }
    }
  } catch (error) {
    fail(error, showAttention);
  }
}

function underPointer(event, kind) {
  return document.elementsFromPoint(event.clientX, event.clientY).find((one) => one.classList.contains(kind)) ?? null;
}

function point(kind, element) {
  if (shown) light(places, shown.links, kind, element ? Number(element.dataset.n) : null);
}

function moveFocus(word, key) {
  const words = [...output.querySelectorAll(".word")];
  const number = words.indexOf(word);
  const rtl = getComputedStyle(output).direction === "rtl";
  const step = { ArrowLeft: rtl ? 1 : -1, ArrowRight: rtl ? -1 : 1, Home: -number, End: words.length - 1 - number }[key];
  const next = words[number + step];
  if (!next) return;
  word.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// ---- files

async function translateFile(file) {
  if (!file) return;
  running?.abort();
  const controller = (running = new AbortController());
  calm();
  say(`${file.name} …`);
  try {
    const asked = { file, source: source.value, target: target.value };
    const { translatedFileUrl } = await postFile("translate_file", asked, controller.signal);
    const link = document.createElement("a");
    link.href = /download_file\/.*/.exec(translatedFileUrl)[0]; // relative: a proxy may have a prefix and not say so
    link.download = "";
    link.textContent = `${file.name} is translated`;
    $("state").replaceChildren(link);
    link.click();
  } catch (error) {
    fail(error, () => translateFile(file));
  }
}

// ---- start

text.addEventListener("input", typed);
text.addEventListener("scroll", () => (mirror.scrollTop = text.scrollTop));
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) translate();
});
text.addEventListener("mousemove", (event) => point("from", underPointer(event, "from")));
text.addEventListener("mouseleave", () => point("from", null));
output.addEventListener("mousemove", (event) => point("word", event.target.closest(".word")));
output.addEventListener("mouseleave", () => point("word", null));
output.addEventListener("focusin", (event) => point("word", event.target.closest(".word")));
output.addEventListener("focusout", () => point("word", null));
output.addEventListener("click", (event) => {
  const word = event.target.closest(".word");
  if (word && shown && !String(getSelection())) askWords(word);
});
output.addEventListener("keydown", (event) => {
  const word = event.target.closest(".word");
  if (!word || !shown) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    askWords(word);
  } else if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) {
    event.preventDefault();
    moveFocus(word, event.key);
  }
});
source.addEventListener("change", () => { chooseSource(source.value); translate(); });
target.addEventListener("change", () => { tellLanguages(); translate(); });
$("swap").addEventListener("click", swap);
document.addEventListener("keydown", (event) => {
  if (event.altKey && event.key.toLowerCase() === "s") { event.preventDefault(); swap(); }
});
$("clear").addEventListener("click", () => { text.value = ""; typed(); text.focus(); });
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(output.textContent);
    say("Copied");
  } catch {
    getSelection().selectAllChildren(output);
    say("Selected; copy it with Ctrl+C");
  }
});
$("retry").addEventListener("click", () => again());
$("glossary").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(translate, 2 * PAUSE); });
$("attention").addEventListener("toggle", () => { if ($("attention").open) showAttention(); });
$("pick").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { translateFile($("file").files[0]); $("file").value = ""; });
$("languages").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("input", () => {
  useKey($("key").value);
  sessionStorage.setItem("key", $("key").value);
});
addEventListener("hashchange", () => { readAddress(); typed(); });

async function start() {
  try {
    [languages, settings] = await Promise.all([get("languages"), get("frontend/settings")]);
  } catch (error) {
    return fail(error, start);
  }
  calm();
  $("access").hidden = !settings.keyRequired;
  $("access").open = settings.keyRequired && !sessionStorage.getItem("key");
  $("key").value = sessionStorage.getItem("key") ?? "";
  useKey($("key").value);
  $("pick").hidden = !settings.filesTranslation;
  $("others").hidden = true;
  const typedAlready = text.value;
  readAddress();
  text.value ||= typedAlready;
  if (text.value) typed();
}

start();

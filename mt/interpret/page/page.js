// Letters: x row (0 predicts the word, 1 has it as input), l layer, h head, j target word, i source word.
const END = "∎";
const state = { pair: 0, view: "lines", way: data.models[0].reading.shifted ? 1 : 0, held: null };

/** The weights of one pair, unpacked at first use: weight(x, l, heads, j, i). */
function unpack(model, pair) {
  if (!pair.bytes) pair.bytes = bytes(pair.weights);
  const V = pair.target.length, W = pair.source.length + 1;
  return (x, l, heads, j, i) => {
    let sum = 0;
    for (const h of heads) sum += pair.bytes[(((x * model.layers + l) * model.heads + h) * V + j) * W + i];
    return sum / (255 * heads.length);
  };
}

class Scene {
  constructor(model) {
    this.model = model;
    this.layer = model.reading.layer;
    this.heads = model.reading.heads;
    this.body = make("section", { class: "model", "aria-label": model.name });
    this.said = make("p", { class: "said", "aria-live": "polite" });
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("aria-hidden", "true");
    this.lines = make("div", { class: "scene" });
    this.sheet = make("div", { class: "sheet" });
    this.grid = make("div", { class: "grid", role: "group", "aria-label": "Heads by layers" });
    this.grid.style.setProperty("--columns", model.heads + 1);
    this.facts = make("dl", { class: "facts" });
    this.owed = make("div", { class: "owed" });
    const key = make("p", { class: "note" }, "A bar shows how many nats of log-probability a word of the translation loses",
      make("span", { class: "key" }), "without the source or", make("span", { class: "key two" }),
      "with the words of the source shuffled; at 0.7 nats a word is half as likely as before, at 2.3 a tenth.");
    this.scale = make("p", { class: "note" });
    this.total = make("p", { class: "note" });
    this.body.append(
      make("h2", { text: model.name }),
      make("p", { class: "note", text: `Opened at ${model.described}. ${model.chosen}` }),
      this.lines, this.sheet, this.said,
      make("h3", { text: "Heads by layers, the lowest layer on top" }), this.grid,
      make("h3", { text: "What is attended to" }), this.facts,
      make("h3", { text: "Source contribution of each word" }), key, this.owed, this.scale, this.total);
    new ResizeObserver(() => this.draw()).observe(this.lines);
  }

  /** Whether the heads that links are taken from are shown. */
  get chosen() {
    const best = this.model.reading;
    return this.layer === best.layer && state.way === Number(best.shifted) && String(this.heads) === String(best.heads);
  }

  get pair() { return this.model.pairs[state.pair]; }
  weight(j, i) { return this.get(state.way, this.layer, this.heads, j, i); }

  show() {
    this.get = unpack(this.model, this.pair);
    this.showText();
    this.showSheet();
    this.showGrid();
    this.showFacts();
    this.showOwed();
    this.point(state.held);
  }

  text(side, list) {
    const words = list.map((word, n) => pressed(word.t, { side, n }, { "data-side": side, "data-n": n }));
    const line = make("p", { class: `text ${side}`, dir: "auto" });
    list.forEach((word, n) => line.append(word.g, words[n]));
    return [line, words];
  }

  showText() {
    const [above, source] = this.text("source", this.pair.source);
    const [below, target] = this.text("target", this.pair.target);
    this.words = { source, target };
    this.lines.replaceChildren(this.svg, above, below);
    this.lines.classList.toggle("hidden", state.view !== "lines");
    this.draw();
  }

  /** Texts of more than one line become two columns with a word in each row, so that no curve crosses a word. */
  arrange() {
    this.lines.classList.remove("columns");
    const wraps = (words) => new Set(words.map((word) => Math.round(word.getBoundingClientRect().bottom))).size > 1;
    this.lines.classList.toggle("columns", wraps(this.words.source) || wraps(this.words.target));
  }

  /** A curve for every visible weight, from the source word to the target word. */
  draw() {
    if (state.view !== "lines" || !this.words) return;
    this.arrange();
    const home = this.lines.getBoundingClientRect(), columns = this.lines.classList.contains("columns");
    const spot = (word, from) => {
      const box = word.getClientRects()[0] || home;
      return columns ? [(from ? box.right : box.left) - home.left, (box.top + box.bottom) / 2 - home.top]
        : [box.left + box.width / 2 - home.left, (from ? box.bottom : box.top) - home.top];
    };
    this.curves = [];
    const drawn = [];
    this.words.target.forEach((target, j) => this.words.source.forEach((source, i) => {
      const weight = this.weight(j, i);
      if (weight < 0.04) return;
      const [x1, y1] = spot(source, true), [x2, y2] = spot(target, false), bend = Math.max(18, (columns ? x2 - x1 : y2 - y1) * 0.5);
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      const [dx, dy] = columns ? [bend, 0] : [0, bend];
      path.setAttribute("d", `M${x1},${y1} C${x1 + dx},${y1 + dy} ${x2 - dx},${y2 - dy} ${x2},${y2}`);
      path.setAttribute("stroke-width", (0.8 + 3.4 * weight).toFixed(2));
      this.curves.push({ path, i, j, weight });
      drawn.push(path);
    }));
    this.svg.replaceChildren(...drawn);
    this.fade(state.held);
  }

  fade(at) {
    for (const { path, i, j, weight } of this.curves || []) {
      const mine = at && (at.side === "target" ? at.n === j : at.n === i);
      path.setAttribute("stroke-opacity", at ? (mine ? 0.35 + 0.65 * weight : 0.04) : 0.1 + 0.6 * weight);
    }
  }

  showSheet() {
    this.sheet.classList.toggle("hidden", state.view !== "matrix");
    if (state.view !== "matrix") { this.sheet.replaceChildren(); this.cells = []; return; }
    const names = [...this.pair.source.map((word) => word.t), END];
    const sure = new Set((this.pair.gold || []).map(String)), possible = new Set((this.pair.possible || []).map(String));
    this.cells = [];
    this.columns = names.map((name, i) => make("th", { scope: "col", ...pointed({ side: "source", n: i }) }, make("span", { text: name, dir: "auto" })));
    this.rows = [];
    const body = this.pair.target.map((word, j) => {
      const cells = names.map((name, i) => {
        const weight = this.weight(j, i), link = `${i},${j}`;
        const cell = make("td", {
          class: sure.has(link) ? "gold" : possible.has(link) ? "possible" : "", "aria-label": `${word.t}, ${name}: ${percent(weight)}`,
          onpointerenter: () => this.describeLink(j, i), onpointerleave: () => point(state.held),
        });
        cell.style.setProperty("--w", weight);
        this.cells.push({ cell, i, j });
        return cell;
      });
      const name = make("th", { scope: "row", dir: "auto", text: word.t, ...pointed({ side: "target", n: j }), onclick: () => hold({ side: "target", n: j }) });
      this.rows.push(name);
      return make("tr", {}, name, ...cells);
    });
    this.sheet.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, make("td", { class: "hidden" }), make("th"), ...this.columns)), make("tbody", {}, ...body)));
  }

  describeLink(j, i) {
    const source = i < this.pair.source.length ? this.pair.source[i].t : END;
    this.say(make("b", { text: this.pair.target[j].t, dir: "auto" }), ` gives ${percent(this.weight(j, i))} of its weight to `, make("b", { text: source, dir: "auto" }));
    for (const one of this.cells) one.cell.classList.toggle("lit", one.i === i && one.j === j);
    this.rows.forEach((row, n) => row.classList.toggle("lit", n === j));
    this.columns.forEach((column, n) => column.classList.toggle("lit", n === i));
  }

  say(...parts) { this.said.replaceChildren(...parts); }

  /** Highlight the words that a word attends to, or that attend to it. */
  point(at) {
    if (!this.words) return;
    const size = { source: this.words.source.length, target: this.words.target.length };
    if (at && at.n >= size[at.side] + (at.side === "source" ? 1 : 0)) at = null;
    const answers = { source: [], target: [] };
    if (at && at.side === "target") answers.source = this.words.source.map((_, i) => this.weight(at.n, i));
    if (at && at.side === "source") answers.target = this.words.target.map((_, j) => this.weight(j, at.n));
    this.lines.classList.toggle("asking", Boolean(at));
    for (const side of ["source", "target"]) {
      this.words[side].forEach((word, n) => {
        const weight = answers[side][n] || 0;
        word.classList.toggle("here", Boolean(at) && at.side === side && at.n === n);
        word.classList.toggle("answers", weight >= 0.1);
        word.style.backgroundColor = weight >= 0.02 ? `rgb(var(--heat) / ${(0.06 + 0.5 * weight).toFixed(3)})` : "";
      });
    }
    this.fade(at);
    for (const { cell, i, j } of this.cells || []) cell.classList.remove("lit");
    (this.rows || []).forEach((row, n) => row.classList.toggle("lit", Boolean(at) && at.side === "target" && at.n === n));
    (this.columns || []).forEach((column, n) => column.classList.toggle("lit", Boolean(at) && at.side === "source" && at.n === n));
    [...this.owed.children].forEach((bar, n) => bar.classList.toggle("lit", Boolean(at) && at.side === "target" && at.n === n));
    this.describe(at, answers);
  }

  describe(at, answers) {
    if (!at) { this.say(`Shown: layer ${this.layer + 1}, ${plural(this.heads, "head")} ${this.heads.map((h) => h + 1).join(", ")}.`); return; }
    const other = at.side === "target" ? "source" : "target";
    const named = answers[other].map((weight, n) => ({ weight, name: this.pair[other][n].t }));
    if (at.side === "target") named.push({ weight: this.weight(at.n, this.pair.source.length), name: END });
    const top = named.sort((a, b) => b.weight - a.weight).slice(0, 3).filter((one) => one.weight >= 0.02);
    const name = at.n < this.pair[at.side].length ? this.pair[at.side][at.n].t : END;
    const parts = [make("b", { text: name, dir: "auto" }), at.side === "target" ? (top.length ? (this.chosen ? " was translated from " : " attends to ") : " attends to no single word") : (top.length ? " is attended to by " : " is attended to by no word")];
    top.forEach((one, n) => parts.push(n ? ", " : "", make("b", { text: one.name, dir: "auto" }), ` ${percent(one.weight)}`));
    this.say(...parts);
  }

  showGrid() {
    const all = range(this.model.heads), V = this.pair.target.length, W = this.pair.source.length + 1;
    const ink = colour("--heat"), nodes = [];
    for (const l of range(this.model.layers)) {
      nodes.push(make("span", { class: "row", text: `layer ${l + 1}` }));
      for (const heads of [...all.map((h) => [h]), all]) {
        const canvas = make("canvas", { width: W, height: Math.max(1, V) }), pen = canvas.getContext("2d"), picture = pen.createImageData(W, Math.max(1, V));
        for (const j of range(V)) for (const i of range(W)) picture.data.set([...ink, 255 * this.get(state.way, l, heads, j, i)], 4 * (j * W + i));
        pen.putImageData(picture, 0, 0);
        const one = heads.length === 1, best = this.model.reading;
        const chosen = l === best.layer && state.way === Number(best.shifted) && String(heads) === String(best.heads);
        const mark = one ? `${this.fact(l, heads[0]).entropy[state.way].toFixed(1)} bit` : "";
        const name = one ? `head ${heads[0] + 1}` : "mean";
        nodes.push(make("button", {
          class: "head", type: "button", "aria-pressed": l === this.layer && String(heads) === String(this.heads),
          "aria-label": `layer ${l + 1}, ${name}${chosen ? ", chosen for links" : ""}`,
          onclick: () => { this.layer = l; this.heads = heads; this.show(); },
        }, canvas, make("small", {}, make("span", { text: chosen ? `★ ${name}` : name, class: chosen ? "best" : "" }), make("span", { text: mark }))));
      }
    }
    this.grid.replaceChildren(...nodes);
  }

  fact(l, h) { return this.model.heads_seen[l * this.model.heads + h]; }

  showFacts() {
    const seen = this.heads.map((h) => this.fact(this.layer, h));
    const mean = (name) => seen.reduce((sum, one) => sum + one[name][state.way], 0) / seen.length;
    const rows = [["Layer and heads", `${this.layer + 1} · ${this.heads.map((h) => h + 1).join(", ")}`], [this.heads.length > 1 ? "Entropy, mean" : "Entropy", `${mean("entropy").toFixed(2)} bit`],
      ["On the end mark", percent(mean("end"))], ["On punctuation", percent(mean("signs"))]];
    if (seen[0].aer) rows.push([this.heads.length > 1 ? "AER, mean of heads" : "AER", (100 * mean("aer")).toFixed(1)]);
    this.facts.replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value }))));
  }

  showOwed() {
    const { dropped, shuffled, target, log_probs: log } = this.pair, most = Math.ceil(Math.max(4, ...dropped, ...shuffled));
    this.owed.replaceChildren(...target.map((word, j) => {
      const bars = [dropped[j], shuffled[j]].map((value) => { const bar = make("b"); bar.style.setProperty("--h", Math.max(0, value) / most); return bar; });
      return make("div", {
        title: `${word.t}: log-probability ${log[j].toFixed(2)}; ${dropped[j].toFixed(2)} lost when dropped, ${shuffled[j].toFixed(2)} when shuffled`,
        ...pointed({ side: "target", n: j }),
      }, make("small", { text: dropped[j].toFixed(1) }), make("i", {}, ...bars), make("span", { text: word.t, dir: "auto" }));
    }));
    const sum = (list) => list.reduce((a, b) => a + b, 0), words = Math.max(1, target.length);
    const mean = (list) => (sum(list) / words).toFixed(2);
    this.scale.textContent = `Scale: the upper line is at ${most} nats, the middle line at ${most / 2}; the number above a word is the height of its first bar.`;
    this.total.textContent = `Mean of the words: log-probability ${mean(log)}; ${mean(dropped)} nats are lost without the source, ${mean(shuffled)} with its words shuffled.`;
  }
}

choice("view", "view", [["lines", "Lines"], ["matrix", "Matrix"]]);
choice("way", "way", [[1, "Read at input"], [0, "Read at prediction"]]);
document.getElementById("sentences").classList.toggle("hidden", data.models[0].pairs.length < 2);
start((pair) => pair.source.map((word) => word.g + word.t).join("") || "(empty)");

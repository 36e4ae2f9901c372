// Letters: x row (0 predicts the word, 1 has it as input), l layer, h head, j piece of the target, m row of the memory.
const state = { pair: 0, way: 0, held: null };

/** A canvas with the source in its pixels. */
function sourceOf(pair) {
  const canvas = make("canvas", { width: pair.width, height: pair.height, class: "source" });
  const pen = canvas.getContext("2d"), picture = pen.createImageData(pair.width, pair.height);
  pair.drawn = pair.drawn || bytes(pair.pixels);
  for (const n of range(pair.width * pair.height)) picture.data.set([...pair.drawn.subarray(3 * n, 3 * n + 3), 255], 4 * n);
  pen.putImageData(picture, 0, 0);
  return canvas;
}

/** Weights, one for each row of the memory, as a canvas of the memory's grid; the largest is opaque. */
function heat(pair, weights, canvas = make("canvas", { class: "heat" })) {
  [canvas.height, canvas.width] = pair.grid;
  const pen = canvas.getContext("2d"), picture = pen.createImageData(canvas.width, canvas.height), ink = colour("--warm");
  const most = Math.max(...weights, 1e-9);
  weights.forEach((weight, m) => picture.data.set([...ink, (215 * weight) / most], 4 * m));
  pen.putImageData(picture, 0, 0);
  return canvas;
}

class Scene {
  constructor(model) {
    this.model = model;
    this.layer = model.layers - 1;
    this.heads = range(model.heads);
    this.body = make("section", { class: "model", "aria-label": model.name });
    this.line = make("p", { class: "text", dir: "auto" });
    this.stage = make("div", { class: "stage" });
    this.said = make("p", { class: "said", "aria-live": "polite" });
    this.strips = make("div", { class: "strips" });
    this.grid = make("div", { class: "grid", role: "group", "aria-label": "Heads by layers" });
    this.grid.style.setProperty("--columns", model.heads + 1);
    this.body.append(make("h2", { text: model.name }), this.line, this.stage, this.said,
      make("h3", { text: "Each piece" }), this.strips,
      make("h3", { text: "Heads by layers, the lowest layer on top: lines are pieces, columns rows of the source" }), this.grid);
  }

  get pair() { return this.model.pairs[state.pair]; }

  weights(j, l = this.layer, heads = this.heads) {
    const { pair, model } = this, V = pair.target.length, M = pair.grid[0] * pair.grid[1];
    pair.bytes = pair.bytes || bytes(pair.weights);
    const at = (h) => (((state.way * model.layers + l) * model.heads + h) * V + j) * M;
    return range(M).map((m) => heads.reduce((sum, h) => sum + pair.bytes[at(h) + m], 0) / (255 * heads.length));
  }

  show() {
    const pair = this.pair, words = pair.target, line = pair.grid[0] === 1;
    this.body.classList.toggle("line", line);
    this.marks = words.map((word, n) => pressed(word.t || "·", { n }));
    this.line.replaceChildren(...words.flatMap((word, n) => [word.g, this.marks[n]]));
    this.heat = make("canvas", { class: "heat" });
    this.stage.replaceChildren(sourceOf(pair), this.heat);
    this.stage.style.setProperty("--shape", line ? "auto" : `${pair.width} / ${pair.height}`);
    this.cards = words.map((word, n) => make("figure", { ...pointed({ n }), onclick: () => hold({ n }) },
      make("div", {}, ...(line ? [] : [sourceOf(pair)]), heat(pair, this.weights(n))), make("figcaption", { text: word.t || "·", dir: "auto" })));
    this.strips.replaceChildren(...this.cards);
    this.showGrid();
    this.point(state.held);
  }

  point(at) {
    if (!this.marks) return;
    if (at && at.n >= this.marks.length) at = null;
    [this.marks, this.cards].forEach((list) => list.forEach((one, n) => one.classList.toggle("here", Boolean(at) && at.n === n)));
    const mean = () => this.marks.map((_, n) => this.weights(n)).reduce((sum, list) => sum.map((value, m) => value + list[m] / this.marks.length), this.zeros());
    const weights = at ? this.weights(at.n) : mean();
    heat(this.pair, weights, this.heat);
    this.describe(at, weights);
  }

  zeros() { return range(this.pair.grid[0] * this.pair.grid[1]).map(() => 0); }

  describe(at, weights) {
    const pair = this.pair, top = weights.indexOf(Math.max(...weights)), columns = pair.grid[1];
    const each = pair.seconds && pair.seconds / columns;
    const place = each ? `${(top * each).toFixed(2)} to ${((top + 1) * each).toFixed(2)} s`
      : pair.grid[0] > 1 ? `row ${Math.floor(top / columns) + 1}, column ${(top % columns) + 1}` : `row ${top + 1}`;
    const heads = `layer ${this.layer + 1}, ${plural(this.heads, "head")} ${this.heads.map((h) => h + 1).join(", ")}`;
    if (!at) { this.said.replaceChildren(`Shown: the mean of all pieces, ${heads}.`); return; }
    this.said.replaceChildren(make("b", { text: pair.target[at.n].t || "·", dir: "auto" }),
      `: most of all ${place}, ${percent(weights[top])} of the weight; log-probability ${pair.log_probs[at.n].toFixed(2)} (${heads}).`);
  }

  showGrid() {
    const V = this.pair.target.length, M = this.pair.grid[0] * this.pair.grid[1], ink = colour("--warm"), all = range(this.model.heads), nodes = [];
    for (const l of range(this.model.layers)) {
      nodes.push(make("span", { class: "row", text: `layer ${l + 1}` }));
      for (const heads of [...all.map((h) => [h]), all]) {
        const canvas = make("canvas", { width: M, height: Math.max(1, V) }), pen = canvas.getContext("2d"), picture = pen.createImageData(M, Math.max(1, V));
        for (const j of range(V)) {
          const weights = this.weights(j, l, heads), most = Math.max(...weights, 1e-9);
          weights.forEach((weight, m) => picture.data.set([...ink, (255 * weight) / most], 4 * (j * M + m)));
        }
        pen.putImageData(picture, 0, 0);
        const name = heads.length === 1 && all.length > 1 ? `head ${heads[0] + 1}` : "mean";
        nodes.push(make("button", {
          class: "head", type: "button", "aria-pressed": l === this.layer && String(heads) === String(this.heads), "aria-label": `layer ${l + 1}, ${name}`,
          onclick: () => { this.layer = l; this.heads = heads; this.show(); },
        }, canvas, make("small", { text: name })));
      }
    }
    this.grid.replaceChildren(...nodes);
  }
}

choice("way", "way", [[0, "Read at prediction"], [1, "Read at input"]]);
start((pair) => pair.source);

// Letters: x row (0 predicts the word, 1 has it as input), l layer, h head, j piece of the target, m row of the memory.
const state = { pair: 0, way: 0, held: null };

/** A canvas with a picture in its pixels. */
function sourceOf(input) {
  const canvas = make("canvas", { width: input.width, height: input.height, class: "source" });
  const pen = canvas.getContext("2d"), picture = pen.createImageData(input.width, input.height);
  input.drawn = input.drawn || bytes(input.pixels);
  for (const n of range(input.width * input.height)) picture.data.set([...input.drawn.subarray(3 * n, 3 * n + 3), 255], 4 * n);
  pen.putImageData(picture, 0, 0);
  return canvas;
}

/** Weights, one for each row of an input, as a canvas of its grid; `most` is opaque. */
function heat(input, weights, most, canvas = make("canvas", { class: "heat" })) {
  [canvas.height, canvas.width] = input.grid;
  const pen = canvas.getContext("2d"), picture = pen.createImageData(canvas.width, canvas.height), ink = colour("--warm");
  weights.forEach((weight, m) => picture.data.set([...ink, (215 * weight) / most], 4 * m));
  pen.putImageData(picture, 0, 0);
  return canvas;
}

const largest = (weights) => Math.max(...weights, 1e-9);
const total = (weights) => weights.reduce((sum, weight) => sum + weight, 0);

/** The weights of each input, which follow each other. */
function split(pair, weights) {
  let first = 0;
  return pair.inputs.map((input) => weights.slice(first, first += input.rows));
}

/** An input with weights over it: a picture, a line of rows, or the pieces of a text. */
class View {
  constructor(input, named) {
    this.input = input;
    this.share = make("span", { class: "share" });
    this.heat = make("canvas", { class: "heat" });
    this.pieces = (input.words || []).map((word) => make("span", { class: "piece", text: word.t || "·" }));
    const stage = input.words
      ? make("p", { class: "text", dir: "auto" }, ...input.words.flatMap((word, n) => [word.g, this.pieces[n]]))
      : make("div", { class: "stage" }, sourceOf(input), this.heat);
    stage.style.setProperty("--shape", input.grid[0] === 1 ? "auto" : `${input.width} / ${input.height}`);
    this.body = make("div", { class: `view ${input.grid[0] === 1 ? "line" : ""}` }, named ? make("h3", {}, make("span", { text: input.name }), " ", this.share) : null, stage);
  }

  show(weights, most) {
    this.share.textContent = percent(total(weights));
    if (!this.input.words) heat(this.input, weights, most, this.heat);
    this.pieces.forEach((piece, n) => { piece.style.backgroundColor = `rgb(var(--warm) / ${((0.85 * weights[n]) / most).toFixed(3)})`; });
  }
}

class Scene {
  constructor(model) {
    this.model = model;
    this.layer = model.layers - 1;
    this.heads = range(model.heads);
    this.body = make("section", { class: "model", "aria-label": model.name });
    this.line = make("p", { class: "text", dir: "auto" });
    this.stages = make("div", { class: "views" });
    this.said = make("p", { class: "said", "aria-live": "polite" });
    this.strips = make("div", { class: "strips" });
    this.grid = make("div", { class: "grid", role: "group", "aria-label": "Heads by layers" });
    this.grid.style.setProperty("--columns", model.heads + 1);
    this.body.append(make("h2", { text: model.name }), this.line, this.stages, this.said,
      make("h3", { text: "Each piece" }), this.strips,
      make("h3", { text: "Heads by layers, the lowest layer on top: lines are pieces, columns rows of the source" }), this.grid);
  }

  get pair() { return this.model.pairs[state.pair]; }
  get rows() { return total(this.pair.inputs.map((input) => input.rows)); }

  weights(j, l = this.layer, heads = this.heads) {
    const { pair, model } = this, V = pair.target.length, M = this.rows;
    pair.bytes = pair.bytes || bytes(pair.weights);
    const at = (h) => (((state.way * model.layers + l) * model.heads + h) * V + j) * M;
    return range(M).map((m) => heads.reduce((sum, h) => sum + pair.bytes[at(h) + m], 0) / (255 * heads.length));
  }

  show() {
    const pair = this.pair, words = pair.target, several = pair.inputs.length > 1;
    this.body.classList.toggle("lines", pair.inputs.every((input) => input.grid[0] === 1));
    this.marks = words.map((word, n) => pressed(word.t || "·", { n }));
    this.line.replaceChildren(...words.flatMap((word, n) => [word.g, this.marks[n]]));
    this.views = pair.inputs.map((input) => new View(input, several));
    this.stages.replaceChildren(...this.views.map((view) => view.body));
    this.cards = words.map((word, n) => make("figure", { ...pointed({ n }), onclick: () => hold({ n }) },
      make("div", { class: "views" }, ...this.cells(this.weights(n))), make("figcaption", { text: word.t || "·", dir: "auto" })));
    this.strips.replaceChildren(...this.cards);
    this.showGrid();
    this.point(state.held);
  }

  /** The inputs with the weights of one piece, small. */
  cells(weights) {
    const most = largest(weights), parts = split(this.pair, weights);
    return this.pair.inputs.map((input, k) => {
      const line = input.grid[0] === 1;
      return make("div", { class: line ? "line" : "", title: `${input.name} ${percent(total(parts[k]))}` }, line ? null : sourceOf(input), heat(input, parts[k], most));
    });
  }

  point(at) {
    if (!this.marks) return;
    if (at && at.n >= this.marks.length) at = null;
    [this.marks, this.cards].forEach((list) => list.forEach((one, n) => one.classList.toggle("here", Boolean(at) && at.n === n)));
    const mean = () => this.marks.map((_, n) => this.weights(n)).reduce((sum, list) => sum.map((value, m) => value + list[m] / this.marks.length), range(this.rows).map(() => 0));
    const weights = at ? this.weights(at.n) : mean(), parts = split(this.pair, weights);
    this.views.forEach((view, k) => view.show(parts[k], largest(weights)));
    this.describe(at, weights, parts);
  }

  describe(at, weights, parts) {
    const { pair } = this, several = parts.length > 1, heads = `layer ${this.layer + 1}, ${plural(this.heads, "head")} ${this.heads.map((h) => h + 1).join(", ")}`;
    const shares = several ? ` Shares: ${pair.inputs.map((input, k) => `${input.name} ${percent(total(parts[k]))}`).join(", ")}.` : "";
    if (!at) { this.said.replaceChildren(`Shown: the mean of all pieces, ${heads}.${shares}`); return; }
    const most = largest(weights), k = parts.findIndex((part) => part.includes(most));
    if (k < 0) return; // no rows
    const input = pair.inputs[k], place = `${several ? `${input.name}, ` : ""}${this.place(input, parts[k].indexOf(most))}`;
    this.said.replaceChildren(make("b", { text: pair.target[at.n].t || "·", dir: "auto" }),
      `: most of all ${place}, ${percent(most)} of the weight; log-probability ${pair.log_probs[at.n].toFixed(2)} (${heads}).${shares}`);
  }

  /** A row of an input in words. */
  place(input, row) {
    const columns = input.grid[1], each = input.seconds && input.seconds / columns;
    if (input.words) return `“${input.words[row].t.trim()}”`;
    if (each) return `${(row * each).toFixed(2)} to ${((row + 1) * each).toFixed(2)} s`;
    return input.grid[0] > 1 ? `row ${Math.floor(row / columns) + 1}, column ${(row % columns) + 1}` : `row ${row + 1}`;
  }

  showGrid() {
    const V = this.pair.target.length, M = this.rows, ink = colour("--warm"), all = range(this.model.heads), nodes = [];
    for (const l of range(this.model.layers)) {
      nodes.push(make("span", { class: "row", text: `layer ${l + 1}` }));
      for (const heads of [...all.map((h) => [h]), all]) {
        const canvas = make("canvas", { width: M, height: Math.max(1, V) }), pen = canvas.getContext("2d"), picture = pen.createImageData(M, Math.max(1, V));
        for (const j of range(V)) {
          const weights = this.weights(j, l, heads), most = largest(weights);
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
/** The cells of a pair: texts, and names of files without their folders. */
start((pair) => pair.source.split("\t").map((cell, k) => (pair.inputs[k].words ? cell : cell.split("/").pop())).join(" · ") || "(empty)");

// A translation in words: each is linked to the words that it came from, and says how sure the model was.

const UNSURE = 0.3; // a word less likely than this is marked

export function showWords(place, side, kind) {
  // Elements for the words of one side, with all that stands between them.
  place.replaceChildren(side.before);
  side.tokens.forEach((token, number) => {
    const word = document.createElement("span");
    word.className = kind;
    word.dataset.n = number;
    word.textContent = token.text;
    if (kind === "word") {
      word.tabIndex = number === 0 ? 0 : -1;
      word.setAttribute("role", "button");
      word.setAttribute("aria-haspopup", "listbox");
      const sure = Math.round(100 * token.probability);
      const unsure = token.probability < UNSURE && /[\p{L}\p{N}]/u.test(token.text);
      word.classList.toggle("unsure", unsure);
      word.title = `${sure} % likely`;
      if (unsure) word.setAttribute("aria-description", `the model is unsure, ${sure} % likely`);
    }
    place.append(word, token.after);
  });
}

export function light(places, links, from, number) {
  // Mark a word and its links; from: "word" (of the translation) or "from" (of the source); none: number null.
  for (const place of Object.values(places)) {
    for (const element of place.querySelectorAll(".at, .linked")) element.classList.remove("at", "linked");
  }
  if (number === null) return;
  places[from].querySelector(`[data-n="${number}"]`)?.classList.add("at");
  const [mine, other, there] = from === "word" ? [1, 0, "from"] : [0, 1, "word"];
  const found = links.filter((link) => link[mine] === number);
  const most = Math.max(0, ...found.map((link) => link[2]));
  for (const link of found) {
    if (link[2] >= 0.2 && link[2] >= most / 2) {
      places[there].querySelector(`[data-n="${link[other]}"]`)?.classList.add("linked");
    }
  }
}

export function splice(state, number, part) {
  // The state with the translation of a segment replaced by that of `part`, an answer for the segment alone.
  const { segments, links, source, target } = state;
  const { source: [firstIn, lastIn], target: [first, last] } = segments[number];
  const moved = part.target.tokens.length - (last - first);
  const tail = target.tokens[last - 1]?.after ?? "";
  const fresh = part.target.tokens.map((token) => ({ ...token }));
  if (fresh.length) fresh[fresh.length - 1].after = tail;
  const tokens = [...target.tokens.slice(0, first), ...fresh, ...target.tokens.slice(last)];
  const shift = (place) => (place >= last ? place + moved : place);
  return {
    ...state,
    target: { before: target.before, tokens },
    translatedText: target.before + tokens.map((token) => token.text + token.after).join(""),
    source,
    links: [
      ...links.filter(([, j]) => j < first || j >= last).map(([i, j, weight]) => [i, shift(j), weight]),
      ...part.links.map(([i, j, weight]) => [Math.min(i + firstIn, lastIn - 1), j + first, weight]),
    ],
    segments: segments.map((segment, n) => {
      if (n === number) return { ...segment, target: [first, last + moved], translation: part.translatedText };
      return { ...segment, target: segment.target.map((place) => (n > number ? shift(place) : place)) };
    }),
    alternatives: [],
  };
}

export function showMatrix(place, answer) {
  // The weights of each segment: a row for each word of the translation, a column for each of the source.
  place.replaceChildren();
  for (const segment of answer.segments) {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    head.append(document.createElement("th"));
    const columns = [...answer.source.tokens.slice(...segment.source).map((token) => token.text), "(end)"];
    for (const text of columns) head.append(heading(text, "col"));
    const body = table.createTBody();
    answer.target.tokens.slice(...segment.target).forEach((token, n) => {
      const row = body.insertRow();
      row.append(heading(token.text, "row"));
      (segment.attention[n] ?? []).forEach((weight, column) => {
        const cell = row.insertCell();
        cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(100 * weight)}%, transparent)`;
        cell.title = `${token.text} – ${columns[column]}: ${Math.round(100 * weight)} %`;
      });
    });
    place.append(table);
  }
}

function heading(text, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = text;
  return cell;
}

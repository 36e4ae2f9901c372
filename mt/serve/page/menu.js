// A list of words to choose from, beside the word that they may replace.

const menu = document.getElementById("menu");
let opener = null;

export function openMenu(word, choices, chosen) {
  closeMenu();
  opener = word;
  menu.replaceChildren(
    ...choices.map((one) => {
      const choice = document.createElement("div");
      choice.className = "choice";
      choice.role = "option";
      choice.tabIndex = -1;
      choice.dir = "auto";
      choice.title = one.translatedText;
      const chance = document.createElement("small");
      chance.textContent = `${(100 * one.probability).toFixed(one.probability < 0.1 ? 1 : 0)} %`;
      choice.append(one.word, chance);
      choice.addEventListener("click", () => {
        closeMenu();
        chosen(one);
      });
      return choice;
    }),
  );
  if (!choices.length) {
    const none = document.createElement("div");
    none.className = "choice";
    none.tabIndex = -1;
    none.textContent = "No other word is likely here.";
    none.addEventListener("click", closeMenu);
    menu.append(none);
  }
  menu.hidden = false;
  const box = word.getBoundingClientRect();
  const most = document.documentElement.clientWidth - menu.offsetWidth - 8;
  menu.style.left = `${Math.max(8, Math.min(box.left, most)) + scrollX}px`;
  menu.style.top = `${box.bottom + scrollY + 4}px`;
  menu.firstElementChild.focus();
}

export function closeMenu() {
  if (menu.hidden) return;
  menu.hidden = true;
  menu.replaceChildren();
  if (opener?.isConnected) opener.focus({ preventScroll: true });
  opener = null;
}

menu.addEventListener("keydown", (event) => {
  const choices = [...menu.children];
  const number = choices.indexOf(document.activeElement);
  const next = { ArrowDown: number + 1, ArrowUp: number - 1, Home: 0, End: choices.length - 1 }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    choices[(next + choices.length) % choices.length].focus();
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    document.activeElement.click();
  } else if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    closeMenu();
  }
});
document.addEventListener("pointerdown", (event) => {
  if (!menu.contains(event.target)) closeMenu();
});

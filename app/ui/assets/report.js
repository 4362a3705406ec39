"use strict";
// Filters and sorts the list of incidents. Without it the list is whole, the newest first, and nothing here is shown.
// It stands in a document that must be XML too, so the signs for "and" and "less than" are not used.
(() => {
  const section = document.querySelector("section.incidents");
  const controls = section.querySelector(".filter");
  if (!controls) return;
  const chips = [...controls.querySelectorAll("button")];
  const search = controls.querySelector("input");
  const count = controls.querySelector("output");
  const heads = [...section.querySelectorAll("thead th")];
  const body = section.querySelector("tbody");
  const rows = [...body.rows];
  const isPressed = (chip) => chip.getAttribute("aria-pressed") === "true";

  const filter = () => {
    const words = search.value.toLowerCase().split(" ");
    const pressed = chips.filter(isPressed);
    const groups = [...new Set(pressed.map((chip) => chip.name))];
    const holds = (row, chip) => row.dataset[chip.name].split("\n").includes(chip.value);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      const isFound = words.every((word) => text.includes(word));
      const isChosen = groups.every((name) => pressed.some((chip) => (chip.name === name ? holds(row, chip) : false)));
      row.hidden = !(isFound ? isChosen : false);
    });
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  };

  const sort = (head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const order = new Intl.Collator("en", { numeric: true });
    rows.sort((one, other) => (down ? -1 : 1) * order.compare(key(one), key(other)));
    body.append(...rows);
  };

  chips.forEach((chip) => chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(!isPressed(chip)));
    filter();
  }));
  search.addEventListener("input", filter);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head, column));
  });
  filter();
  controls.hidden = false;
})();

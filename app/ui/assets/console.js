"use strict";
// What pages gain from a script: parts that stay fresh, the browser's own zone to choose, addresses to copy, tables to
// sort. Every page is whole without it.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Parts marked data-refresh="SECONDS" are fetched again with the page and put in the place of the old ones.
  const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open] form") !== null;
  const opened = (part) => new Set(all("details", part).flatMap((one, place) => (one.open ? [place] : [])));
  const replace = (part, fresh) => {
    const open = opened(part);
    all("details", fresh).forEach((one, place) => { if (open.has(place)) one.open = true; });
    if (part.innerHTML === fresh.innerHTML) return;
    part.replaceWith(fresh);
  };
  const refresh = async (ids) => {
    const parts = ids.map((id) => document.getElementById(id)).filter((part) => part?.dataset.refresh && !busy(part));
    if (document.hidden || parts.length === 0) return;
    const address = new URL(location.href);
    address.searchParams.delete("done");
    try {
      const reply = await fetch(address, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!reply.ok) return;
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      parts.forEach((part) => { const fresh = page.getElementById(part.id); if (fresh) replace(part, fresh); });
    } catch { /* the next round tries again */ }
  };
  const bySeconds = new Map();
  for (const part of all("[data-refresh]")) {
    const ids = bySeconds.get(part.dataset.refresh) ?? [];
    bySeconds.set(part.dataset.refresh, [...ids, part.id]);
  }
  for (const [seconds, ids] of bySeconds) setInterval(() => refresh(ids), Number(seconds) * 1000);

  // The browser's own zone, first among those to choose from.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const select of all("[data-zone] select")) {
    if (zone && ![...select.options].some((option) => option.value === zone)) select.prepend(new Option(zone, zone));
    select.addEventListener("change", () => select.form.requestSubmit());
  }

  // An address is chosen whole, and copied by a button.
  for (const field of all("[data-copy]")) {
    field.addEventListener("focus", () => field.select());
    if (!navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    field.closest(".row").append(button);
  }

  // Tables marked data-sortable, by the words in a column; numbers in words are compared as numbers.
  const order = new Intl.Collator("en", { numeric: true });
  for (const table of all("table[data-sortable]")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const text = (row) => row.cells[column].textContent.trim();
        const rows = [...table.tBodies[0].rows].sort((one, other) => (down ? -1 : 1) * order.compare(text(one), text(other)));
        table.tBodies[0].append(...rows);
      });
    });
  }
})();

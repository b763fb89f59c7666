// Tables that sort by a click on a column's head, show the rows that hold given words, and hide
// columns. Without this script they are plain tables.
"use strict";
const FEWEST = 6;
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function value(cell) {
  const text = cell.textContent.trim().replaceAll("−", "-");
  const found = /^(-?[\d.]+|-?∞)(?:·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?/.exec(text.replace(/^< /, "").replace(/^10(?=[⁻⁰¹²³⁴⁵⁶⁷⁸⁹])/, "1·10"));
  if (!found) return text;
  if (found[1].endsWith("∞")) return found[1] === "∞" ? Infinity : -Infinity;
  const power = [...(found[2] ?? "")].map((c) => (c === "⁻" ? "-" : RAISED.indexOf(c))).join("");
  return Number(found[1]) * 10 ** Number(power || 0);
}

function compared(a, b) {
  const numbers = [typeof a, typeof b].map((kind) => kind === "number");
  if (numbers[0] && numbers[1]) return a - b;
  if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
  return a.localeCompare(b, undefined, { numeric: true });
}

function sortable(table, head, column) {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [value(row.cells[column]), row]);
    keyed.sort(([a], [b]) => (down ? -compared(a, b) : compared(a, b)));
    body.append(...keyed.map(([, row]) => row));
  });
}

function filter(table, tools) {
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "rows with these words";
  input.setAttribute("aria-label", "show rows that hold these words");
  const count = document.createElement("span");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
  });
  tools.append(input, count);
}

function columns(table, tools) {
  const menu = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "columns";
  menu.append(summary);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      for (const row of table.rows) row.cells[column].hidden = !box.checked;
    });
    label.append(box, head.textContent);
    menu.append(label);
  });
  tools.append(menu);
}

for (const table of document.querySelectorAll("table.data")) {
  if (table.tBodies[0].rows.length < FEWEST) continue;
  const tools = document.createElement("div");
  tools.className = "tools";
  filter(table, tools);
  columns(table, tools);
  table.parentElement.before(tools);
  [...table.tHead.rows[0].cells].forEach((head, column) => sortable(table, head, column));
}

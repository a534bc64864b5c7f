// Tables, and the figures and times in them.

import { element } from "./api.js";

export const number = (value) => value.toLocaleString("en");

export function length(seconds) {
  if (seconds === null) return "-";
  const units = [["day", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  let rest = seconds;
  const parts = units.slice(first, first + 2).map(([name, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count ? `${count} ${name}${name === "day" && count > 1 ? "s" : ""}` : "";
  });
  return parts.filter(Boolean).join(" ") || "0 s";
}

export function fill(table, heads, rows) {
  const head = element("thead", "");
  head.append(row(heads.map((text) => element("th", text, { scope: "col" }))));
  const body = element("tbody", "");
  body.append(...rows.map(([name, ...cells]) => {
    const first = element("th", "", { scope: "row" });
    first.append(name);
    return row([first, ...cells.map((content) => {
      const cell = element("td", "");
      cell.append(content);
      return cell;
    })]);
  }));
  table.replaceChildren(head, body);
}

function row(cells) {
  const line = element("tr", "");
  line.append(...cells);
  return line;
}

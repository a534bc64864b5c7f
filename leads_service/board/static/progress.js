// The progress: funnel, leads per week, time in each status, conversion rate.

import { $, complain, element, facts, now, plural, send, start } from "./api.js";

const filters = $("#filters");
const DEFAULT_SPAN = "90d";
// A span begins with a day, so that the board's filters can name the same leads.
const DAYS = { "30d": 30, "90d": 90, "1y": 365 };
const SERIES = ["created", "converted", "lost"];
const CHART = { height: 240, top: 10, bottom: 24, left: 52, date: 84 }; // pixels; date: what one takes below

const percent = (share) => (share === null ? "-" : `${(100 * share).toFixed(1)} %`);
const number = (value) => value.toLocaleString("en");

function length(seconds) {
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

function svg(name, attributes, ...content) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...content);
  return node;
}

/** A bar in a cell; the cell beside it says the same in figures. */
function bar(share, status) {
  const box = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": true, class: "bar" });
  box.append(svg("rect", { width: Math.max(share * 100, share ? 0.5 : 0), height: 10, "data-status": status }));
  return box;
}

function link(text, query) {
  const own = new URLSearchParams(location.search).get("company_id");
  const all = new URLSearchParams({ ...query, ...(own && { company_id: own }) });
  return element("a", text, { href: `${facts.board}?${all}` });
}

function fill(table, heads, rows) {
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

function day(date, days = 0) {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
}

const from = (since) => (since ? { created_after: since.slice(0, 10) } : {});

function showFunnel({ steps, lost }, since) {
  const span = from(since);
  const most = Math.max(1, steps[0].leads);
  const rows = steps.map((step) => [step.status, bar(step.leads / most, step.status), link(number(step.leads), span), percent(step.share)]);
  rows.push(["lost", bar(lost / most, "lost"), link(number(lost), span), ""]);
  fill($("#funnel"), ["Status", "", "Leads", "Went on"], rows);
}

function showWeeks(weeks, since) {
  const first = since?.slice(0, 10) ?? "";
  const begin = (week) => (week.monday < first ? first : week.monday);
  const rows = weeks.map((week) => [
    week.monday,
    link(number(week.created), { created_after: begin(week), created_before: day(week.monday, 6) }),
    number(week.converted),
    number(week.lost),
  ]);
  fill($("#weeks-table"), ["Week of", "Created", "Converted", "Lost"], rows.reverse());
  chart.weeks = weeks.slice(-104);
  drawChart();
}

const chart = { weeks: null, width: 0 };

function drawChart() {
  const { weeks: shown, width } = chart;
  if (!shown || !width) return; // once the page is seen
  const most = Math.max(1, ...shown.flatMap((week) => SERIES.map((name) => week[name])));
  const { height, top, bottom, left, date } = CHART;
  const step = (width - left) / Math.max(1, shown.length);
  const at = (value) => top + (height - top - bottom) * (1 - value / most);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `Leads per week: ${shown.length} weeks, at most ${number(most)} in one; the table has all figures` });
  for (const value of new Set([0, Math.round(most / 2), most])) {
    picture.append(svg("line", { x1: left, x2: width, y1: at(value), y2: at(value), class: "grid" }));
    picture.append(svg("text", { x: left - 6, y: at(value) + 4, "text-anchor": "end" }, number(value)));
  }
  shown.forEach((week, index) => {
    SERIES.forEach((name, place) => {
      const wide = (step * 0.84) / SERIES.length;
      const x = left + index * step + step * 0.08 + place * wide;
      const title = svg("title", {}, `${week.monday}: ${plural(week[name])} ${name}`);
      picture.append(svg("rect", { x, y: at(week[name]), width: wide, height: at(0) - at(week[name]), "data-series": name }, title));
    });
    const x = left + index * step;
    if (index % Math.ceil(date / step) === 0 && x + date <= width) picture.append(svg("text", { x, y: height - 6 }, week.monday));
  });
  const legend = element("p", "", { className: "legend" });
  for (const name of SERIES) {
    const key = svg("svg", { viewBox: "0 0 10 10", "aria-hidden": true }, svg("rect", { width: 10, height: 10, "data-series": name }));
    const entry = element("span", "");
    entry.append(key, ` ${name}`);
    legend.append(entry);
  }
  $("#weeks").replaceChildren(shown.length ? picture : element("p", "There are no leads yet."), legend);
}

new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width === chart.width) return;
  chart.width = contentRect.width;
  drawChart();
}).observe($("#weeks"));

function showStays(stays) {
  const most = Math.max(1, ...stays.map((stay) => stay.ninetieth ?? 0));
  fill(
    $("#stays"),
    ["Status", "Median", "", "90 % within", "Stays"],
    stays.map((stay) => [stay.status, length(stay.median), bar((stay.median ?? 0) / most, stay.status), length(stay.ninetieth), number(stay.ended)]),
  );
}

function showRate({ outcome, before, since }) {
  const said = ({ converted, created }) => `${number(converted)} converted, ${number(created)} created`;
  $("#rate").replaceChildren(link(percent(outcome.conversion_rate), from(since)), element("small", ` ${said(outcome)}`));
  let trend = "";
  if (before) {
    const change = outcome.conversion_rate - before.conversion_rate;
    const word = change > 0 ? "▲ more than" : change < 0 ? "▼ less than" : "the same as";
    const compares = before.conversion_rate !== null && outcome.conversion_rate !== null;
    trend = compares
      ? `${word} the span before: ${percent(before.conversion_rate)} (${said(before)})`
      : `The span before: ${said(before)}`;
  }
  $("#trend").textContent = trend;
}

async function load() {
  const query = new URLSearchParams(location.search);
  filters.elements.span.value = query.get("span") ?? DEFAULT_SPAN;
  filters.elements.company_id.value = query.get("company_id") ?? "";
  filters.elements.company_id.removeAttribute("aria-invalid");
  const days = DAYS[filters.elements.span.value];
  query.set("span", days ? day(new Date(now()).toISOString(), -days) : filters.elements.span.value || query.get("span"));
  let figures;
  try {
    figures = await send("GET", `${facts.board}/figures?${query}`);
  } catch (problem) {
    if (problem.fields.company_id) filters.elements.company_id.setAttribute("aria-invalid", true);
    throw problem;
  }
  complain("");
  showRate(figures);
  showFunnel(figures.funnel, figures.since);
  showWeeks(figures.weeks, figures.since);
  showStays(figures.stays);
}

const reload = () => load().catch((problem) => complain(problem.text));

function apply(event) {
  event?.preventDefault();
  const query = new URLSearchParams({ span: filters.elements.span.value });
  const company = filters.elements.company_id.value.trim();
  if (company) query.set("company_id", company);
  if (location.search === `?${query}`) return; // Enter in a field that has changed: both are said
  history.pushState(null, "", `?${query}`);
  reload();
}

filters.addEventListener("change", apply);
filters.onsubmit = apply;
addEventListener("popstate", reload);
start(load);

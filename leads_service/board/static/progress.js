// The progress: funnel, leads per week, time in each status, conversion rate.

import { $, complain, element, facts, now, plural, send, start } from "./api.js";
import { fill, length, number } from "./tables.js";

const filters = $("#filters");
const DEFAULT_SPAN = "90d";
// A span begins with a day.
const DAYS = { "30d": 30, "90d": 90, "1y": 365 };
const ENDS = ["converted", "lost"];
const SERIES = ["created", ...ENDS];
const MIDNIGHT = /T00:00:00\.0+Z$/; // a day alone stands for its beginning
const CHART = { height: 240, top: 10, bottom: 24, left: 52, date: 84 }; // pixels; date: what one takes below

const percent = (share) => (share === null ? "-" : `${(100 * share).toFixed(1)} %`);

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

/** The address of the leads that a figure counts: `{since, until}` and what they have in common. */
function link(text, span, what) {
  const own = new URLSearchParams(location.search).get("company_id");
  const query = { ...what, since: span.since?.replace(MIDNIGHT, ""), until: span.until.replace(MIDNIGHT, ""), company_id: own };
  const given = Object.entries(query).filter(([, value]) => value);
  return element("a", text, { href: `${facts.board}/progress/leads?${new URLSearchParams(given)}` });
}

/** A figure, with a link to what it counts if that is any. */
const counted = (count, span, what, text = number(count)) => (count ? link(text, span, what) : text);

function day(date, days = 0) {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
}

function showFunnel({ steps, lost }, span) {
  const most = Math.max(1, steps[0].leads);
  const rows = steps.map((step) => [step.status, bar(step.leads / most, step.status), counted(step.leads, span, { reached: step.status }), percent(step.share)]);
  rows.push(["lost", bar(lost / most, "lost"), counted(lost, span, { reached: "lost" }), ""]);
  fill($("#funnel"), ["Status", "", "Leads", "Went on"], rows);
}

function showWeeks(weeks, { since, until }) {
  const rows = weeks.map((week) => {
    const [first, end] = [since ?? "", day(week.monday, 7)];
    const span = { since: week.monday < first ? first : week.monday, until: end < until ? end : until };
    const ended = ENDS.map((status) => counted(week[status], span, { became: status }));
    return [week.monday, counted(week.created, span, { reached: "new" }), ...ended];
  });
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

function showStays(stays, span) {
  const most = Math.max(1, ...stays.map((stay) => stay.ninetieth ?? 0));
  fill(
    $("#stays"),
    ["Status", "Median", "", "90 % within", "Stays"],
    stays.map((stay) => {
      const cell = (text) => counted(stay.ended, span, { left: stay.status }, text);
      return [stay.status, cell(length(stay.median)), bar((stay.median ?? 0) / most, stay.status), cell(length(stay.ninetieth)), cell(number(stay.ended))];
    }),
  );
}

function showRate({ outcome, before, before_since, since, until }) {
  const said = ({ converted, created }, span) => [
    counted(converted, span, { became: "converted" }, `${number(converted)} converted`),
    ", ",
    counted(created, span, { reached: "new" }, `${number(created)} created`),
  ];
  const counts = element("small", "");
  counts.append(...said(outcome, { since, until }));
  $("#rate").replaceChildren(percent(outcome.conversion_rate), counts);
  $("#trend").replaceChildren();
  if (!before) return;
  const change = outcome.conversion_rate - before.conversion_rate;
  const word = change > 0 ? "▲ more than" : change < 0 ? "▼ less than" : "the same as";
  const compares = before.conversion_rate !== null && outcome.conversion_rate !== null;
  const countsBefore = said(before, { since: before_since, until: since });
  if (compares) $("#trend").append(`${word} the span before: ${percent(before.conversion_rate)} (`, ...countsBefore, ")");
  else $("#trend").append("The span before: ", ...countsBefore);
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
  showFunnel(figures.funnel, figures);
  showWeeks(figures.weeks, figures);
  showStays(figures.stays, figures);
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

// The leads that a figure of the progress counts; the address says which.

import { $, $$, complain, element, facts, firstLine, plural, send, start, when } from "./api.js";
import { fill, length, number } from "./tables.js";

const query = new URLSearchParams(location.search);
const event = ["reached", "became", "left"].find((name) => query.has(name));
const status = query.get(event);
const isCreated = event === "reached" && status === "new";
const leads = [];
let total = 0;
let cursor = null;

function day(time, back = 0) {
  return new Date(Date.parse(time) - back).toLocaleDateString(undefined, { dateStyle: "medium", timeZone: "UTC" });
}

function title() {
  const since = query.get("since");
  const last = day(query.get("until"), 1); // the end does not belong to the time
  const span = since ? `${day(since)} to ${last}` : `until ${last}`;
  const what = {
    reached: `created ${span}${isCreated ? "" : status === "lost" ? " that were lost" : ` that reached ${status}`}`,
    became: `first ${status} ${span}`,
    left: `that left ${status} ${span}`,
  };
  const company = query.get("company_id");
  return `Leads ${company ? `of company ${company} ` : ""}${what[event]}`;
}

function count() {
  if (event !== "left") return plural(total);
  const stays = `${number(total)} stay${total === 1 ? "" : "s"}`;
  return cursor ? `${stays}; each lead once, with its longest` : `${stays} of ${plural(leads.length)}, each with its longest`;
}

function show() {
  const timed = { reached: ["Reached"], became: ["Since"], left: ["Stayed", "Until"] }[event];
  const rows = leads.map((lead) => [
    element("a", `Company ${lead.company_id}`, { href: `${facts.board}?lead=${lead.id}` }),
    lead.status,
    number(lead.score),
    when(lead.created_at),
    ...(event === "left" ? [length(lead.place)] : []),
    ...(isCreated ? [] : [when(lead.counted_at)]),
    element("span", firstLine(lead), { className: "notes", dir: "auto" }),
  ]);
  fill($("#leads"), ["Company", "Status", "Score", "Created", ...(isCreated ? [] : timed), "Notes"], rows);
  $("#counted-title").textContent = document.title = title();
  $("#count").textContent = count();
  $("#more").hidden = !cursor;
}

async function load() {
  const more = new URLSearchParams(query);
  if (cursor) more.set("cursor", cursor);
  const page = await send("GET", `${facts.board}/figures/leads?${more}`);
  complain("");
  total = page.count ?? total;
  cursor = page.next_cursor;
  leads.push(...page.data);
  show();
}

$("#more").onclick = async ({ target }) => {
  const shown = leads.length;
  target.disabled = true;
  try {
    await load();
    $$("#leads a")[shown]?.focus();
  } catch (problem) {
    complain(problem.text);
  } finally {
    target.disabled = false;
  }
};

start(() => {
  leads.length = 0;
  cursor = null;
  return load();
});

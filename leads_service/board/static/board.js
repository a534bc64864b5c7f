// The board: columns of cards, and the ways to move them.

import { $, $$, announce, ask, complain, element, facts, firstLine, now, ofLead, plural, send, start } from "./api.js";
import { change, openNew, openPanel } from "./panel.js";
import { draggable } from "./drag.js";

const PAGE = 50; // leads
const POLL = 12_000; // milliseconds
const MARGIN = 8; // cards that are drawn above and below what is seen
const DAY = 86_400_000; // milliseconds
const SLOW = 14; // days in an open status
const STALE = 30;
const CLOSED = ["converted", "lost"];
const MAX_REQUESTS = 4; // at a time, of one move

const filters = $("#filters");
const selected = new Set(); // ids
const moving = new Set(); // ids whose move has not been answered
// What was asked before a change here was answered does not take it back.
const changedAt = new Map(); // by id, in ticks
let tick = 0;
const noteChange = (id) => changedAt.set(id, ++tick);
let isReadOnly = false;
let isDragging = false;
let last = null; // the last move, as a list of [the lead as it was, its new status]
let active = null; // the card that has or had the focus, {column, id, lead}
let anchor = null; // the id of the card from which a range is selected

const newestFirst = (a, b) => b.created_at.localeCompare(a.created_at) || b.id - a.id;

function age(lead) {
  const passed = Math.max(0, now() - Date.parse(lead.since));
  const days = Math.floor(passed / DAY);
  if (days) return [`${days} day${days === 1 ? "" : "s"}`, days];
  const hours = Math.floor(passed / 3_600_000);
  return [hours ? `${hours} h` : `${Math.floor(passed / 60_000)} min`, 0];
}

class Column {
  leads = []; // newest first: the pages that are loaded, and cards that were moved here
  total = 0;
  hasMore = true;
  cursor = null; // the last lead of the last page
  loading = null;
  cards = new Map(); // elements by id

  constructor(section) {
    this.section = section;
    this.status = section.dataset.status;
    this.list = $("ul", section);
    this.scroller = $(".scroller", section);
    this.scroller.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.scroller);
  }

  clear() {
    Object.assign(this, { leads: [], hasMore: true, cursor: null, loading: null });
    this.scroller.scrollTop = 0;
  }

  /** Take over a page of what the service has after the lead `after`. */
  merge(page, after, asked) {
    const end = page.has_more ? page.data.at(-1) : null;
    const isKept = (lead) => moving.has(lead.id) || changedAt.get(lead.id) > asked;
    const isOutside = (lead) => (after && newestFirst(lead, after) <= 0) || (end && newestFirst(end, lead) < 0);
    const fresh = page.data.filter((lead) => !isKept(lead));
    const ids = new Set(fresh.map((lead) => lead.id));
    const stay = this.leads.filter((lead) => !ids.has(lead.id) && (isKept(lead) || isOutside(lead)));
    this.leads = [...stay, ...fresh].sort(newestFirst);
    for (const other of columns) {
      if (other === this || !other.leads.some((lead) => ids.has(lead.id))) continue;
      other.leads = other.leads.filter((lead) => !ids.has(lead.id));
      other.draw();
    }
    if (!this.cursor || !end || newestFirst(this.cursor, end) <= 0) {
      this.cursor = end;
      this.hasMore = page.has_more;
    }
    this.draw();
  }

  async fetch(after) {
    const query = filtersInAddress();
    query.set("status", this.status);
    query.set("limit", PAGE);
    if (after) query.set("cursor", after.id);
    const asked = [generation, tick];
    const page = await send("GET", `${facts.board}/cards?${query}`);
    if (asked[0] === generation) this.merge(page, after, asked[1]);
  }

  async loadMore() {
    this.loading ??= this.fetch(this.cursor).finally(() => (this.loading = null));
    try {
      await this.loading;
    } catch (problem) {
      away = problem.text;
      this.hasMore = problem.status ? false : this.hasMore;
      complain(problem.text);
    }
  }

  /** Ask again for the newest page, and for the part that is seen. */
  async refresh() {
    await this.fetch(null);
    const [first] = this.range();
    if (first > PAGE / 2) await this.fetch(this.leads[first - 1]);
  }

  add(lead) {
    this.leads.push(lead);
    this.leads.sort(newestFirst);
    this.total += 1;
    this.draw();
  }

  remove(lead) {
    this.leads = this.leads.filter((one) => one.id !== lead.id);
    this.total -= 1;
    this.draw();
  }

  range() {
    const height = cardHeight();
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - MARGIN);
    return [first, first + Math.ceil(this.scroller.clientHeight / height) + 2 * MARGIN];
  }

  draw() {
    const [first, end] = this.range();
    const seen = this.leads.slice(first, end);
    const height = cardHeight();
    const ids = new Set(seen.map((lead) => lead.id));
    for (const [id, card] of this.cards) {
      if (ids.has(id)) continue;
      const isGone = !this.leads.some((lead) => lead.id === id); // not only scrolled away
      if (isGone && card.contains(document.activeElement)) queueMicrotask(() => isLost() && (focusNext() || focusBoard()));
      card.remove();
      this.cards.delete(id);
    }
    const tabbed = seen.some((lead) => lead.id === active?.id) ? active.id : seen[0]?.id;
    let previous = null;
    seen.forEach((lead, index) => {
      let card = this.cards.get(lead.id);
      if (!card) this.cards.set(lead.id, (card = $("#card").content.firstElementChild.cloneNode(true)));
      this.fill(card, lead, first + index, lead.id === tabbed);
      // Only what stands elsewhere is moved: a node that moves loses the focus.
      const place = previous ? previous.nextSibling : this.list.firstChild;
      if (place !== card) this.list.insertBefore(card, place);
      previous = card;
    });
    this.list.style.paddingTop = `${first * height}px`;
    this.list.style.paddingBottom = `${Math.max(0, this.leads.length - end) * height}px`;
    const count = plural(this.total);
    this.section.setAttribute("aria-label", `${this.status}, ${count}`);
    $(".count", this.section).textContent = count;
    if (this.hasMore && this.cursor && end > this.leads.length - PAGE / 2) this.loadMore();
  }

  fill(card, lead, index, isTabbed) {
    const name = `Company ${lead.company_id}`;
    const [text, days] = age(lead);
    const isOpen = !CLOSED.includes(lead.status);
    const mark = isOpen && days > STALE ? "stale" : isOpen && days > SLOW ? "slow" : "";
    card.dataset.id = lead.id;
    card.setAttribute("aria-label", `${name}, score ${lead.score}, ${text} in ${lead.status}${mark && `, ${mark}`}`);
    card.setAttribute("aria-setsize", this.total);
    card.setAttribute("aria-posinset", index + 1);
    card.classList.toggle("selected", selected.has(lead.id));
    for (const one of [card, $("input", card), $(".move", card)]) one.tabIndex = isTabbed ? 0 : -1;
    $("strong", card).textContent = name;
    $("input", card).checked = selected.has(lead.id);
    $("input", card).ariaLabel = `Select company ${lead.company_id}`;
    $(".move", card).ariaLabel = `Move company ${lead.company_id}`;
    $(".score", card).textContent = lead.score;
    $(".score", card).title = "Score";
    $("p", card).textContent = firstLine(lead);
    $(".age", card).textContent = text + (mark && ` · ${mark}`);
    $(".age", card).dataset.mark = mark;
  }

  focus(index) {
    const lead = this.leads[Math.max(0, Math.min(index, this.leads.length - 1))];
    if (!lead) return false;
    active = { column: this, id: lead.id, lead };
    anchor = lead.id;
    const height = cardHeight();
    const top = this.leads.indexOf(lead) * height;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) this.scroller.scrollTop = top + height - clientHeight;
    this.draw();
    this.cards.get(lead.id)?.focus();
    this.section.scrollIntoView({ block: "nearest", inline: "nearest" });
    return true;
  }
}

let height = 0;
function cardHeight() {
  return (height ||= parseFloat(getComputedStyle(document.body).getPropertyValue("--card")) || 104);
}

const columns = $$("#columns section").map((section) => new Column(section));
const columnOf = (status) => columns.find((column) => column.status === status);

function find(id) {
  for (const column of columns) {
    const index = column.leads.findIndex((lead) => lead.id === id);
    if (index >= 0) return { column, index, lead: column.leads[index] };
  }
  return null;
}

// Loading

let generation = 0; // of the filters; what was asked with others is not shown

async function countAll() {
  const asked = generation;
  const [began, counts] = [tick, await send("GET", `${facts.board}/summary?${filtersInAddress()}`)];
  if (asked !== generation || began !== tick || moving.size) return;
  for (const column of columns) column.total = counts[column.status];
}

async function load() {
  generation += 1;
  for (const field of filters.elements) field.removeAttribute("aria-invalid");
  for (const column of columns) column.clear();
  try {
    await countAll();
    await Promise.all(columns.map((column) => column.fetch(null)));
  } catch (problem) {
    away = problem.text;
    for (const name of Object.keys(problem.fields)) filters.elements[name]?.setAttribute("aria-invalid", true);
    throw problem;
  }
}

let away = ""; // why the last loading has failed
let refreshing = false;
let again = false; // whether to refresh once more, for what has changed since the present one asked
async function refresh() {
  if (isDragging || document.hidden || document.body.dataset.signedIn !== "true") return;
  again = refreshing;
  if (refreshing) return;
  refreshing = true;
  try {
    await countAll();
    for (const column of columns) if (!isDragging) await column.refresh();
    if (away && $("#problem").firstChild?.data === away) complain("");
    away = "";
  } catch (problem) {
    if (!away && problem.status !== 401) complain(problem.text);
    away = problem.status === 401 ? "" : problem.text;
  } finally {
    refreshing = false;
  }
  if (again) refresh();
}

setInterval(refresh, POLL);
addEventListener("focus", refresh);
document.addEventListener("visibilitychange", refresh);
addEventListener("beforeunload", (event) => {
  if (moving.size) event.preventDefault();
});

// Moving

const changeIn = (lead, stored) => {
  const { column, index } = find(lead.id) ?? {};
  if (column) column.leads[index] = stored;
  column?.draw();
};

function place(lead, status, values) {
  (find(lead.id)?.column ?? columnOf(lead.status)).remove(lead);
  columnOf(status).add({ ...lead, ...values, status });
}

async function moveOne(lead, to, since) {
  moving.add(lead.id);
  place(lead, to, { since: since ?? new Date(now()).toISOString() });
  try {
    const stored = await change(lead, { status: to });
    if (stored.status === to) changeIn(lead, { ...stored, since: since ?? stored.updated_at });
    else place({ ...lead, status: to }, stored.status, { ...stored, since: stored.updated_at });
    return stored;
  } catch (problem) {
    const current = problem.body?.lead ?? lead;
    place({ ...lead, status: to }, current.status, { ...lead, ...current });
    throw problem;
  } finally {
    moving.delete(lead.id);
    noteChange(lead.id);
  }
}

/**
 * Move leads, and return the stored ones; say what could not be moved, and why.
 *
 * Of a move that is undone, `former` says by id since when a lead had had its status, and `problems`
 * what could not be undone already.
 */
async function move(leads, to, former = null, problems = []) {
  leads = leads.filter((lead) => lead.status !== to && !moving.has(lead.id));
  if (!leads.length) return [];
  if (isReadOnly) {
    complain("This token is read-only: sign in with one that may write to move leads.");
    return [];
  }
  complain("");
  const waiting = [...leads];
  const moved = [];
  const work = async () => {
    for (let lead; (lead = waiting.shift()); ) {
      try {
        const stored = await moveOne(lead, to, former?.get(lead.id));
        if (stored.status === to) moved.push([lead, stored]);
      } catch (problem) {
        const status = problem.body?.lead?.status ?? lead.status; // it may have changed elsewhere
        problems.push(
          problem.status === 404
            ? `Company ${lead.company_id} has been deleted meanwhile.`
            : `Company ${lead.company_id} stays ${status}: ${problem.text}`,
        );
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_REQUESTS }, work));
  complainOf(problems);
  if (moved.length) {
    const isOne = moved.length === 1;
    const what = isOne ? `Company ${moved[0][0].company_id}` : plural(moved.length);
    announce(former ? `${what} ${isOne ? "is" : "are"} back in ${to}` : `${what} moved to ${to}`);
    if (!former) last = moved.map(([lead]) => [lead, to]);
    $("#undo").hidden = !last;
  }
  return moved.map(([, stored]) => stored);
}

function complainOf(problems) {
  if (problems.length) complain(problems.slice(0, 3).join(" ") + (problems.length > 3 ? ` And ${problems.length - 3} more.` : ""));
}

async function undo() {
  const moves = last;
  if (!moves) return;
  last = null;
  if (document.activeElement === $("#undo")) focusBoard();
  $("#undo").hidden = true;
  const former = new Map(moves.map(([lead]) => [lead.id, lead.since]));
  const problems = [];
  const present = moves.map(([lead, to]) => {
    const it = find(lead.id)?.lead ?? { ...lead, status: to };
    if (it.status === to) return [lead.status, it];
    if (it.status !== lead.status) problems.push(`Company ${it.company_id} is now ${it.status}; it was not moved back.`);
    return [];
  });
  complainOf(problems);
  for (const from of facts.statuses) {
    const leads = present.filter(([status]) => status === from).map(([, lead]) => lead);
    await move(leads, from, former, problems);
  }
}

/** The leads that a move of this one concerns: all selected ones if it is one of them. */
function concerned(lead) {
  if (!selected.has(lead.id)) return [lead];
  return [...selected].map((id) => find(id)?.lead).filter(Boolean);
}

async function moveConcerned(lead, to, isDragged = false) {
  const { column, index } = find(lead.id) ?? {};
  if (!column) {
    complain(`Company ${lead.company_id} is gone: it has been deleted, or is not among these leads any more.`);
    return focusBoard();
  }
  const leads = concerned(lead);
  select([]);
  const done = move(leads, to);
  // The card is elsewhere already; the focus goes on with the next one in this column.
  if (isDragged) focusCard(lead.id);
  else if (lead.status !== to && !isReadOnly) column.focus(index) || columnOf(to).focus(0);
  await done;
}

function select(ids) {
  selected.clear();
  for (const id of ids) selected.add(id);
  for (const column of columns) column.draw();
  if (selected.size) announce(`${plural(selected.size)} selected`);
}

function toggle(id) {
  anchor = id;
  const ids = new Set(selected);
  if (!ids.delete(id)) ids.add(id);
  select(ids);
}

function selectTo(id) {
  const { column, index } = find(id);
  const from = column.leads.findIndex((lead) => lead.id === anchor);
  const [low, high] = [from < 0 ? index : from, index].sort((a, b) => a - b);
  select([...selected, ...column.leads.slice(low, high + 1).map((lead) => lead.id)]);
}

// The menu of a card

const menu = $("#menu");

function openMenu(button, lead) {
  menu.lead = lead;
  menu.opener = button;
  const leads = concerned(lead);
  $("#menu-title").textContent = leads.length > 1 ? `Move ${plural(leads.length)}` : `Move company ${lead.company_id}`;
  for (const item of $$("button", menu)) item.disabled = leads.every((one) => one.status === item.dataset.status);
  menu.showPopover();
  const box = button.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(box.left, innerWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(box.bottom, innerHeight - menu.offsetHeight - 4))}px`;
  $("button:enabled", menu).focus();
}

menu.onclick = (event) => {
  const { status } = event.target.dataset;
  if (!status) return;
  menu.hidePopover();
  moveConcerned(menu.lead, status);
};

menu.onkeydown = (event) => {
  const items = $$("button:enabled", menu);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Tab" || event.key === "Escape") {
    event.preventDefault();
    menu.hidePopover();
    if (menu.opener.isConnected) menu.opener.focus();
    else focusBoard();
  } else if (step) {
    event.preventDefault();
    const index = items.indexOf(document.activeElement) + step;
    items[(index + items.length) % items.length].focus();
  }
  event.stopPropagation();
};

// Cards: mouse and keys

const actions = {
  move: async (lead, to) => (await move([find(lead.id)?.lead ?? lead], to))[0],
  changed: (lead) => {
    noteChange(lead.id);
    const found = find(lead.id);
    if (found?.lead.status === lead.status) changeIn(lead, { ...found.lead, ...lead });
    else refresh();
  },
  deleted: (lead) => {
    noteChange(lead.id);
    find(lead.id)?.column.remove(lead);
  },
  closed: () => {
    focusBoard();
    refresh();
  },
};

const board = $("#columns");
const cardOf = (target) => target.closest?.(".card");

board.addEventListener("click", (event) => {
  const card = cardOf(event.target);
  if (!card) return;
  const id = Number(card.dataset.id);
  const { column, index, lead } = find(id);
  if (event.target.matches("input")) return toggle(id);
  if (event.target.matches(".move")) return openMenu(event.target, lead);
  if (event.shiftKey) return selectTo(id);
  if (event.ctrlKey || event.metaKey) return toggle(id);
  column.focus(index);
  openPanel(id, actions, isReadOnly);
});

board.addEventListener("focusin", (event) => {
  const card = cardOf(event.target);
  const found = card && find(Number(card.dataset.id));
  if (found) active = { column: found.column, id: found.lead.id, lead: found.lead };
});

function walk(found, key) {
  const { column, index } = found;
  if (key === "ArrowDown" || key === "ArrowUp") return column.focus(index + (key === "ArrowDown" ? 1 : -1));
  if (key === "Home" || key === "End") return column.focus(key === "Home" ? 0 : column.leads.length - 1);
  const step = key === "ArrowRight" ? 1 : -1;
  const row = index - Math.floor(column.scroller.scrollTop / cardHeight());
  for (let next = columns.indexOf(column) + step; columns[next]; next += step) {
    const top = Math.floor(columns[next].scroller.scrollTop / cardHeight());
    if (columns[next].focus(top + row)) return true;
  }
  return false;
}

const toolKeys = {
  n: () => create(),
  u: undo,
  "/": () => {
    unfold(true);
    filters.elements.company_id.focus();
  },
  "?": () => $("#keys").showModal(),
};

// A field of a dialog that has closed keeps the focus until the next frame, and takes nothing.
const takesText = (target) =>
  target.matches("input:not([type=checkbox]), textarea, select") && target.getClientRects().length > 0;
const hasModifier = (event) => event.ctrlKey || event.metaKey || event.altKey;
let pressedIn = null;

// A key that is held down acts once, but for arrows and the like, and where text is written.
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (!event.repeat) pressedIn = target;
  else if ((key.length === 1 || key === "Enter") && !hasModifier(event) && !(target === pressedIn && takesText(target))) {
    event.preventDefault();
    event.stopPropagation();
  }
}, { capture: true });

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (hasModifier(event) || $("dialog[open]")) return;
  if (takesText(target)) {
    if (key === "Escape") focusBoard();
    return;
  }
  if (document.body.dataset.signedIn !== "true") return;
  const found = active && (cardOf(target) || target === document.body) ? find(active.id) : null;
  const status = facts.statuses[Number(key) - 1];
  let action = toolKeys[key];
  if (/^(Arrow|Home|End)/.test(key)) action = () => (found ? walk(found, key) : target === document.body && focusBoard());
  if (key === "Escape" && selected.size) action = () => select([]);
  if (found && status) action = () => moveConcerned(found.lead, status);
  if (found && cardOf(target) === target) {
    if (key === "Enter") action = () => openPanel(found.lead.id, actions, isReadOnly);
    if (key === " ") action = () => toggle(found.lead.id);
  }
  if (!action) return;
  event.preventDefault();
  action();
});

function focusCard(id) {
  const found = find(id);
  return found?.column.focus(found.index);
}

/** Focus the next card in the column of the one that had the focus last. */
function focusNext() {
  const next = active?.column.leads.findIndex((lead) => newestFirst(lead, active.lead) > 0);
  return active?.column.focus(next < 0 ? Infinity : next);
}

/** Focus the card that had the focus last, or else the next one, or the first, or "New lead". */
function focusBoard() {
  if (!(focusCard(active?.id) || focusNext() || columns.some((column) => column.focus(0)))) $("#new").focus();
}

const isLost = () => document.activeElement === document.body && !$("dialog[open]");

// A dialog that closes gives the focus back to where it was, which may be gone.
document.addEventListener("close", () => isLost() && focusBoard(), { capture: true });

draggable(board, {
  begin: (card) => {
    const found = find(Number(card.dataset.id));
    if (!found) return 0;
    isDragging = true;
    return concerned(found.lead).length;
  },
  drop: (card, section) => {
    const found = find(Number(card.dataset.id));
    if (section && found) moveConcerned(found.lead, section.dataset.status, true);
  },
  end: () => {
    isDragging = false;
  },
});

// Tools

const create = () => {
  if (isReadOnly) return complain("This token is read-only: sign in with one that may write to create leads.");
  return openNew((lead) => {
    noteChange(lead.id);
    if (!find(lead.id)) columnOf(lead.status).add({ ...lead, since: lead.created_at }); // a retry may find it here
    focusCard(lead.id);
    announce(`Company ${lead.company_id} created`);
  });
};
$("#new").onclick = create;
$("#undo").onclick = undo;
$("#show-keys").onclick = () => $("#keys").showModal();

// Filters, in the address; it may have the lead whose panel is open as well

function filtersInAddress() {
  const query = new URLSearchParams(location.search);
  query.delete("lead");
  return query;
}

function unfold(isShown) {
  filters.classList.toggle("shown", isShown);
  $("#show-filters").setAttribute("aria-expanded", isShown);
}
$("#show-filters").onclick = () => unfold(!filters.classList.contains("shown"));

function showFilters() {
  const query = filtersInAddress();
  for (const field of filters.elements) if (field.name) field.value = query.get(field.name) ?? "";
  unfold(query.size > 0);
}

async function reload() {
  complain("");
  try {
    await load();
  } catch (problem) {
    complain(problem.text);
  }
}

function applyFilters() {
  const query = new URLSearchParams();
  for (const field of filters.elements) if (field.name && field.value.trim()) query.set(field.name, field.value.trim());
  const search = query.size ? `?${query}` : location.pathname;
  if (filtersInAddress().toString() === query.toString()) return;
  history.pushState(null, "", search);
  reload();
}

filters.addEventListener("change", applyFilters);
filters.onsubmit = (event) => {
  event.preventDefault();
  applyFilters();
};
filters.onreset = () => setTimeout(applyFilters);
addEventListener("popstate", () => {
  showFilters();
  reload();
});

showFilters();
start((readOnly) => {
  isReadOnly = readOnly;
  $("#new").hidden = readOnly;
  const lead = new URLSearchParams(location.search).get("lead");
  // Not waited for: it opens when all else is shown.
  return load().then(() => void (lead !== null && openPanel(Number(lead) || 0, actions, isReadOnly)));
});

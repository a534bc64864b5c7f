// The dialogs of one lead: its panel, a new one, and the choice after a change elsewhere.

import { $, announce, ask, closable, complain, drafts, element, facts, matching, ofLead, send, when } from "./api.js";

const count = (text) => [...text].length; // code points, as the service counts them
const number = (value) => value.toLocaleString("en");

function watch(field, counter) {
  const show = () => (counter.textContent = `${number(count(field.value))} / ${number(facts.maxNotes)}`);
  field.addEventListener("input", show);
  show();
}

function showProblem(place, form, problem) {
  place.textContent = problem.text;
  for (const field of form.elements) {
    if (field.name) field.setAttribute("aria-invalid", field.name in problem.fields);
  }
  form.elements[Object.keys(problem.fields)[0]]?.focus();
}

const isCtrlEnter = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat;

const discards = (text) =>
  ask("Discard your changes?", [element("p", text)], [["Keep editing", false, "primary"], ["Discard", true, "danger"]]);

/** Let the user choose between two versions of a field; return "mine", "theirs" or undefined. */
function chooseVersion(company, name, mine, theirs) {
  const version = (title, text) => {
    const part = element("section", "");
    part.append(element("h3", title), element("p", text || "(nothing)", { className: "version", dir: "auto", tabIndex: 0 }));
    return part;
  };
  const choices = [["Keep mine", "mine", "primary"], ["Take theirs", "theirs"]];
  const about = element("p", `Somebody else has changed the ${name} of company ${company} meanwhile.`);
  const help = element("p", "“Keep mine” puts yours in the place of theirs. “Take theirs” drops yours. Esc saves nothing.");
  return ask("Changed elsewhere", [about, version("Mine", mine), version("Theirs", theirs), help], choices);
}

/** Change a lead; after a change elsewhere, ask for whatever both have changed. */
export async function change(lead, changes) {
  const [name] = Object.keys(changes);
  for (;;) {
    try {
      return await send("PATCH", ofLead(lead.id), changes, matching(lead));
    } catch (problem) {
      if (problem.status === 404) problem.message = "This lead has been deleted meanwhile; copy your notes if you need them.";
      if (problem.status !== 412) throw problem;
      const theirs = problem.body.lead;
      if (theirs[name] !== lead[name] && theirs[name] !== changes[name]) {
        const choice = await chooseVersion(lead.company_id, name, changes[name], theirs[name]);
        if (choice === undefined) throw Object.assign(problem, { message: "Nothing was changed: the lead has changed elsewhere." });
        if (choice === "theirs") return theirs;
      }
      lead = theirs;
    }
  }
}

const panel = $("#panel");
const form = $("form", panel);
let open = null; // the lead that the panel shows, or has shown
let act = {}; // what the board does: move, changed, deleted
let opening = 0; // how many times a panel was asked for

const errors = $(".errors", panel);
const differs = () => form.elements.notes.value !== open.notes.replace(/\r\n?/g, "\n");
const isChanged = () => panel.open && differs();

/** Return a function that says whether the panel has been open since. */
function openSince() {
  const began = opening;
  return () => panel.open && opening === began;
}

function show(lead) {
  open = lead;
  $("h2", panel).textContent = `Company ${lead.company_id}`;
  $('[data-field="score"]', panel).textContent = lead.score;
  for (const name of ["created_at", "updated_at"]) $(`[data-field="${name}"]`, panel).textContent = when(lead[name]);
  form.elements.status.value = lead.status;
}

function showNotes(text) {
  form.elements.notes.value = text;
  form.elements.notes.dispatchEvent(new Event("input"));
}

/** Show the lead of an answer, unless a later one is shown; notes that were written since `sent` stay. */
function update(lead, sent) {
  if (lead.updated_at < open.updated_at) return;
  const isUntouched = !isChanged() || form.elements.notes.value === sent;
  show(lead);
  if (isUntouched) showNotes(lead.notes);
}

async function historyOf(lead) {
  const { data } = await send("GET", `${facts.board}/leads/${lead.id}/history`);
  const lines = data.map((one) => {
    const about = one.is_estimate ? " (estimated)" : "";
    return element("li", `${one.from_status} to ${one.to_status}, ${when(one.changed_at)}${about}`);
  });
  return [element("li", `created as new, ${when(lead.created_at)}`), ...lines];
}

/** Let the address name the lead whose panel is open, or none. */
function setAddress(id) {
  const address = new URL(location);
  if (id) address.searchParams.set("lead", id);
  else address.searchParams.delete("lead");
  history.replaceState(null, "", address);
}

export async function openPanel(id, actions, isReadOnly) {
  act = actions;
  const mine = (opening += 1);
  let lead, history;
  try {
    lead = await send("GET", ofLead(id));
    history = await historyOf(lead);
  } catch (problem) {
    if (problem.status === 404) setAddress(null);
    return complain(problem.status === 404 ? "There is no such lead." : problem.text);
  }
  // Another one is asked for, or something else is done.
  if (mine !== opening || $("dialog[open]") || document.body.dataset.signedIn !== "true") return;
  errors.textContent = "";
  const draft = drafts.get(id);
  drafts.delete(id);
  show(lead);
  showNotes(draft?.text ?? lead.notes);
  if (draft) open = draft.lead; // so that what has changed since is asked about
  $("ol", panel).replaceChildren(...history);
  form.elements.notes.readOnly = isReadOnly;
  form.elements.status.disabled = isReadOnly;
  for (const button of form.querySelectorAll("[data-act=save], [data-act=delete]")) button.hidden = isReadOnly;
  panel.showModal();
  setAddress(id);
  form.elements.notes.focus();
  if (draft) announce("Your notes that were not saved are here again");
}

/** Do what is done in the panel; say what goes wrong there, or on the board if it is closed by then. */
async function run(action) {
  const [lead, isOpen] = [open, openSince()];
  errors.textContent = "";
  for (const field of form.elements) field.removeAttribute("aria-invalid");
  try {
    await action(lead, isOpen);
  } catch (problem) {
    if (isOpen()) showProblem(errors, form, problem);
    else complain(`Company ${lead.company_id}: ${problem.text}`);
  }
}

let saving = Promise.resolve(); // when no notes are on their way

function saveNotes() {
  const isOpen = openSince();
  const save = async (before) => {
    const sent = form.elements.notes.value;
    const lead = await change(before, { notes: sent });
    if (isOpen()) update(lead, sent);
    act.changed(lead);
    announce(`Notes of company ${lead.company_id} saved`);
  };
  // One after the other: a second one would take the first for a change elsewhere.
  saving = saving.then(() => (isOpen() ? run(save) : undefined));
}

const setStatus = () =>
  run(async (before, isOpen) => {
    const lead = await act.move(before, form.elements.status.value);
    if (!isOpen()) return; // the board has said what was refused
    if (lead) update(lead);
    else show(open);
    const history = await historyOf(open);
    if (isOpen()) $("ol", panel).replaceChildren(...history);
  });

async function close() {
  const isOpen = openSince();
  if (isChanged()) await saving;
  if ((!isChanged() || (await discards("The notes have not been saved."))) && isOpen()) panel.close();
}

async function remove() {
  const text = `Company ${open.company_id} and its history are erased for good. There is no way back.`;
  const choices = [["Keep it", false, "primary"], ["Delete for good", true, "danger"]];
  if (!(await ask("Delete this lead?", [element("p", text)], choices))) return;
  await run(async (lead, isOpen) => {
    try {
      await send("DELETE", ofLead(lead.id), undefined, matching(lead));
    } catch (problem) {
      if (problem.status !== 412) throw problem;
      if (isOpen()) update(problem.body.lead);
      throw Object.assign(problem, { message: "The lead has changed elsewhere, and is shown as it is now. Nothing was deleted." });
    }
    if (isOpen()) panel.close();
    act.deleted(lead);
    announce(`Company ${lead.company_id} deleted`);
  });
}

watch(form.elements.notes, $("#panel-counter"));
form.onsubmit = (event) => event.preventDefault();
form.elements.status.onchange = setStatus;
form.onclick = (event) => ({ save: saveNotes, close, delete: remove })[event.target.dataset.act]?.();
form.elements.notes.onkeydown = (event) => {
  if (isCtrlEnter(event) && !form.elements.notes.readOnly) saveNotes();
};
panel.onclose = () => {
  if (document.body.dataset.signedIn !== "true" && differs()) drafts.set(open.id, { lead: open, text: form.elements.notes.value });
  form.reset();
  setAddress(null);
  act.closed();
};
closable(panel, close);
addEventListener("beforeunload", (event) => {
  if (isChanged() || isWritten()) event.preventDefault();
});

// A new lead

const creation = $("#new-lead");
const created = $("form", creation);
// It is emptied by the event of its closing, which comes a moment after that.
const isWritten = () => creation.open && (created.elements.company_id.value || created.elements.notes.value);
let attempt = null; // the last one to create a lead that has not succeeded, {text, key}

watch(created.elements.notes, $("#new-counter"));

// crypto.randomUUID is there with HTTPS, or on a loopback address, only.
const newKey = () => [...crypto.getRandomValues(new Uint32Array(4))].join("-");

// As it is written, beyond JavaScript's exact numbers, too, where the browser can do that.
const whole = (digits) => JSON.rawJSON?.(`${BigInt(digits)}`) ?? Number(digits);

export function openNew(add) {
  const place = $(".errors", creation);
  place.textContent = "";
  created.onsubmit = async (event) => {
    event.preventDefault();
    place.textContent = "";
    const id = created.elements.company_id.value.trim();
    const body = { company_id: /^\d+$/.test(id) ? whole(id) : id, notes: created.elements.notes.value };
    const written = () => JSON.stringify([created.elements.company_id.value.trim(), created.elements.notes.value]);
    const text = written();
    // An attempt that failed may have stored it: the same key makes sure that it is there once.
    if (attempt?.text !== text) attempt = { text, key: newKey() };
    const mine = attempt;
    try {
      const lead = await send("POST", facts.api, body, { "Idempotency-Key": mine.key });
      if (mine.isDone) return; // the other half of a double click
      mine.isDone = true;
      if (attempt === mine) attempt = null;
      if (written() === text) creation.close();
      add(lead);
    } catch (problem) {
      if (mine.isDone) return;
      if (problem.body.errors?.headers && attempt === mine) attempt = null;
      if (creation.open) showProblem(place, created, problem);
      else complain(problem.text);
    }
  };
  creation.showModal();
  created.elements.company_id.focus();
}

async function cancel() {
  if (!isWritten() || (await discards("The lead has not been created."))) creation.close();
}

created.onkeydown = (event) => {
  if (!isCtrlEnter(event)) return;
  event.preventDefault(); // a field would do it once more
  created.requestSubmit();
};
creation.onclose = () => {
  created.reset();
  created.elements.notes.dispatchEvent(new Event("input"));
};
$("[data-act=close]", creation).onclick = cancel;
closable(creation, cancel);

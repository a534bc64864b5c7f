// Requests to the service, signing in and out, and what is said to the user.

export const facts = JSON.parse(document.body.dataset.facts);
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

const USER = "leads-user"; // in sessionStorage, of the stub
const TIMEOUT = 30_000; // milliseconds
const TOAST = 6_000; // milliseconds
const MIN_SKEW = 60_000; // milliseconds; the header Date has whole seconds, and the answer took a while
let token = null; // of the stub's user; otherwise the cookie authenticates
let skew = 0; // milliseconds by which the service's clock is ahead

export class Problem extends Error {
  constructor(message, status = 0, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
    this.fields = Object.assign({}, ...Object.values(body.errors ?? {}));
  }

  get text() {
    const fields = Object.entries(this.fields).map(([name, problems]) => `${labelOf(name)}: ${problems.join(" ")}`);
    return fields.length ? fields.join(" ") : this.message;
  }
}

function labelOf(name) {
  const [field] = document.getElementsByName(name);
  return field?.ariaLabel ?? field?.labels?.[0].firstChild.textContent.trim() ?? name;
}

/** Notes that the end of a session has kept from being saved, by the lead's id: {lead, text}. */
export const drafts = new Map();

const SIGNED_OUT = new Problem("You have signed out.", 401);
let leaving = new AbortController(); // ends the requests that are under way at a sign-out

// Numbers of companies may be greater than JavaScript's exact ones, and are then kept as text.
const exact = (key, value, { source } = {}) =>
  key === "company_id" && typeof value === "number" && !Number.isSafeInteger(value) ? (source ?? value) : value;

export const now = () => Date.now() + skew;

export async function send(method, path, body, headers = {}) {
  headers = { ...headers };
  if (token) headers.Authorization ??= `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, body: JSON.stringify(body), cache: "no-store" };
  let response, data;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT), leaving.signal]) });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    data = isJson ? JSON.parse(await response.text(), exact) : {};
  } catch (error) {
    if (error === SIGNED_OUT) throw error;
    throw new Problem("The service does not answer. Try again.");
  }
  const ahead = Date.parse(response.headers.get("Date")) - Date.now();
  skew = Math.abs(ahead) > MIN_SKEW ? ahead : 0;
  if (response.status === 401) showSignedIn(false);
  if (!response.ok) throw new Problem(data.message ?? `The service answers ${response.status}.`, response.status, data);
  return data;
}

export const ofLead = (id) => `${facts.api}/${id}`;
export const matching = (lead) => ({ "If-Match": `"${lead.updated_at}"` });
export const plural = (count) => `${count.toLocaleString("en")} lead${count === 1 ? "" : "s"}`;

export const firstLine = ({ notes }) => notes.trim().split("\n", 1)[0].slice(0, 200);

export function when(timestamp) {
  return new Date(timestamp).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

const topDialog = () => $$("dialog[open]").at(-1);

/** Put the messages where they are seen and read out: what is behind a modal dialog is neither. */
function placeNotices() {
  const place = topDialog() ?? $("#sign-in:not([hidden])") ?? document.body;
  if ($("#notices").parentNode !== place) place.append($("#notices"));
}

let fading;

export function announce(text) {
  placeNotices();
  const message = $("#message");
  message.textContent = text;
  message.classList.remove("unseen");
  clearTimeout(fading);
  fading = setTimeout(() => message.classList.add("unseen"), TOAST);
}

export function complain(text) {
  if (text) placeNotices();
  const place = $("#problem");
  place.textContent = text;
  if (text) place.append(element("button", "Dismiss", { type: "button", onclick: () => complain("") }));
}

/** Close a dialog with Esc or a click beside it. */
export function closable(dialog, close = () => dialog.close()) {
  // Here and now: Chromium closes it later, and ends the one below as well.
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close();
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (dialog === topDialog()) close();
  });
  const isBeside = ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    return target === dialog && (x < left || x > right || y < top || y > bottom);
  };
  let began = false; // not the end of a selection of text
  dialog.addEventListener("pointerdown", (event) => (began = isBeside(event)));
  dialog.addEventListener("click", (event) => began && isBeside(event) && close());
  dialog.addEventListener("close", placeNotices);
}
for (const dialog of $$("#question, #keys")) closable(dialog);

let asking = Promise.resolve();

/** Ask in a dialog; return the value of the button that was chosen, undefined for Esc. */
export function ask(...question) {
  return (asking = asking.then(() => (document.body.dataset.signedIn === "true" ? showQuestion(...question) : undefined)));
}

function showQuestion(title, content, choices) {
  const dialog = $("#question");
  const previous = document.activeElement;
  $("h2", dialog).textContent = title;
  $(".text", dialog).replaceChildren(...content);
  return new Promise((resolve) => {
    let chosen;
    const buttons = choices.map(([label, value, kind = ""]) => {
      const onclick = () => void (chosen = value); // a handler that returns false cancels the click
      return element("button", label, { className: kind, onclick });
    });
    $(".buttons", dialog).replaceChildren(...buttons);
    dialog.onclose = () => {
      previous?.focus();
      resolve(chosen);
    };
    dialog.showModal();
  });
}

export function element(name, text, properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text }, properties);
}

// Signing in and out

function showSignedIn(isIn) {
  document.body.dataset.signedIn = isIn;
  $("#sign-in").hidden = isIn || !facts.takesTokens;
  for (const one of $$("[data-signed-in-only]")) one.hidden = !isIn;
  $("#sign-out").hidden = !isIn || facts.tokens || !facts.takesTokens;
  if (isIn) return;
  $("#read-only").hidden = true;
  for (const dialog of $$("dialog[open]")) dialog.close();
  if (facts.takesTokens) $("#sign-in input").focus();
  else complain("Log in first, then load this page again.");
}

async function signIn(given, run) {
  try {
    if (!/^[!-~]+$/.test(given)) throw new Problem("This is not a token.");
    await send("POST", `${facts.board}/session`, undefined, { Authorization: `Bearer ${given}` });
  } catch (problem) {
    showSignedIn(false);
    return complain(problem.text);
  }
  complain("");
  await run();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // is no token either
  }
}

/** Sign in as the address, the cookie or the form says, and call `load` then. */
export async function start(load) {
  const run = async () => {
    try {
      const { signed_in, read_only } = await send("GET", `${facts.board}/session`);
      if (!signed_in) return showSignedIn(false);
      $("#read-only").hidden = !read_only;
      await load(read_only);
      showSignedIn(true);
    } catch (problem) {
      if (problem.status !== 401) {
        showSignedIn(true);
        complain(problem.text);
      }
    }
  };
  $("#sign-in").onsubmit = (event) => {
    event.preventDefault();
    const field = event.target.elements.token;
    signIn(field.value.trim(), run);
    field.value = "";
  };
  $("#sign-out").onclick = async () => {
    drafts.clear();
    leaving.abort(SIGNED_OUT);
    leaving = new AbortController();
    try {
      await send("DELETE", `${facts.board}/session`);
      showSignedIn(false);
    } catch (problem) {
      complain(problem.text);
    }
  };
  if (facts.tokens) {
    const names = Object.keys(facts.tokens);
    const select = $("#users select");
    select.replaceChildren(...names.map((name) => new Option(name)));
    const choose = () => (token = facts.tokens[select.value]);
    select.value = names.includes(sessionStorage[USER]) ? sessionStorage[USER] : names[0];
    select.onchange = () => {
      sessionStorage[USER] = select.value;
      location.reload();
    };
    $("#users").hidden = false;
    choose();
  }
  const given = location.hash.match(/^#token=(.+)/)?.[1];
  if (given === undefined) return run();
  history.replaceState(null, "", location.pathname + location.search);
  return signIn(decoded(given), run);
}

// What the pages do in the browser. The head makes all HTML; here it is put in place, and what a person asks for is sent.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

function notice(text, isBad = false) {
  const box = make("div", "", { class: isBad ? "notice bad" : "notice", role: isBad ? "alert" : "status" });
  const close = make("button", "×", { type: "button", "aria-label": "close" });
  close.addEventListener("click", () => box.remove());
  box.append(close, make("span", text));
  $("#notices").append(box);
  if (!isBad) setTimeout(() => box.remove(), 12000);
}

// ---- calls ----------------------------------------------------------------------------------------------------------------------------------

async function call(method, path, body) {
  const init = { method, headers: { accept: "application/json" } };
  if (body !== undefined) {
    init.headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Error("the head can't be reached: is it running?");
  }
  const text = await answer.text();
  let json = {};
  try {
    json = text ? JSON.parse(text) : {};
  } catch {
    throw new Error(`the answer is no JSON (${answer.status})`);
  }
  if (!answer.ok) {
    if (answer.status === 401 && location.pathname !== "/login") location.assign(`/login?to=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error(json.error?.message ?? `the head answers ${answer.status}`);
  }
  return json;
}

const requestId = () => {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
};

const trying = (work) => async (event) => {
  event?.preventDefault?.();
  try {
    await work(event);
  } catch (error) {
    notice(error.message, true);
  }
};

// ---- what is live ---------------------------------------------------------------------------------------------------------------------------

// Makes `old` look like `fresh`, and leaves alone what is the same: what has the focus keeps it, and what is open stays open.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const byId = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const known = next.id ? byId.get(next.id) : undefined;
    if (known && known !== at) old.insertBefore(known, at);
    const here = known ?? at;
    if (!here || (!known && here.id && here.id !== (next.id ?? ""))) {
      old.insertBefore(next, at);
      continue;
    }
    at = here.nextSibling;
    morph(here, next);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const live = $("#live");
let stream;

function listen() {
  if (!live?.dataset.live || document.hidden || stream) return;
  stream = new EventSource(live.dataset.live);
  stream.onmessage = (event) => {
    $("#stale").hidden = true;
    const page = new DOMParser().parseFromString(event.data, "text/html");
    const fresh = make("div");
    fresh.append(...page.body.childNodes);
    fresh.id = "live";
    for (const { name, value } of [...live.attributes]) fresh.setAttribute(name, value);
    morph(live, fresh);
    ages();
    followAll();
  };
  // The page itself says what has become of it: that it is gone, or that a login is needed.
  stream.addEventListener("over", () => location.reload());
  stream.onerror = () => {
    $("#stale").hidden = false;
    // A refusal is final for the browser: come again by ourselves.
    if (stream?.readyState === EventSource.CLOSED) {
      stream = undefined;
      refused(live.dataset.live).then((isForGood) => (isForGood ? location.reload() : setTimeout(listen, 3000)));
    }
  };
}

// Whether what was asked for is not there, or not for whoever looks: a stream that was refused does not say why.
async function refused(path) {
  const asked = new AbortController();
  try {
    const answer = await fetch(path, { signal: asked.signal });
    asked.abort();
    return [401, 403, 404].includes(answer.status);
  } catch {
    return false;
  }
}

function hush() {
  stream?.close();
  stream = undefined;
}

// ---- what a task prints -----------------------------------------------------------------------------------------------------------------------

const FOLLOW_KEPT = 256 * 1024;
const follows = new Map();

// As the head shows what has ended: without what steers terminals.
const plain = (text) => text.replaceAll("\r\n", "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "·");

// Puts a text at the end, and keeps no more than the last of all; who has scrolled up stays where he is.
function print(box, text) {
  const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
  box.append(text);
  box.kept = (box.kept ?? 0) + text.length;
  while (box.kept > FOLLOW_KEPT && box.firstChild !== box.lastChild) {
    box.kept -= box.firstChild.length;
    box.firstChild.remove();
  }
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function follow(box) {
  // A browser that comes again by itself says the last id; after a page was hidden it is a new one, which begins anew.
  box.replaceChildren();
  box.kept = 0;
  const source = new EventSource(box.dataset.follow);
  follows.set(box, source);
  const take = (event) => {
    const piece = JSON.parse(event.data);
    if (piece.left_out) print(box, `\n… ${piece.left_out} bytes left out …\n`);
    if (piece.data) print(box, plain(piece.data));
    if (piece.text && event.type === "note") print(box, `[${piece.text}]\n`);
  };
  source.addEventListener("output", take);
  source.addEventListener("note", take);
  source.addEventListener("ended", (event) => {
    take(event);
    source.close();
  });
  source.addEventListener("error", (event) => {
    if (event.data) {
      print(box, `[${JSON.parse(event.data).error.message}]\n`);
      source.close();
    } else if (source.readyState === EventSource.CLOSED) {
      // Refused, as many follow outputs: it is tried again.
      setTimeout(() => follows.get(box) === source && !document.hidden && follow(box), 3000);
    }
  });
}

function followAll() {
  if (document.hidden) return;
  const boxes = $$("[data-follow]");
  for (const [box, source] of follows) {
    if (boxes.includes(box)) continue;
    source.close();
    follows.delete(box);
  }
  for (const box of boxes) if (!follows.has(box)) follow(box);
}

function followNone() {
  for (const source of follows.values()) source.close();
  follows.clear();
}

// Browsers open six connections to a head, and no more: a page that nobody sees gives its own back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hush();
    followNone();
  } else {
    listen();
    followAll();
  }
});
addEventListener("pagehide", () => {
  hush();
  followNone();
});

const span = (seconds) => {
  const s = Math.max(0, Math.round(seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d${Math.floor((s % 86400) / 3600)}h`;
};

// How long ago something was, by the head's clock: `data-now` is its time when the page was made.
const skew = Date.parse(document.body.dataset.now) - Date.now() || 0;
function ages() {
  for (const time of $$("time[data-age]")) {
    const text = span((Date.now() + skew - Date.parse(time.dateTime)) / 1000) + (time.dataset.age || "");
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(ages, 1000);

// ---- verbs ----------------------------------------------------------------------------------------------------------------------------------

const tasks = (n) => (n === 1 ? "1 task" : `${n} tasks`);

const PREVIEWS = {
  pause: (it) => `${tasks(it.undispatched)} not started will wait; ${it.running} running ${it.running === 1 ? "goes" : "go"} on to the end.`,
  resume: (it) => `${tasks(it.undispatched)} may start again.`,
  kill: (it) => `drops ${tasks(it.dropped)} that ${it.dropped === 1 ? "has" : "have"} not started; ${it.running} running.`,
  retry: (it) => `${tasks(it.retried ?? 0)} that failed will run again, in the same bundle.`,
  priority: (it) => `${tasks(it.undispatched)} not started; the order changes from the next hand-out on.`,
  limit: (it) => `${it.running} running now, ${it.undispatched} not started.`,
  delete: () => "the job and its bundle are removed, for good.",
};

const RESULTS = {
  pause: (it) => `${it.id} is paused: ${it.undispatched} not started, ${it.running} running.`,
  resume: (it) => `${it.id} goes on: ${it.undispatched} not started.`,
  kill: (it) => `${it.id}: dropped ${it.dropped}, still running ${it.running}.`,
  retry: (it) => `${it.id}: ${tasks(it.retried ?? 0)} will run again.`,
  priority: (it) => `${it.id}: the order has changed.`,
  limit: (it) => `${it.id}: the limit holds from now on.`,
  delete: (it) => `${it.id} is deleted.`,
};

const FIELDS = {
  pause: [["running", "running tasks", "select", [["", "finish"], ["freeze", "stand still until it is resumed"]]], ["for", "resume by itself after (as 2h; empty: never)", "text"]],
  kill: [["running", "running tasks", "select", [["", "finish, and their results count"], ["stop", "are stopped"]]]],
  priority: [["priority", "priority (higher goes sooner)", "number"]],
  limit: [["max_running", "at most so many tasks at once (0: no limit)", "number"]],
};

async function preview(job, verb, body) {
  if (verb === "delete") return {};
  return call("POST", `/v1/jobs/${job}/${verb}`, { ...body, dry_run: true });
}

async function act(job, verb, body) {
  if (verb !== "delete") return call("POST", `/v1/jobs/${job}/${verb}`, { ...body, request_id: requestId() });
  const query = new URLSearchParams({ request_id: requestId(), ...(body.reason ? { reason: body.reason } : {}) });
  return call("DELETE", `/v1/jobs/${job}?${query}`);
}

function valuesOf(form) {
  const body = {};
  for (const field of $$("[name]", form)) {
    if (field.value === "") continue;
    body[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return body;
}

async function ask(button) {
  const { job, verb, value } = button.dataset;
  const dialog = $("#ask");
  const form = $("form", dialog);
  $("h2", dialog).textContent = `${verb} ${job}`;
  const fields = $("#ask-fields");
  fields.replaceChildren();
  for (const [name, label, kind, options] of [...(FIELDS[verb] ?? []), ["reason", "reason (kept with the job)", "text"]]) {
    const wrap = make("label", label);
    const field = kind === "select" ? make("select", "", { name }) : make("input", "", { name, type: kind });
    for (const [option, text] of options ?? []) field.append(make("option", text, { value: option }));
    if (kind === "number") {
      field.required = true;
      field.value = value ?? "0";
    }
    wrap.append(field);
    fields.append(wrap);
  }
  const text = $("#ask-preview");
  const look = async () => {
    try {
      const { reason, ...body } = valuesOf(form);
      text.textContent = PREVIEWS[verb](await preview(job, verb, body));
      $("button.main", dialog).disabled = false;
    } catch (error) {
      text.textContent = error.message;
      $("button.main", dialog).disabled = true;
    }
  };
  fields.onchange = look;
  await look();
  const send = $("button.main", dialog);
  send.textContent = verb;
  form.onsubmit = trying(async () => {
    send.disabled = true;
    try {
      const answer = await act(job, verb, valuesOf(form));
      dialog.close();
      const late = answer.unconfirmed?.length ? ` No answer from ${answer.unconfirmed.join(", ")}: what was on the way there counts as running.` : "";
      notice(RESULTS[verb]({ id: job, ...answer }) + late);
      if (verb === "delete" && location.pathname === `/jobs/${job}`) location.assign("/");
    } finally {
      send.disabled = false;
    }
  });
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.verb) trying(() => ask(button))();
  if (button.hasAttribute("data-close")) button.closest("dialog").close();
  if (button.dataset.worker) {
    trying(async () => {
      const { worker, does } = button.dataset;
      await call("POST", `/v1/workers/${worker}/${does}`, { request_id: requestId() });
      notice(does === "drain" ? `${worker} takes no more tasks, and leaves when it is done.` : `${worker} takes tasks again.`);
    })();
  }
  if (button.dataset.dataset) {
    trying(async () => {
      if (!confirm(`Delete the data set ${button.dataset.name}?`)) return;
      await call("DELETE", `/v1/datasets/${button.dataset.dataset}?${new URLSearchParams({ request_id: requestId() })}`);
      notice(`${button.dataset.name} is deleted.`);
      button.closest("tr")?.remove();
    })();
  }
  if (button.id === "logout") {
    trying(async () => {
      await call("DELETE", "/v1/session");
      location.assign("/login");
    })();
  }
});

// ---- login ----------------------------------------------------------------------------------------------------------------------------------

$("#login")?.addEventListener(
  "submit",
  trying(async (event) => {
    await call("POST", "/v1/session", { token: event.target.token.value.trim() });
    // Nowhere but to a page of this head, however the address is written.
    const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
    location.assign(to.origin === location.origin ? to.href : "/");
  }),
);

// ---- begin ----------------------------------------------------------------------------------------------------------------------------------

for (const field of $$("form.filter select")) field.addEventListener("change", () => field.form.requestSubmit());
ages();
listen();
followAll();

// The form of a new job: uploads that go on where they broke off, what a split would make, the command line that would do the same. Behind app.js.
"use strict";

// ---- uploads --------------------------------------------------------------------------------------------------------------------------------

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The lines of an answer to an upload; none where something between has answered in the head's place.
const linesOf = (text) => {
  try {
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  } catch {
    return [];
  }
};

// An error of an upload: whether to try it again is of use.
const refusal = (error, status) =>
  Object.assign(new Error(error?.message ?? `the head answers ${status}`), {
    isFinal: ["Invalid", "Denied", "Exhausted"].includes(error?.kind),
    isWrong: error?.kind === "Invalid",
  });

// From which byte on the head wants an upload: the first line of its answer to a request that waits for that.
async function durable(path) {
  const answer = await fetch(path, { method: "PUT", headers: { "upload-offset": "*" }, body: new Blob([]) });
  const lines = linesOf(await answer.text());
  const last = lines.find((line) => line.dataset);
  if (last) return { dataset: last.dataset };
  if (!answer.ok) throw refusal(lines[0]?.error, answer.status);
  return { offset: lines[0]?.durable ?? 0 };
}

function send(path, file, offset, onProgress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("upload-offset", String(offset));
    request.upload.onprogress = (event) => onProgress(offset + event.loaded);
    request.onerror = () => failed(new Error("the connection broke off"));
    request.onload = () => {
      const last = linesOf(request.responseText).at(-1) ?? {};
      if (last.dataset) return done(last.dataset);
      // A browser may by itself have sent the same again after a connection broke: where to go on is asked anew then (Conflict).
      failed(refusal(last.error, request.status));
    };
    request.send(offset ? file.slice(offset) : file);
  });
}

// Sends a file, and goes on where it broke off: also after the page was closed, since the browser remembers the upload's id.
async function upload(file, isDataset, onProgress) {
  const key = `upload:${file.name}:${file.size}:${file.lastModified}:${isDataset}`;
  const id = localStorage.getItem(key) ?? requestId();
  localStorage.setItem(key, id);
  const query = new URLSearchParams({ name: file.name, len: String(file.size), ...(isDataset ? { unpack: "true" } : {}) });
  const path = `/v1/uploads/${id}?${query}`;
  // Tries since the head has had more of it.
  let tries = 0;
  let had = -1;
  for (;;) {
    try {
      const { dataset, offset } = await durable(path);
      if (offset > had) [tries, had] = [0, offset];
      const stored = dataset ?? (await send(path, file, offset, onProgress));
      localStorage.removeItem(key);
      return stored;
    } catch (error) {
      // What will never be taken is not tried again; all else may be gone on with, also when the page is opened another time.
      if (error.isWrong) localStorage.removeItem(key);
      if (error.isFinal || tries === 20) throw error;
      await pause(Math.min(500 * 2 ** tries, 10000));
      tries += 1;
    }
  }
}

// ---- a new job ------------------------------------------------------------------------------------------------------------------------------

// Splits a line as a shell would, but for variables and patterns: nothing is expanded.
function words(line) {
  const found = [];
  let word;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const c = line[at];
    if (quote) {
      if (c === quote) quote = "";
      else if (c === "\\" && quote === '"' && '"\\$`'.includes(line[at + 1] ?? "")) word += line[(at += 1)];
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (c === "\\" && at + 1 < line.length) word = (word ?? "") + line[(at += 1)];
    else if (/\s/.test(c)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? "") + c;
  }
  if (quote) throw new Error(`the command has a ${quote} that does not end`);
  if (word !== undefined) found.push(word);
  return found;
}

// Braces with a comma or two dots are what bash would expand.
const isPlain = (word) => /^[\w@%+=:,./{}-]+$/.test(word) && !(word.includes("{") && /,|\.\./.test(word));
const quoted = (word) => (isPlain(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

const jobForm = $("#new-job");
const withFiles = new Map();

function specOf(form) {
  const value = (name) => form.elements[name].value.trim();
  const spec = { command: words(value("command")) };
  if (!spec.command.length) throw new Error("a command is needed");
  for (const name of ["name", "mem", "timeout", "grace", "retry_delay", "keep", "max_failed", "image"]) if (value(name)) spec[name] = value(name);
  for (const name of ["cpus", "gpus", "retries", "priority", "max_running"]) if (value(name)) spec[name] = Number(value(name));
  if (value("merge")) spec.merge = value("merge");
  if (form.elements.hold.checked) spec.hold = true;
  if (value("array")) spec.array = value("array");
  else if (value("dataset")) {
    spec.dataset = value("dataset");
    if (value("split")) spec.split = value("split");
  } else throw new Error("choose a data set, or state an array");
  if (value("retry_on")) spec.retry_on = value("retry_on").split(/[\s,]+/).filter(Boolean).map(Number);
  for (const name of ["env", "labels"]) {
    const pairs = form.elements[name].value.split("\n").filter((line) => line.trim()).map((line) => line.split(/=(.*)/s));
    if (pairs.length) spec[name] = Object.fromEntries(pairs.map(([key, text]) => [key.trim(), text ?? ""]));
  }
  if (withFiles.size) spec.with = [...withFiles].map(([name, digest]) => ({ name, digest }));
  return spec;
}

function commandLine(form) {
  const spec = specOf(form);
  const line = ["millpond", "submit"];
  const option = (name, value) => value !== undefined && line.push(`--${name}`, quoted(String(value)));
  for (const name of ["name", "split", "array", "cpus", "mem", "gpus", "timeout", "grace", "retries", "keep", "image", "merge", "priority"]) option(name, spec[name]);
  for (const name of ["max_running", "max_failed", "retry_delay"]) option(name.replace("_", "-"), spec[name]);
  if (spec.retry_on) option("retry-on", spec.retry_on.join(","));
  for (const [name, value] of Object.entries(spec.labels ?? {})) option("label", `${name}=${value}`);
  if (spec.hold) line.push("--hold");
  for (const [name, value] of Object.entries(spec.env ?? {})) option("env", `${name}=${value}`);
  for (const { name } of spec.with ?? []) option("with", name);
  if (spec.dataset) line.push(quoted(form.elements.dataset.selectedOptions[0].dataset.name));
  return [...line, "--", ...spec.command.map(quoted)].join(" ");
}

// Files that every task can read: as a list, from which one can be taken out.
function listWith() {
  const item = (name) => {
    const out = make("button", "Leave it out", { type: "button", "aria-label": `Leave it out: ${name}` });
    out.addEventListener("click", () => {
      withFiles.delete(name);
      listWith();
      $("#with-file").focus();
    });
    const line = make("li", `${name}: {with:${name}} `);
    line.append(out);
    return line;
  };
  $("#with-list").replaceChildren(...[...withFiles.keys()].map(item));
  jobForm.dispatchEvent(new Event("input"));
}

// ---- templates: the fields of the form, but for the data, under a name in this browser -----------------------------------------------------

const TEMPLATE = "template:";

function listTemplates(chosen) {
  const names = Object.keys(localStorage).filter((key) => key.startsWith(TEMPLATE)).map((key) => key.slice(TEMPLATE.length)).sort();
  const option = (name) => make("option", name, { value: name, ...(name === chosen ? { selected: "" } : {}) });
  $("#template").replaceChildren(make("option", "nothing", { value: "" }), ...names.map(option));
  $("#template-forget").hidden = !chosen;
}

const fieldsOf = (form) => [...form.elements].filter((field) => field.name && field.name !== "dataset");

function keepTemplate(name) {
  const values = Object.fromEntries(fieldsOf(jobForm).map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
  localStorage.setItem(TEMPLATE + name, JSON.stringify({ values, files: [...withFiles] }));
}

function useTemplate(name) {
  let kept;
  try {
    const { values, files } = JSON.parse(localStorage.getItem(TEMPLATE + name));
    kept = { values: { ...values }, files: new Map(files) };
  } catch {
    throw new Error(`the template ${name} is damaged: forget it`);
  }
  for (const field of fieldsOf(jobForm)) {
    const value = kept.values[field.name];
    if (field.type === "checkbox") field.checked = value === true;
    else field.value = value ?? "";
  }
  withFiles.clear();
  for (const [file, digest] of kept.files) withFiles.set(file, digest);
  listWith();
}

function choose(stored) {
  const list = jobForm.elements.dataset;
  let option = [...list.options].find((option) => option.value === stored.digest);
  if (!option) {
    option = make("option", stored.name, { value: stored.digest, "data-name": stored.name });
    list.append(option);
  }
  list.value = stored.digest;
}

if (jobForm) {
  const progress = $("#upload-progress");
  const bar = $("progress", progress);
  const text = $("span", progress);
  const bring = async (file, isDataset) => {
    progress.hidden = false;
    try {
      const stored = await upload(file, isDataset, (sent) => {
        bar.value = file.size ? sent / file.size : 1;
        text.textContent = `${file.name}: ${Math.floor((100 * sent) / (file.size || 1))} %`;
      });
      text.textContent = `${file.name} is stored: ${stored.len} bytes, SHA-256 ${stored.digest.slice(0, 12)}…`;
      bar.value = 1;
      return stored;
    } catch (error) {
      progress.hidden = true;
      throw new Error(`${file.name}: ${error.message}`);
    }
  };
  const line = () => {
    try {
      $("#command-line").textContent = commandLine(jobForm);
    } catch (error) {
      $("#command-line").textContent = `(${error.message})`;
    }
  };
  const take = trying(async ({ files }) => {
    for (const file of files) choose(await bring(file, true));
    line();
    jobForm.elements.split.dispatchEvent(new Event("change"));
  });
  $("#data-file").addEventListener("change", (event) => take({ files: event.target.files }));
  $("#with-file").addEventListener(
    "change",
    trying(async (event) => {
      for (const file of event.target.files) {
        const stored = await bring(file, false);
        withFiles.set(stored.name, stored.digest);
      }
      listWith();
    }),
  );
  const drop = $("#drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take({ files: event.dataTransfer.files });
    });
  }
  jobForm.addEventListener("input", line);
  $("#template").addEventListener(
    "change",
    trying(async ({ target }) => {
      $("#template-forget").hidden = !target.value;
      if (target.value) useTemplate(target.value);
      jobForm.elements.split.dispatchEvent(new Event("change"));
    }),
  );
  $("#template-keep").addEventListener(
    "click",
    trying(async () => {
      const name = $("#template-name").value.trim();
      if (!name) throw new Error("say under which name to keep it");
      keepTemplate(name);
      listTemplates(name);
    }),
  );
  $("#template-name").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    // It would submit the job.
    event.preventDefault();
    $("#template-keep").click();
  });
  $("#template-forget").addEventListener("click", () => {
    localStorage.removeItem(TEMPLATE + $("#template").value);
    listTemplates("");
    $("#template").focus();
  });
  const split = trying(async () => {
    const box = $("#split-preview");
    const { dataset, split } = jobForm.elements;
    if (!dataset.value || jobForm.elements.array.value) return box.replaceChildren();
    const query = new URLSearchParams(split.value.trim() ? { split: split.value.trim() } : {});
    try {
      const it = await call("GET", `/v1/datasets/${dataset.value}/split?${query}`);
      const sizes = it.chunk_bytes;
      box.replaceChildren(
        make("p", `${it.split}: ${it.records} records in ${it.chunks} chunks of ${sizes.min} to ${sizes.max} bytes, the median ${sizes.median}`),
        ...it.first.map((chunk) => make("pre", `chunk ${chunk.chunk}, ${chunk.records} records, ${chunk.bytes} bytes: ${chunk.line}`)),
      );
    } catch (error) {
      box.replaceChildren(make("p", error.message, { class: "notice bad" }));
    }
  });
  jobForm.elements.split.addEventListener("change", split);
  jobForm.elements.dataset.addEventListener("change", split);
  jobForm.addEventListener(
    "submit",
    trying(async () => {
      const button = $("button.main", jobForm);
      button.disabled = true;
      try {
        const job = await call("POST", "/v1/jobs", { ...specOf(jobForm), request_id: requestId() });
        location.assign(`/jobs/${job.id}`);
      } finally {
        button.disabled = false;
      }
    }),
  );
  for (const { dataset } of $("#with-list").children) withFiles.set(dataset.name, dataset.digest);
  listWith();
  jobForm.elements.split.dispatchEvent(new Event("change"));
  try {
    listTemplates("");
  } catch {
    // This browser keeps nothing.
    $("#templates").hidden = true;
  }
}

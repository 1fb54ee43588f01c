// The live dashboard and the card of a job, on the page. One ES module, no imports, nothing fetched.
//
// Owns how rows, tasks, logs and details look, and the page's side of the conversation with dashboard.py: it says hello, from
// time to time that it is still there, which logs it shows, and what was clicked. Every text of a job becomes a text node.

const SAMPLES = 60; // as many as a supervisor keeps
const LEAST_SAMPLES = 12; // for so many a line has room from the beginning
const ROW_HEIGHT = 30; // pixels, as in dashboard.css
const SPARE_ROWS = 8; // drawn above and below those that are seen
const ALIVE_SECONDS = 30;
const BUSY_SECONDS = 0.6; // a kernel that has not answered by then is busy
const PATIENCE_SECONDS = 20; // from then on it may as well be dead
const RESYNC_SECONDS = 10;
const PULL_SECONDS = 2; // in Colab, where nothing comes unasked

const STATES = ["running", "queued", "done", "failed", "cancelled", "damaged", "empty"];
const LIVE = new Set(["running", "queued"]);
const READING = new Set(["details", "outputs", "tasks", "task"]); // verbs of which only the answer is seen

// ---------------------------------------------------------------- elements and words

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function button(text, attributes = {}) {
  return element("button", { type: "button", textContent: text, ...attributes });
}

/** Set a text only if it is another one: what has not changed is not drawn again. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A span of time, as the other views write it: "4 s", "12 min", "3 h 20 min", "2 d 4 h". */
function duration(seconds) {
  seconds = Math.max(0, seconds);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${Math.floor(hours / 24)} d`;
}

function bytes(amount) {
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (amount < 1000 || unit === "TB") return `${unit === "B" ? amount : amount.toFixed(amount < 100 ? 1 : 0)} ${unit}`;
    amount /= 1000;
  }
}

function moment(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.toLocaleDateString()} at ${clock(seconds)}`;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

// ---------------------------------------------------------------- what the page knows

const logKey = (name, err) => `${name}\n${Number(err)}`;

/** A name that nobody else has; crypto is there only for pages that came over https or from this machine. */
const unique = () => crypto.randomUUID?.() ?? String(Math.random());

/** The jobs of one widget, for all its views: rows, logs, the connection, and what is asked for. */
class Jobs {
  constructor(model) {
    this.model = model;
    this.page = unique();
    this.fields = model.get("fields");
    this.rows = new Map();
    this.logs = new Map(); // "name\nerr" → { lines, before }
    this.opened = new Map(); // the same → by how many views
    this.pending = new Map();
    this.views = new Set();
    this.number = 0;
    this.unread = 0;
    this.trouble = "";
    this.total = 0;
    this.offset = 0; // of the kernel's clock, seconds
    this.connection = "waiting";
    this.heard = 0;
    this.limit = Infinity;
    this.pulls = Boolean(globalThis.google?.colab);
    this.stoppers = [];
  }

  start() {
    const { model } = this;
    const take = (message, buffers) => this.take(message, buffers);
    const snapshot = () => this.takeSnapshot();
    const lost = () => this.connection === "live" && this.lose();
    const shown = () => {
      if (document.visibilityState !== "visible") return;
      this.check();
      if (this.connection === "lost" && this.views.size) this.say("hello"); // it may have slept for hours
    };
    model.on("msg:custom", take);
    model.on("change:snapshot", snapshot);
    model.on("comm_live_update", lost);
    document.addEventListener("visibilitychange", shown);
    const timers = [
      setInterval(() => this.check(), 1000),
      setInterval(() => this.views.size && this.say("alive"), 1000 * (this.pulls ? PULL_SECONDS : ALIVE_SECONDS)),
    ];
    this.stoppers.push(() => {
      timers.forEach(clearInterval);
      model.off("msg:custom", take);
      model.off("change:snapshot", snapshot);
      model.off("comm_live_update", lost);
      document.removeEventListener("visibilitychange", shown);
    });
    this.takeSnapshot();
  }

  stop() {
    this.stoppers.splice(0).forEach((stop) => stop());
  }

  // ---- views

  enter(view) {
    this.views.add(view);
    if (this.views.size === 1 || this.connection !== "live") {
      this.say("hello");
      if (this.connection !== "live") setTimeout(() => this.tell("connection"), 1000 * BUSY_SECONDS);
    }
  }

  leave(view) {
    this.views.delete(view);
    if (!this.views.size) this.say("bye");
  }

  tell(what, detail) {
    for (const view of this.views) view(what, detail);
  }

  // ---- the kernel's words

  say(what, more = {}) {
    const logs = [...this.opened.keys()].map((key) => [key.split("\n")[0], key.endsWith("\n1")]);
    this.asked ??= performance.now(); // since then nothing has been heard that fits
    try {
      this.model.send({ do: what, page: this.page, logs, pull: this.pulls, ...more });
    } catch {
      this.lose(); // the connection has been closed
    }
  }

  take(message, buffers) {
    const data = buffers?.length ? JSON.parse(new TextDecoder().decode(buffers[0])) : undefined;
    this.heard = performance.now();
    this.limit = 1000 * (2 * message.next + 2);
    if (message.do === "rows") this.takeRows(message, data);
    else if (message.do === "beat") this.takeBeat(message);
    else if (message.do === "log") this.takeLog(message);
    else if (message.do === "taken") this.takeTaken(message);
    else if (message.do === "answer") this.takeAnswer(message, data);
  }

  /** The rows are those that the kernel has. */
  inStep() {
    this.resyncing = false;
    this.asked = undefined;
    if (this.connection === "live") return;
    this.connection = "live";
    this.tell("connection");
  }

  /** Something was lost, or meant for a page that came before; asked once, until the answer is there. */
  resync() {
    if (this.resyncing && performance.now() - this.resyncing < 1000 * RESYNC_SECONDS) return;
    this.resyncing = performance.now();
    this.say("resync");
  }

  takeBeat(message) {
    if (message.trouble !== undefined) {
      this.trouble = message.trouble;
      this.tell("connection");
    } else if (message.number === this.number && this.number) this.inStep();
    else this.resync();
  }

  takeRows(message, changes) {
    if (!message.whole && message.number !== this.number + 1) {
      if (message.number > this.number) this.resync();
      return;
    }
    this.number = message.number;
    this.unread = message.unread;
    this.trouble = message.trouble;
    this.offset = message.time - Date.now() / 1000;
    if (message.whole) this.rows.clear();
    for (const name of message.gone) this.rows.delete(name);
    for (const change of changes) this.change(change);
    this.total = this.rows.size + this.unread;
    this.inStep();
    this.tell("rows");
  }

  /** Apply one row's change; see wire.change. */
  change([name, whole, ...pairs]) {
    const row = whole ? { name, cpu: [], memory: [] } : { ...this.rows.get(name) };
    for (let at = 0; at < pairs.length; at += 2) {
      const field = this.fields[Math.abs(pairs[at])];
      row[field] = pairs[at] < 0 ? [...row[field], pairs[at + 1]].slice(-SAMPLES) : pairs[at + 1];
    }
    this.rows.set(name, row);
  }

  /** The rows that the notebook keeps, as long as no kernel has told of any. */
  takeSnapshot() {
    const snapshot = this.model.get("snapshot");
    if (this.number || !snapshot.rows) return;
    this.rows.clear();
    for (const change of snapshot.rows) this.change(change);
    this.total = snapshot.total;
    this.asOf = snapshot.time;
    this.unheard = snapshot.unheard;
    this.tell("connection");
    this.tell("rows");
  }

  takeLog(message) {
    const key = logKey(message.name, message.err);
    if (!this.opened.has(key)) return; // another page's
    const known = this.logs.get(key);
    if (message.keep && message.part !== (known?.part ?? 0) + 1) return this.resync();
    const lines = [...(known?.lines.slice(0, message.keep) ?? []), ...message.text.split("\n")];
    this.logs.set(key, { lines, before: message.before, part: message.part });
    this.tell("log", key);
  }

  takeTaken(message) {
    const asked = this.pending.get(message.request);
    if (!asked) return;
    clearTimeout(asked.timer);
    this.tell("act", { ...asked, words: "" });
  }

  takeAnswer(message, data) {
    const asked = this.pending.get(message.request);
    if (!asked) return;
    clearTimeout(asked.timer);
    this.pending.delete(message.request);
    this.tell("act", { ...asked, words: message.words, ok: message.ok, over: true });
    asked.settle({ ...message, data });
  }

  // ---- the connection

  /** Notice that nothing has been heard for too long. */
  check() {
    if (this.connection === "live" && performance.now() - this.heard > this.limit) this.lose();
  }

  lose() {
    if (this.connection === "lost") return;
    // when something was last heard, not when the silence was noticed: the page may have slept meanwhile
    this.lostAt = Date.now() / 1000 + this.offset - (performance.now() - this.heard) / 1000;
    this.connection = "lost";
    this.tell("connection");
    const pending = [...this.pending.values()];
    this.pending.clear();
    const words = "no answer came: it may have been done, or not";
    for (const asked of pending) {
      clearTimeout(asked.timer);
      this.tell("act", { ...asked, words, ok: false, over: true });
      asked.settle({ ok: false, words });
    }
    this.tell("rows");
  }

  /** The time at the kernel, seconds since the epoch; it stands still while the kernel does not answer. */
  now() {
    if (this.connection === "lost") return this.lostAt;
    if (this.connection === "waiting" && this.asOf) return this.asOf;
    return Date.now() / 1000 + this.offset;
  }

  connectionWords() {
    if (this.connection === "lost") {
      const why = "it is dead, was restarted, or cannot be reached";
      return `no word from the kernel since ${clock(this.now())}: ${why}; shown is what was then`;
    }
    if (this.connection === "waiting" && this.unheard)
      return "the kernel hears nothing of this page, as it may be after it was restarted: load the page again";
    const waited = this.connection === "waiting" ? (performance.now() - (this.asked ?? performance.now())) / 1000 : 0;
    if (waited < 0.9 * BUSY_SECONDS) return "";
    const dead = waited > PATIENCE_SECONDS;
    const why = dead ? "the kernel does not answer: it is busy, or there is none" : "queued, the kernel is busy";
    return `${why}${this.asOf ? `; shown is what was on ${moment(this.asOf)}` : ""}`;
  }

  // ---- what is asked for

  openLog(name, err) {
    const key = logKey(name, err);
    this.opened.set(key, (this.opened.get(key) ?? 0) + 1);
    if (this.opened.get(key) === 1) this.say("logs");
    return () => {
      const left = this.opened.get(key) - 1;
      if (left) return void this.opened.set(key, left);
      this.opened.delete(key);
      this.logs.delete(key);
      this.say("logs");
    };
  }

  /** Ask the kernel to do something, with a job or with one task of it; gives its answer: { ok, words, ask, data }. */
  act(verb, name, { sure = false, task } = {}) {
    if (this.connection === "lost") {
      const words = "the kernel does not answer; nothing was asked for";
      this.tell("act", { verb, name, task, words, ok: false, over: true });
      return Promise.resolve({ ok: false, words });
    }
    const request = unique();
    return new Promise((settle) => {
      const asked = { verb, name, task, settle };
      asked.timer = setTimeout(
        () => this.tell("act", { ...asked, words: "queued, the kernel is busy" }), 1000 * BUSY_SECONDS,
      );
      this.pending.set(request, asked);
      this.say("act", { request, verb, name, sure, ...(task === undefined ? {} : { task }) });
      this.tell("act", { ...asked, words: "" });
    });
  }

  isPending(name, verb, task) {
    return [...this.pending.values()].some((asked) => asked.name === name && asked.verb === verb && asked.task === task);
  }
}

// ---------------------------------------------------------------- a job in words

function elapsed(row, now) {
  return row.started == null ? null : Math.max(0, (row.ended ?? now) - row.started);
}

/** How long it waited, or has waited, until it began. */
function waited(row, now) {
  if (row.submitted == null) return null;
  const end = row.started ?? (row.state === "queued" ? now : null);
  return end === null ? null : Math.max(0, end - row.submitted);
}

function stateWords(row) {
  return row.run ? `${row.state} (run ${row.run})` : row.state ?? "";
}

function seenWords(row, now) {
  return row.seen ? `when last seen ${duration(now - row.seen)} ago` : "";
}

/** State, reason, note and who said so: what a pointer over the state shows. */
function stateTitle(row, now) {
  const words = [stateWords(row), seenWords(row, now), row.reason, row.note, row.source && `source: ${row.source}`];
  return words.filter(Boolean).join("; ");
}

/** What is to be said besides: why it is so, how far a sweep is, what has changed since, what it printed last. */
function message(row, now) {
  const tasks = LIVE.has(row.state) ? tasksWords(row) : ""; // of one that has ended the reason tells
  return [seenWords(row, now), row.reason, tasks, row.note, row.staleness, row.line].filter(Boolean).join("; ");
}

/** How many tasks of a sweep are in which state: "120 of 200 tasks done, 3 failed, 2 running". */
function tasksWords(row) {
  if (!row.tasks) return "";
  const [done, failed, cancelled, running, total] = row.tasks;
  const some = Object.entries({ failed, cancelled, running }).filter(([, number]) => number);
  return [`${done} of ${total} tasks done`, ...some.map(([state, number]) => `${number} ${state}`)].join(", ");
}

/** How much of it is over, 0 to 1; of a sweep that has ended how much is done. */
function share(row) {
  if (!row.tasks) return row.share ?? null;
  const [done, failed, cancelled, , total] = row.tasks;
  return (LIVE.has(row.state) ? done + failed + cancelled : done) / total;
}

function where(row) {
  return [row.backend, row.id].filter(Boolean).join(" ");
}

function progressWords(row, now) {
  const old = row.told && LIVE.has(row.state) && now - row.told > 60 ? ` (${duration(now - row.told)} ago)` : "";
  return [tasksWords(row), row.progress && `${row.progress}${old}`].filter(Boolean).join("; ");
}

const last = (samples) => (samples?.length ? samples[samples.length - 1] : null);

// ---------------------------------------------------------------- the parts of a job

/** A line of samples. */
function sparkline(className) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `persist-spark ${className}`);
  svg.append(line);
  let drawn;
  const draw = (samples, least) => {
    if (samples === drawn) return;
    drawn = samples;
    const top = Math.max(least, ...samples);
    const room = Math.max(LEAST_SAMPLES, samples.length);
    const first = room - samples.length;
    svg.setAttribute("viewBox", `0 0 ${room - 1} 16`);
    line.setAttribute("points", samples.map((each, at) => `${first + at},${(15 - (14 * each) / top).toFixed(1)}`).join(" "));
  };
  return { svg, draw };
}

/** The tasks of a sweep as a bar: done, failed or cancelled, running; what there is of them is seen, however few. */
class TasksBar {
  constructor() {
    this.parts = ["done", "failed", "running"].map((state) => element("span", { "data-state": state }));
    const range = { role: "progressbar", "aria-valuemin": "0" };
    this.box = element("span", { className: "persist-tasks-bar", hidden: true, ...range }, ...this.parts);
  }

  fill(row) {
    this.box.hidden = !row.tasks;
    if (!row.tasks) return;
    const [done, failed, cancelled, running, total] = row.tasks;
    [done, failed + cancelled, running].forEach((number, at) => {
      this.parts[at].hidden = !number;
      this.parts[at].style.width = `${(100 * number) / total}%`;
    });
    const words = { label: `tasks of ${row.name}`, valuemax: total, valuenow: done + failed + cancelled, valuetext: tasksWords(row) };
    for (const [name, word] of Object.entries(words)) this.box.setAttribute(`aria-${name}`, String(word));
  }
}

/** State, place, progress and the like: cells that are filled again and again, in a row or on a card. */
class Cells {
  constructor() {
    this.state = element("span", { className: "persist-state" });
    this.where = element("span");
    this.bar = element("progress", { max: 1 });
    this.tasks = new TasksBar();
    this.share = element("span", { className: "persist-share" });
    this.progress = element("span", { className: "persist-progress" }, this.bar, this.tasks.box, this.share);
    this.elapsed = element("span");
    this.waited = element("span");
    this.cpuLine = sparkline("persist-cpu");
    this.cpuText = element("span");
    this.cpu = element("span", { className: "persist-usage" }, this.cpuLine.svg, this.cpuText);
    this.memoryLine = sparkline("persist-memory");
    this.memoryText = element("span");
    this.memory = element("span", { className: "persist-usage" }, this.memoryLine.svg, this.memoryText);
    this.message = element("span", { className: "persist-message" });
  }

  fill(row, now) {
    setText(this.state, stateWords(row));
    this.state.dataset.state = row.state;
    this.state.classList.toggle("persist-stale", Boolean(row.seen));
    setText(this.where, where(row));
    this.where.title = where(row);
    this.bar.hidden = row.share == null;
    this.bar.value = row.share ?? 0;
    this.bar.setAttribute("aria-label", `progress of ${row.name}`);
    this.tasks.fill(row);
    this.tick(row, now);
    const running = row.state === "running";
    this.cpu.hidden = this.memory.hidden = !running || !row.cpu?.length || !row.memory?.length;
    if (!this.cpu.hidden) {
      this.cpuLine.draw(row.cpu, 100);
      this.memoryLine.draw(row.memory, 1);
      setText(this.cpuText, `${last(row.cpu)} %`);
      setText(this.memoryText, bytes(last(row.memory)));
    }
  }

  /** What changes by time alone. */
  tick(row, now) {
    const took = elapsed(row, now);
    setText(this.elapsed, took === null ? "" : took < 10 && row.ended != null ? `${took.toFixed(1)} s` : duration(took));
    const queued = waited(row, now);
    setText(this.waited, queued === null ? "" : duration(queued));
    const words = progressWords(row, now);
    setText(this.share, share(row) === null ? words : `${Math.floor(100 * share(row))} %`);
    this.progress.title = words;
    this.state.title = stateTitle(row, now);
    const said = message(row, now);
    setText(this.message, said);
    this.message.title = said;
  }
}

const QUESTIONS = {
  cancel: (name) => [`Cancel ${name}? What it has computed is lost, unless its cell keeps it.`, "Cancel the job", "Let it run"],
  kill: (name) => [`Kill ${name} at once? Its finally blocks do not run.`, "Kill the job", "Let it end"],
  "cancel task": (name, task) => [`Cancel task ${task} of ${name}? The others go on.`, "Cancel the task", "Let it run"],
  "kill task": (name, task) => [`Kill task ${task} of ${name} at once? Its finally blocks do not run.`, "Kill the task", "Let it end"],
  clean: (name) => [`Delete ${name} with all its runs, results and logs?`, "Delete the job", "Keep it"],
};

/** What can be done with a job now. */
function verbs(row) {
  const seen = row.tasks ? "tasks" : "log";
  if (LIVE.has(row.state)) return [seen, row.note?.includes("cancel asked for") ? "kill" : "cancel"];
  if (row.state === "damaged") return ["clean"];
  if (row.state === "empty") return ["clean"];
  return [seen, "fetch", "rerun", ...(failedSweep(row) ? ["rerun failed"] : []), "clean"];
}

/** Whether it has ended and some of its tasks are not done. */
function failedSweep(row) {
  return Boolean(row.tasks) && !LIVE.has(row.state) && row.tasks[0] < row.tasks[4];
}

/** Buttons for a job; `open` shows its log, or its tasks. They stay the same elements while the job stays in its state. */
class Actions {
  constructor(jobs, ask, open) {
    this.box = element("span", { className: "persist-actions" });
    this.box.addEventListener("pointerdown", () => (this.pressed = this.name));
    this.box.addEventListener("click", (event) => {
      const verb = event.target.dataset?.verb;
      if (!verb) return;
      event.stopPropagation();
      if (event.target.ariaDisabled === "true") return;
      if (event.detail && this.pressed !== this.name) return; // the row became another job's under the pointer
      if (verb === "log" || verb === "tasks") open(this.name, verb);
      else request(jobs, ask, verb, this.name, event.target);
    });
    this.jobs = jobs;
  }

  fill(row, reachable = true) {
    const wanted = verbs(row);
    this.name = row.name;
    if (wanted.join() !== this.drawn) {
      this.drawn = wanted.join();
      const focused = this.box.contains(this.box.getRootNode().activeElement);
      this.box.replaceChildren(...wanted.map((verb) => button(verb, { className: "persist-button", "data-verb": verb })));
      if (focused) [...this.box.children].find((each) => each.offsetParent)?.focus({ preventScroll: true });
    }
    for (const each of this.box.children) {
      const { verb } = each.dataset;
      each.setAttribute("aria-label", `${verb} ${row.name}`);
      each.tabIndex = reachable ? 0 : -1;
      each.ariaDisabled = String(this.jobs.isPending(row.name, verb)); // so that it keeps the focus
    }
  }
}

/** Ask back where something would be destroyed, then ask the kernel. */
async function request(jobs, ask, verb, name, from, task) {
  if (verb in QUESTIONS && !(await ask(...QUESTIONS[verb](name, task), from))) return;
  const answer = await jobs.act(verb, name, { task });
  if (answer.ask && (await ask(`${answer.ask} Overwrite?`, "Overwrite", "Keep mine", from))) jobs.act(verb, name, { sure: true });
}

/** The line on which the widget asks back; one question at a time. */
class Question {
  constructor() {
    this.words = element("span");
    this.yes = button("", { className: "persist-button persist-danger" });
    this.no = button("", { className: "persist-button" });
    this.box = element(
      "div", { className: "persist-question", role: "alertdialog", "aria-label": "Question", hidden: true },
      this.words, this.yes, this.no,
    );
    this.yes.addEventListener("click", () => this.answer(true));
    this.no.addEventListener("click", () => this.answer(false));
    this.box.addEventListener("keydown", (event) => event.key === "Escape" && this.answer(false));
  }

  ask = (words, yes, no, from) => {
    this.answer(false);
    this.from = { button: from, label: from?.ariaLabel };
    this.box.setAttribute("aria-label", words);
    this.words.textContent = words;
    this.yes.textContent = yes;
    this.no.textContent = no;
    this.box.hidden = false;
    this.no.focus();
    return new Promise((settle) => (this.settle = settle));
  };

  answer(word) {
    const { settle } = this;
    if (!settle) return;
    this.settle = undefined;
    this.box.hidden = true;
    const { button: from, label } = this.from;
    if (from?.ariaLabel === label) from?.focus({ preventScroll: true }); // and not if it has become another job's
    settle(word);
  }
}

// ---------------------------------------------------------------- one job, opened

const TABS = { tasks: "Tasks", details: "Details", log: "stdout", err: "stderr", outputs: "Outputs" };
const TABS_OF_SWEEPS = ["tasks", "details"]; // each task has logs of its own
const TABS_OF_OTHERS = ["details", "log", "err", "outputs"];

/** Tasks, details, logs and outputs of a job, in tabs; `ask` asks back. */
class Panel {
  constructor(jobs, name, tab, close, ask) {
    this.jobs = jobs;
    this.name = name;
    this.close = close;
    this.ask = ask;
    this.content = element("div", { className: "persist-content", role: "tabpanel", tabIndex: 0 });
    this.sweep = this.isSweep();
    this.tabs = (this.sweep ? TABS_OF_SWEEPS : TABS_OF_OTHERS).map((key) =>
      button(TABS[key], { className: "persist-tab", role: "tab", "data-tab": key, "aria-selected": "false" }));
    const list = element("div", { className: "persist-tabs", role: "tablist", "aria-label": `Job ${name}` }, ...this.tabs);
    const shut = button("✕", { className: "persist-button persist-shut", "aria-label": `close ${name}`, title: "close" });
    this.title = element("strong", { className: "persist-title", textContent: name });
    this.box = element(
      "section", { className: "persist-panel", "aria-label": `Job ${name}` },
      element("div", { className: "persist-head" }, this.title, list, shut), this.content,
    );
    list.addEventListener("click", (event) => event.target.dataset?.tab && this.open(event.target.dataset.tab));
    list.addEventListener("keydown", (event) => this.key(event));
    shut.addEventListener("click", close);
    this.box.addEventListener("keydown", (event) => event.key === "Escape" && close());
    this.open(tab);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.tabs.findIndex((each) => each.dataset.tab === this.tab);
    const next = this.tabs[(at + step + this.tabs.length) % this.tabs.length];
    this.open(next.dataset.tab);
    next.focus();
  }

  open(tab) {
    this.tab = tab;
    this.stop();
    for (const each of this.tabs) {
      const chosen = each.dataset.tab === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
    }
    this.content.setAttribute("aria-label", `${TABS[tab]} of ${this.name}`);
    this.content.replaceChildren();
    this.seen = this.seenNow();
    this.content.classList.toggle("persist-tasks", tab === "tasks");
    this.content.tabIndex = tab === "tasks" ? -1 : 0; // where there is something else to focus
    if (tab === "tasks") this.tasks = new Tasks(this.jobs, this.name, this.content, this.ask);
    else if (tab === "log" || tab === "err") this.openLog(tab === "err");
    else this.load(tab);
  }

  stop() {
    this.closeLog?.();
    this.closeLog = undefined;
    this.tasks?.stop();
    this.tasks = undefined;
  }

  /** What has changed may concern what is shown. */
  update(what, detail) {
    if (what === "log" && detail === this.logKey) this.drawLog();
    if (what !== "rows") return this.tasks?.update();
    const seen = this.seenNow();
    if (!seen && this.seen && this.jobs.connection === "live") return this.close(); // the job has been deleted
    if (seen && this.isSweep() !== this.sweep) return this.close(); // another one has its name
    this.tasks?.update();
    if (seen === this.seen) return;
    this.seen = seen;
    if (seen && (this.tab === "details" || this.tab === "outputs")) this.load(this.tab);
  }

  isSweep() {
    return Boolean(this.jobs.rows.get(this.name)?.tasks);
  }

  /** The job's state and run; when these change, so do its details. */
  seenNow() {
    const row = this.jobs.rows.get(this.name);
    return row ? `${row.state} ${row.run} ${row.submitted}` : "";
  }

  // ---- a log

  openLog(err) {
    this.logKey = logKey(this.name, err);
    const label = `${TABS[this.tab]} of ${this.name}`;
    const role = { role: "log", "aria-live": "off", "aria-label": label }; // nobody wants to hear each line
    this.text = element("pre", { className: "persist-log", tabIndex: 0, ...role });
    this.follow = button("follow", { className: "persist-button", "aria-pressed": "true", title: "keep the end in view" });
    this.before = element("span", { className: "persist-quiet", textContent: "…" });
    this.follow.addEventListener("click", () => this.setFollow(this.follow.getAttribute("aria-pressed") !== "true"));
    this.text.addEventListener("scroll", () => {
      const atEnd = this.text.scrollTop + this.text.clientHeight > this.text.scrollHeight - 8;
      if (!this.drawing && atEnd !== (this.follow.getAttribute("aria-pressed") === "true")) this.setFollow(atEnd);
    });
    this.content.replaceChildren(element("div", { className: "persist-logbar" }, this.follow, this.before), this.text);
    this.closeLog = this.jobs.openLog(this.name, err);
    this.drawLog();
  }

  setFollow(on) {
    this.follow.setAttribute("aria-pressed", String(on));
    if (on) this.text.scrollTop = this.text.scrollHeight;
  }

  drawLog() {
    const log = this.jobs.logs.get(this.logKey);
    if (!log) return;
    this.drawing = true;
    this.text.textContent = log.lines.join("\n");
    const words = log.before ? `the end; ${bytes(log.before)} stand before it, which %persist_log ${this.name} shows` : "";
    setText(this.before, log.lines.join("") ? words : "nothing has been printed");
    if (this.follow.getAttribute("aria-pressed") === "true") this.text.scrollTop = this.text.scrollHeight;
    requestAnimationFrame(() => (this.drawing = false));
  }

  // ---- details and outputs

  async load(tab) {
    this.logKey = undefined;
    if (!this.content.childNodes.length) this.content.append(quiet("reading…"));
    const answer = await this.jobs.act(tab, this.name);
    if (this.tab !== tab) return; // another one has been opened meanwhile
    const drawn = answer.ok ? (tab === "details" ? details(answer.data) : this.outputs(answer.data))
      : [element("p", { className: "persist-error", textContent: answer.words || "it could not be read" })];
    const focused = this.content.contains(this.content.getRootNode().activeElement);
    this.content.replaceChildren(...drawn);
    if (focused) this.content.focus({ preventScroll: true });
  }

  outputs(found) {
    const again = button("refresh", { className: "persist-button", "aria-label": `refresh the outputs of ${this.name}` });
    again.addEventListener("click", () => this.load("outputs"));
    const none = found.length ? null : quiet("nothing has been put out");
    return [element("div", { className: "persist-logbar" }, again), ...found.map(output), none].filter(Boolean);
  }
}

/** What stands before markup in its frame. Links go nowhere: a sandbox opens no windows. */
const FRAME = `
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
  <base target="_blank">
  <style>
    body { font: 13px system-ui, sans-serif; margin: 4px }
    table { border-collapse: collapse }
    th, td { padding: 2px 8px; text-align: right }
  </style>`;

/** One output; nothing of it can run here, or fetch anything. */
function output({ kind, data }) {
  if (kind.startsWith("image/")) {
    const src = kind === "image/svg+xml" ? `data:${kind},${encodeURIComponent(data)}` : `data:${kind};base64,${data.trim()}`;
    return element("img", { className: "persist-figure", alt: "figure", src });
  }
  if (kind === "text/html") return element("iframe", { className: "persist-frame", title: "output", sandbox: "", srcdoc: FRAME + data });
  const named = kind === "stderr" || kind === "error" ? `persist-text persist-${kind}` : "persist-text";
  return element("pre", { className: named, textContent: data });
}

function details(data) {
  const parts = [
    section("Cell", element("pre", { className: "persist-cell" }, ...data.cell.map(([kind, text]) =>
      kind ? element("span", { className: `persist-${kind}`, textContent: text }) : text))),
    data.names.length || data.modules
      ? section("Captured", data.names.length ? grid(["name", "type", "size", "used by"], data.names) : null,
        data.modules ? element("p", { textContent: data.modules }) : null)
      : section("Captured", quiet("nothing")),
    data.variables.length ? section("Kept", grid(["name", "type", "why it is missing"], data.variables)) : null,
    section("Runs", grid(["run", ""], data.runs)),
    section("Facts", pairs(data.facts)),
    data.native.length ? section("What its backend tells", pairs(data.native)) : null,
    data.launch ? section("Before the cell began", element("pre", { className: "persist-text", textContent: data.launch })) : null,
  ];
  return parts.filter(Boolean);
}

function quiet(words) {
  return element("p", { className: "persist-quiet", textContent: words });
}

function section(title, ...content) {
  const heading = { className: "persist-heading", role: "heading", "aria-level": "4", textContent: title };
  return element("div", { className: "persist-section" }, element("div", heading), ...content);
}

function pairs(lines) {
  return element("dl", { className: "persist-pairs" }, ...lines.flatMap(([label, words]) => [
    element("dt", { textContent: label }), element("dd", { textContent: words })]));
}

function grid(head, lines) {
  const titles = head.map((title) => element(title ? "th" : "td", title ? { scope: "col", textContent: title } : {}));
  const body = lines.map((line) => element("tr", {}, ...line.map((text) => element("td", { textContent: String(text) }))));
  return element("table", { className: "persist-grid" }, element("thead", {}, element("tr", {}, ...titles)), element("tbody", {}, ...body));
}

// ---------------------------------------------------------------- the tasks of a sweep

const WORDS = { d: "done", f: "failed", c: "cancelled", r: "running", q: "queued", e: "never submitted" };
const CELLS = [18, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4]; // how large a task's cell may be, pixels
const GRID_HEIGHT = 160; // of which cells are made smaller, as far as they can
const MORE_HEIGHT = 240; // of which the rest is scrolled to
const EDGE = 2; // around the cells, for the frame of the chosen one

/** Draw a task's cell: each state has a shape of its own besides its colour, as far as there is room. */
function drawTask(context, letter, x, y, size, colours) {
  const gap = size > 5 ? 2 : 1;
  const side = size - gap;
  context.fillStyle = context.strokeStyle = colours[letter];
  context.lineWidth = 1;
  if (letter === "q" || letter === "e") {
    const dot = Math.max(1, Math.round(side / 4));
    return context.fillRect(x + (side - dot) / 2, y + (side - dot) / 2, dot, dot);
  }
  if (letter === "r" || letter === "c") {
    context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    if (letter === "r") return context.fillRect(x, y + side / 2, side, side / 2);
  } else context.fillRect(x, y, side, side);
  if (side < 5 || letter === "d") return;
  if (letter === "f") context.strokeStyle = colours.back;
  context.lineWidth = Math.max(1, side / 8);
  context.beginPath();
  context.moveTo(x + 1, y + 1);
  context.lineTo(x + side - 1, y + side - 1);
  if (letter === "f") {
    context.moveTo(x + side - 1, y + 1);
    context.lineTo(x + 1, y + side - 1);
  }
  context.stroke();
}

/** Give a canvas its size in pixels of the screen, and a context that counts in those of the page. */
function sized(canvas, width, height) {
  const scale = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return context;
}

/** A cell for each task, on a canvas of which only what is seen is drawn; for a reader of screens it is a slider. */
class TaskGrid {
  constructor(name, choose) {
    this.name = name;
    this.choose = choose;
    this.letters = "";
    this.chosen = 0;
    this.top = 0;
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.room = element("div", { className: "persist-tasks-room" }, this.canvas); // as high as all cells are
    this.tip = element("span", { className: "persist-tip", hidden: true, "aria-hidden": "true" });
    const role = { role: "slider", tabIndex: 0, "aria-label": `task of ${name}`, "aria-valuemin": "0" };
    this.box = element("div", { className: "persist-tasks-grid", ...role }, this.room);
    this.place = element("div", { className: "persist-tasks-place" }, this.box, this.tip);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("click", (event) => this.at(event) !== null && this.choose(this.at(event)));
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.sizes = new ResizeObserver(() => this.lay());
    this.sizes.observe(this.box);
  }

  stop() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
  }

  fill(letters) {
    const more = letters.length !== this.letters.length;
    this.letters = letters;
    if (more) this.lay();
    if (this.chosen < letters.length) this.show(this.chosen);
  }

  /** Mark a task as the chosen one. */
  show(task) {
    this.chosen = task;
    const said = { valuemax: this.letters.length - 1, valuenow: task, valuetext: this.words(task) };
    for (const [name, word] of Object.entries(said)) this.box.setAttribute(`aria-${name}`, String(word));
    this.draw();
  }

  /** Bring the chosen task into view. */
  reveal() {
    if (!this.columns) return;
    const top = Math.floor(this.chosen / this.columns) * this.size;
    const height = this.box.clientHeight - 2 * EDGE;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.size > this.box.scrollTop + height) this.box.scrollTop = top + this.size - height;
  }

  words(task) {
    return `task ${task}, ${WORDS[this.letters[task]]}`;
  }

  // ---- what the reader does

  at(event) {
    const { left, top } = this.box.getBoundingClientRect();
    const column = Math.floor((event.clientX - left - EDGE) / this.size);
    const line = Math.floor((event.clientY - top - EDGE + this.box.scrollTop) / this.size);
    const task = line * this.columns + column;
    return line >= 0 && column >= 0 && column < this.columns && task < this.letters.length ? task : null;
  }

  point(event) {
    const task = this.at(event);
    this.tip.hidden = task === null;
    if (task === null) return;
    setText(this.tip, this.words(task));
    const { left, top, width } = this.place.getBoundingClientRect();
    const x = event.clientX - left;
    const besides = x < width / 2 ? { left: `${x + 12}px`, right: "auto" } : { left: "auto", right: `${width - x + 12}px` };
    Object.assign(this.tip.style, { ...besides, top: `${event.clientY - top + 10}px` });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.letters) return;
    const page = this.columns * Math.max(1, Math.floor(this.box.clientHeight / this.size) - 1);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page };
    const step = { ...steps, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const wanted = this.chosen + step;
    const last = this.letters.length - 1;
    if (Math.abs(step) === this.columns && (wanted < 0 || wanted > last)) return; // there is no line above, or below
    this.choose(Math.min(last, Math.max(0, wanted)));
  }

  // ---- drawing

  /** How large cells are, and how many are in a line. */
  lay() {
    const width = this.box.clientWidth - 2 * EDGE;
    const total = this.letters.length;
    if (width <= 0 || !total) return;
    const inLine = (size) => {
      const most = Math.max(1, Math.floor(width / size));
      return most < 20 ? most : most - (most % 10); // so that numbers are found
    };
    this.size = CELLS.find((size) => Math.ceil(total / inLine(size)) * size <= GRID_HEIGHT) ?? CELLS[CELLS.length - 1];
    this.columns = inLine(this.size);
    const height = Math.ceil(total / this.columns) * this.size + 2 * EDGE;
    this.room.style.height = `${height}px`;
    this.box.style.height = `${Math.min(height, MORE_HEIGHT)}px`;
    this.reveal();
    this.draw();
  }

  draw() {
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = 0;
    if (!this.columns) return;
    const { size, columns, letters } = this;
    const height = this.box.clientHeight;
    const context = sized(this.canvas, columns * size + 2 * EDGE, height);
    const colours = (this.colours = coloursOf(this.box));
    const first = Math.max(0, Math.floor((this.box.scrollTop - EDGE) / size));
    const end = Math.min(letters.length, (first + Math.ceil(height / size) + 1) * columns);
    context.translate(EDGE, EDGE - this.box.scrollTop);
    for (let task = first * columns; task < end; task++)
      drawTask(context, letters[task], (task % columns) * size, Math.floor(task / columns) * size, size, colours);
    const around = size - (size > 5 ? 2 : 1) + 2;
    context.strokeStyle = colours.text;
    context.lineWidth = 2;
    context.strokeRect((this.chosen % columns) * size - 1, Math.floor(this.chosen / columns) * size - 1, around, around);
  }
}

/** The theme's colours, by letter. */
function coloursOf(node) {
  const style = getComputedStyle(node);
  const names = { d: "green", f: "red", c: "violet", r: "blue", q: "amber", e: "text", back: "back", text: "text" };
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, style.getPropertyValue(`--persist-${name}`).trim()]));
}

/** The tasks of a sweep: a cell for each, how many are in which state, and what is known of the chosen one. */
class Tasks {
  constructor(jobs, name, place, ask) {
    this.jobs = jobs;
    this.name = name;
    this.ask = ask;
    this.chosen = null; // until it is known which failed
    this.build(place);
    this.timer = setInterval(() => this.update(), 1000);
    this.update();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    this.grid.stop();
  }

  build(place) {
    this.grid = new TaskGrid(this.name, (task) => this.choose(task));
    this.legend = Object.entries(WORDS).map(([letter, word]) => {
      const canvas = element("canvas", { "aria-hidden": "true" });
      const count = element("span");
      return { letter, word, canvas, count, box: element("span", { className: "persist-legend", hidden: true }, canvas, count) };
    });
    this.number = element("input", { type: "number", className: "persist-number-field", min: "0", step: "1" });
    this.number.addEventListener("input", () => this.number.value && this.number.validity.valid && this.choose(Number(this.number.value)));
    this.next = button("next failed", { className: "persist-button", "aria-label": `next failed task of ${this.name}` });
    this.next.addEventListener("click", () => this.goToFailed());
    this.trouble = element("p", { className: "persist-error", role: "status", hidden: true });
    this.title = element("strong");
    this.state = element("span", { className: "persist-state" });
    this.took = element("span", { className: "persist-quiet" });
    this.given = element("span", { className: "persist-given" });
    this.stopper = button("", { className: "persist-button" });
    this.stopper.addEventListener("click", () => this.askToStop());
    this.why = element("p", { className: "persist-why" });
    this.result = element("pre", { className: "persist-text" });
    this.logs = Object.fromEntries(["stdout", "stderr"].map((stream) => {
      const label = { role: "log", "aria-live": "off", "aria-label": `${stream} of the task`, tabIndex: 0 };
      return [stream, { text: element("pre", { className: "persist-task-log", ...label }), before: quiet("") }];
    }));
    const field = element("label", { className: "persist-field" }, "task", this.number);
    this.results = section("Result", this.result);
    this.one = element(
      "section", { className: "persist-task", "aria-label": `The chosen task of ${this.name}`, hidden: true },
      element("div", { className: "persist-taskhead" }, this.title, this.state, this.took, this.given, this.stopper),
      this.why, this.results,
      element("div", { className: "persist-task-logs" }, ...Object.entries(this.logs).map(([stream, { text, before }]) =>
        section(stream, before, text))),
    );
    this.reading = quiet("reading…");
    const bar = element("div", { className: "persist-taskbar" }, ...this.legend.map((each) => each.box), field, this.next);
    place.replaceChildren(bar, this.trouble, this.reading, this.grid.place, this.one);
  }

  // ---- what is asked for

  /** Ask for what may have changed: at most once a second, if there are very many less often, and nothing twice at a time. */
  update() {
    if (this.stopped) return;
    this.drawStopper();
    const colours = coloursOf(this.grid.box);
    if (this.grid.columns && JSON.stringify(colours) !== JSON.stringify(this.grid.colours)) this.draw(); // another theme
    if (this.jobs.connection !== "live" || document.visibilityState !== "visible") return;
    this.askForAll();
    this.askForOne();
  }

  async askForAll() {
    const row = this.jobs.rows.get(this.name);
    const known = JSON.stringify([row?.tasks, row?.state, this.run()]);
    const pause = Math.max(1000, this.grid.letters.length / 100); // the kernel reads some 2000 in a millisecond
    if (!row || known === this.known || this.asking || performance.now() - (this.askedAt ?? -Infinity) < pause) return;
    [this.asking, this.askedAt] = [true, performance.now()];
    const answer = await this.jobs.act("tasks", this.name);
    this.asking = false;
    if (this.stopped) return;
    this.tell(answer);
    if (!answer.ok) return;
    this.known = known;
    this.grid.fill(answer.data.replace(/([a-z])(\d+)/g, (_, letter, count) => letter.repeat(Number(count))));
    this.reading.hidden = true;
    this.number.max = String(this.grid.letters.length - 1);
    this.draw();
    if (this.chosen === null || this.chosen >= this.grid.letters.length) this.choose(Math.max(0, this.grid.letters.indexOf("f")));
    else this.askForOne();
  }

  /** Ask for the chosen task: if it is another one, is in another state, or runs. */
  async askForOne() {
    if (this.chosen === null || this.askingOne) return;
    const task = this.chosen;
    const state = WORDS[this.grid.letters[task]];
    const shown = this.shown?.task === task && this.shown.state === state && this.shown.of === this.run();
    if (shown && state !== "running") return;
    const again = shown || this.failed;
    if (again && performance.now() - this.askedOneAt < 900) return; // once a second, although timers are not exact
    [this.askingOne, this.askedOneAt] = [true, performance.now()];
    const of = this.run();
    const answer = await this.jobs.act("task", this.name, { task });
    this.askingOne = false;
    if (this.stopped) return;
    this.tell(answer);
    this.failed = !answer.ok;
    if (!answer.ok) return;
    // a task may be further than the grid: it is asked for again only once that has changed, too
    this.shown = { task, state, of };
    if (task === this.chosen) this.drawOne(answer.data);
    else this.askForOne();
  }

  /** Which run it is, and of which job of that name. */
  run() {
    const row = this.jobs.rows.get(this.name);
    return JSON.stringify([row?.run, row?.submitted]);
  }

  tell(answer) {
    this.trouble.hidden = answer.ok;
    setText(this.trouble, answer.ok ? "" : answer.words || "it could not be read");
  }

  // ---- what the reader does

  choose(task) {
    if (task >= this.grid.letters.length) return;
    this.chosen = task;
    if (Number(this.number.value) !== task || !this.number.value) this.number.value = String(task);
    this.grid.show(task);
    this.grid.reveal();
    this.one.hidden = false;
    setText(this.title, `Task ${task}`);
    this.askForOne();
  }

  goToFailed() {
    const { letters } = this.grid;
    const after = letters.indexOf("f", (this.chosen ?? -1) + 1);
    const task = after >= 0 ? after : letters.indexOf("f");
    if (task >= 0) this.choose(task);
  }

  askToStop() {
    const { verb } = this.stopper.dataset;
    if (this.stopper.ariaDisabled !== "true") request(this.jobs, this.ask, verb, this.name, this.stopper, this.chosen);
  }

  // ---- drawing

  draw() {
    this.grid.draw();
    const colours = coloursOf(this.grid.box);
    for (const { letter, word, canvas, count, box } of this.legend) {
      const number = this.grid.letters.split(letter).length - 1;
      box.hidden = !number;
      setText(count, `${number} ${word}`);
      drawTask(sized(canvas, 12, 12), letter, 1, 1, 12, colours); // as in the grid
    }
    this.next.ariaDisabled = String(!this.grid.letters.includes("f"));
  }

  drawOne(data) {
    this.data = data;
    setText(this.title, `Task ${data.task}`);
    setText(this.state, data.state);
    this.state.dataset.state = data.state;
    setText(this.took, [
      data.seconds === null ? "" : data.seconds < 10 ? `${data.seconds.toFixed(1)} s` : duration(data.seconds),
      data.run > 1 ? `run ${data.run}` : "",
    ].filter(Boolean).join(", "));
    setText(this.given, data.given);
    setText(this.why, [data.reason, data.note].filter(Boolean).join("; "));
    this.why.classList.toggle("persist-error", data.state === "failed");
    this.results.hidden = !data.result;
    setText(this.result, data.result);
    for (const [stream, { text, before }] of Object.entries(this.logs)) this.drawLog(text, before, data[stream]);
    this.drawStopper();
  }

  drawLog(text, before, [words, bytesBefore]) {
    before.hidden = Boolean(words) && !bytesBefore;
    const more = `%persist_log ${this.name} --task ${this.data.task}`;
    setText(before, words ? `the end; ${bytes(bytesBefore)} stand before it, which ${more} shows` : "nothing has been printed");
    text.hidden = !words;
    if (text.textContent === words) return;
    const atEnd = text.scrollTop + text.clientHeight > text.scrollHeight - 8;
    text.textContent = words;
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  drawStopper() {
    const { data, stopper } = this;
    const live = data && data.task === this.chosen && LIVE.has(data.state);
    const verb = data?.note.includes("cancel asked for") ? "kill task" : "cancel task";
    if (!live && stopper === stopper.getRootNode().activeElement) this.grid.box.focus({ preventScroll: true });
    stopper.hidden = !live;
    stopper.dataset.verb = verb;
    setText(stopper, verb);
    stopper.setAttribute("aria-label", `${verb} ${this.chosen} of ${this.name}`);
    stopper.ariaDisabled = String(this.jobs.isPending(this.name, verb, this.chosen));
  }
}

// ---------------------------------------------------------------- a view

/** What the table and the card have in common: the kernel's words, questions, the panel of a job that is opened. */
class View {
  constructor(jobs, el) {
    this.jobs = jobs;
    this.el = el;
    this.question = new Question();
    this.said = element("span", { className: "persist-said", role: "status" });
    this.banner = element("div", { className: "persist-banner", role: "alert", hidden: true });
    this.place = element("div"); // of the panel
    this.update = this.update.bind(this);
    this.timer = setInterval(() => this.tick(), 1000);
  }

  stop() {
    clearInterval(this.timer);
    this.panel?.stop();
    this.jobs.leave(this.update);
  }

  update(what, detail) {
    if (what === "act") this.say(detail);
    if (what !== "log") this.draw(what === "rows");
    this.showConnection();
    this.panel?.update(what, detail);
  }

  /** What becomes of something that was asked for. Of reading that is seen; only that it has to wait is said. */
  say({ verb, name, task, words, ok, over }) {
    const reads = READING.has(verb);
    if (reads && !words && !this.saidOfReading) return; // the answer to something else stays
    this.saidOfReading = reads && !over && Boolean(words);
    const what = task === undefined ? `${verb} ${name}` : `${verb} ${task} of ${name}`;
    setText(this.said, reads ? (over ? "" : words) : over ? words : `${what}: ${words || "…"}`);
    this.said.classList.toggle("persist-error", ok === false && !reads);
  }

  showConnection() {
    const words = this.jobs.connectionWords() || this.jobs.trouble;
    this.banner.hidden = !words;
    setText(this.banner, words);
    this.el.classList.toggle("persist-lost", this.jobs.connection !== "live" && Boolean(words));
  }
}

// ---------------------------------------------------------------- the table

const COLUMNS = [
  { key: "name", title: "Job", of: (row) => row.name },
  { key: "state", title: "State", of: (row) => STATES.indexOf(row.state) },
  { key: "where", title: "Where", of: where },
  { key: "progress", title: "Progress", of: (row) => share(row) ?? -1 },
  { key: "elapsed", title: "Elapsed", number: true, of: (row, now) => elapsed(row, now) ?? -1 },
  { key: "waited", title: "Queued for", number: true, of: (row, now) => waited(row, now) ?? -1 },
  { key: "cpu", title: "CPU", number: true, of: (row) => (row.state === "running" ? last(row.cpu) ?? -1 : -1) },
  { key: "memory", title: "Memory", number: true, of: (row) => (row.state === "running" ? last(row.memory) ?? -1 : -1) },
  { key: "message", title: "Message", of: (row, now) => message(row, now) },
];

/** Those that live first, then the newest. */
function byDefault(a, b) {
  return LIVE.has(b.state) - LIVE.has(a.state) || (b.submitted ?? 0) - (a.submitted ?? 0) || (a.name < b.name ? -1 : 1);
}

/** Columns, sort, filter and search; only rows that are seen are drawn. */
class Table extends View {
  constructor(jobs, el) {
    super(jobs, el);
    this.sorted = null; // { key, down }
    this.only = "";
    this.words = "";
    this.view = [];
    this.pool = [];
    this.current = null;
    this.dirty = true;
    this.build();
    this.sizes = new ResizeObserver(() => this.draw(false));
    this.sizes.observe(this.scroller);
    jobs.enter(this.update);
    this.paint();
  }

  stop() {
    super.stop();
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
  }

  build() {
    const search = { type: "search", className: "persist-search", placeholder: "Search", "aria-label": "Search jobs" };
    this.search = element("input", search);
    this.chips = element("div", { className: "persist-chips", role: "group", "aria-label": "Filter by state" });
    this.heads = COLUMNS.map(({ key, title, number }) =>
      element("th", { scope: "col", className: `persist-c-${key}${number ? " persist-number" : ""}`, "aria-sort": "none" },
        button(title, { className: "persist-sort", "data-key": key })));
    const head = element("thead", {}, element("tr", { "aria-rowindex": "1" }, ...this.heads,
      element("th", { scope: "col", className: "persist-c-actions", textContent: "Actions" })));
    const space = () =>
      element("tr", { "aria-hidden": "true", className: "persist-space" }, element("td", { colSpan: COLUMNS.length + 1 }));
    this.above = space(); // in place of the rows that are not drawn
    this.below = space();
    this.body = element("tbody", {}, this.above, this.below);
    this.table = element("table", { className: "persist-table", "aria-label": "Jobs" }, head, this.body);
    this.empty = element("p", { className: "persist-empty persist-quiet", hidden: true });
    const region = { tabIndex: 0, role: "region", "aria-label": "Table of jobs" };
    this.scroller = element("div", { className: "persist-scroller", ...region }, this.table, this.empty);
    this.el.append(
      element("div", { className: "persist-bar" }, this.search, this.chips, this.said),
      this.banner, this.question.box, this.scroller, this.place,
    );
    this.scroller.addEventListener("scroll", () => this.draw(false), { passive: true });
    this.search.addEventListener("input", () => { this.words = this.search.value.toLowerCase(); this.draw(true); });
    this.chips.addEventListener("click", (event) => this.choose(event.target.dataset?.state));
    head.addEventListener("click", (event) => event.target.dataset?.key && this.sort(event.target.dataset.key));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("focusin", (event) => this.focused(event));
  }

  // ---- what the reader does

  choose(state) {
    if (state === undefined) return;
    this.only = this.only === state ? "" : state;
    this.draw(true);
  }

  /** Upwards, downwards, then as it was. */
  sort(key) {
    if (this.sorted?.key !== key) this.sorted = { key, down: false };
    else if (!this.sorted.down) this.sorted = { key, down: true };
    else this.sorted = null;
    this.heads.forEach((head, at) => {
      const chosen = this.sorted?.key === COLUMNS[at].key;
      head.setAttribute("aria-sort", chosen ? (this.sorted.down ? "descending" : "ascending") : "none");
    });
    this.draw(true);
  }

  click(event) {
    const line = event.target.closest("tr");
    if (line?.dataset.name && !event.target.dataset.verb) this.open(line.dataset.name, this.firstTab(line.dataset.name), true);
  }

  focused(event) {
    const name = event.target.closest("tr")?.dataset.name;
    if (name && name !== this.current) {
      this.current = name;
      this.draw(false);
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const line = event.target.closest("tr");
    if (event.key === "Enter" && event.target === line) {
      event.preventDefault();
      return this.open(line.dataset.name, this.firstTab(line.dataset.name));
    }
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_HEIGHT) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.view.length) return;
    event.preventDefault();
    const at = this.view.findIndex((row) => row.name === this.current);
    this.goTo(Math.min(this.view.length - 1, Math.max(0, at + step)));
  }

  goTo(at) {
    this.current = this.view[at].name;
    const top = at * ROW_HEIGHT, height = this.scroller.clientHeight - ROW_HEIGHT; // without the head
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + ROW_HEIGHT > this.scroller.scrollTop + height) this.scroller.scrollTop = top + ROW_HEIGHT - height;
    this.paint();
    this.pool.find((each) => each.name === this.current)?.line.focus({ preventScroll: true });
  }

  firstTab(name) {
    return this.jobs.rows.get(name)?.tasks ? "tasks" : "details";
  }

  open(name, tab, toggle = false) {
    const same = this.panel?.name === name && (this.panel.tab === tab || toggle);
    this.panel?.stop();
    if (same) return this.close(name);
    this.panel = new Panel(this.jobs, name, tab, () => this.close(name), this.question.ask);
    this.place.replaceChildren(this.panel.box);
    this.draw(false);
  }

  close(name) {
    this.panel?.stop();
    this.panel = undefined;
    const inside = this.place.contains(this.el.getRootNode().activeElement);
    this.place.replaceChildren();
    this.draw(false);
    if (inside) this.pool.find((each) => each.name === name)?.line.focus({ preventScroll: true });
  }

  // ---- drawing

  /** Draw with the next frame; `dirty` says whether rows may come, go or move. */
  draw(dirty) {
    this.dirty ||= dirty;
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  tick() {
    if (document.visibilityState !== "visible") return;
    const now = this.jobs.now();
    for (const each of this.pool) if (each.row && LIVE.has(each.row.state)) each.cells.tick(each.row, now);
    this.showConnection();
  }

  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.dirty) this.arrange();
    this.dirty = false;
    const height = this.scroller.clientHeight || 330;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const end = Math.min(this.view.length, first + Math.ceil(height / ROW_HEIGHT) + 2 * SPARE_ROWS);
    const focus = this.focusedPlace();
    this.above.hidden = first === 0; // before anything asks how high the table is
    this.below.hidden = end === this.view.length;
    this.above.firstChild.style.height = `${first * ROW_HEIGHT}px`;
    this.below.firstChild.style.height = `${(this.view.length - end) * ROW_HEIGHT}px`;
    this.lay(this.view.slice(first, end));
    if (!this.view.some((row) => row.name === this.current)) this.current = this.view[first]?.name ?? null;
    const now = this.jobs.now();
    this.pool.forEach((each, at) => this.fill(each, this.view[first + at], first + at, now));
    this.keepFocus(focus);
  }

  /** Which rows there are to see, in which order; and how many of each state. */
  arrange() {
    const counts = new Map();
    const words = this.words;
    const now = this.jobs.now();
    this.view = [];
    for (const row of this.jobs.rows.values()) {
      counts.set(row.state, (counts.get(row.state) ?? 0) + 1);
      if (this.only && row.state !== this.only) continue;
      if (words && ![row.name, where(row), message(row, now)].some((text) => text.toLowerCase().includes(words))) continue;
      this.view.push(row);
    }
    const column = COLUMNS.find(({ key }) => key === this.sorted?.key);
    if (column) {
      const sign = this.sorted.down ? -1 : 1;
      const keyed = this.view.map((row) => [column.of(row, now), row]);
      keyed.sort(([a, x], [b, y]) => (a < b ? -sign : a > b ? sign : byDefault(x, y)));
      this.view = keyed.map(([, row]) => row);
    } else this.view.sort(byDefault);
    this.drawChips(counts);
    this.table.classList.toggle("persist-wide", this.view.some(failedSweep)); // they have one button more
    this.table.setAttribute("aria-rowcount", String(this.view.length + 1));
    this.empty.hidden = this.view.length > 0;
    this.table.hidden = !this.view.length;
    const none = this.jobs.unread ? "reading…" : "no jobs yet: %%persist NAME above a cell makes one";
    setText(this.empty, this.jobs.rows.size ? "no job fits" : none);
  }

  drawChips(counts) {
    const { total, unread, rows } = this.jobs;
    const some = rows.size < total ? `all ${rows.size} of ${total}${unread ? ", reading" : ""}` : `all ${total}`;
    const there = STATES.filter((state) => counts.has(state) || state === this.only);
    const shown = [["", some], ...there.map((state) => [state, `${state} ${counts.get(state) ?? 0}`])];
    const drawn = JSON.stringify([shown, this.only]);
    if (drawn === this.drawnChips) return;
    this.drawnChips = drawn;
    while (this.chips.children.length > shown.length) this.chips.lastChild.remove();
    shown.forEach(([state, text], at) => {
      const chip = this.chips.children[at] ?? this.chips.appendChild(button("", { className: "persist-chip" }));
      setText(chip, text);
      chip.dataset.state = state;
      chip.setAttribute("aria-pressed", String(this.only === state));
    });
  }

  /** A line for each row: its own, as long as it is drawn, so that focus and pointer stay with the job. */
  lay(rows) {
    const names = new Set(rows.map((row) => row.name));
    const own = new Map(this.pool.filter((each) => names.has(each.name)).map((each) => [each.name, each]));
    const free = this.pool.filter((each) => !names.has(each.name));
    this.pool = rows.map((row) => own.get(row.name) ?? free.pop() ?? this.made());
    for (const each of free) each.line.remove();
    let before = this.above;
    for (const { line } of this.pool) {
      if (before.nextSibling !== line) before.after(line);
      before = line;
    }
  }

  made() {
    const cells = new Cells();
    const actions = new Actions(this.jobs, this.question.ask, (name, tab) => this.open(name, tab));
    const name = element("th", { scope: "row", className: "persist-c-name" });
    const rest = COLUMNS.slice(1).map(({ key, number }) =>
      element("td", { className: `persist-c-${key}${number ? " persist-number" : ""}` }, cells[key]));
    const line = element("tr", {}, name, ...rest, element("td", { className: "persist-c-actions" }, actions.box));
    return { line, nameCell: name, cells, actions, row: null, name: null };
  }

  fill(each, row, at, now) {
    each.line.setAttribute("aria-rowindex", String(at + 2));
    each.line.tabIndex = row.name === this.current ? 0 : -1;
    each.line.classList.toggle("persist-opened", row.name === this.panel?.name);
    each.actions.fill(row, row.name === this.current);
    if (each.row === row) return each.cells.tick(row, now);
    each.row = row;
    each.name = each.line.dataset.name = row.name;
    setText(each.nameCell, row.name);
    each.nameCell.title = row.name;
    each.cells.fill(row, now);
  }

  /** Where the focus is among the rows, which are drawn over others. */
  focusedPlace() {
    const active = this.el.getRootNode().activeElement;
    const line = active && this.body.contains(active) ? active.closest("tr") : null;
    return line?.dataset.name ? { name: line.dataset.name, verb: active.dataset.verb } : null;
  }

  keepFocus(focus) {
    if (!focus) return;
    const each = this.pool.find(({ name }) => name === focus.name);
    const verb = focus.verb && each?.actions.box.querySelector(`[data-verb="${focus.verb}"]`);
    const target = verb || each?.line || this.scroller;
    if (target !== this.el.getRootNode().activeElement) target.focus({ preventScroll: true });
  }
}

// ---------------------------------------------------------------- the card

/** One job: its state in two lines, and on demand its details, logs and outputs. */
class Card extends View {
  constructor(jobs, el, name) {
    super(jobs, el);
    this.name = name;
    this.cells = new Cells();
    this.actions = new Actions(jobs, this.question.ask, (_, tab) => this.open(tab));
    this.details = button("details", { className: "persist-button", "aria-label": `details ${name}`, "aria-expanded": "false" });
    this.details.addEventListener("click", () => this.open("details"));
    const cells = this.cells;
    const facts = { for: cells.elapsed, "queued for": cells.waited, CPU: cells.cpu, memory: cells.memory };
    this.facts = Object.entries(facts).map(([label, cell]) =>
      element("span", { className: "persist-fact" }, element("span", { className: "persist-quiet", textContent: label }), cell));
    el.classList.add("persist-card");
    this.buttons = element("span", { className: "persist-buttons" }, this.details, this.actions.box);
    this.line = element("div", { className: "persist-line" }, element("strong", { className: "persist-title", textContent: name }),
      cells.state, cells.where, cells.progress, ...this.facts, this.buttons);
    this.second = element("div", { className: "persist-line persist-second" }, cells.message, this.said);
    el.append(this.banner, this.line, this.second, this.question.box, this.place);
    jobs.enter(this.update);
    this.draw();
  }

  open(tab) {
    const same = this.panel?.tab === tab;
    this.panel?.stop();
    this.panel = same ? undefined : new Panel(this.jobs, this.name, tab, () => this.shut(), this.question.ask);
    this.place.replaceChildren(...(this.panel ? [this.panel.box] : []));
    this.details.setAttribute("aria-expanded", String(Boolean(this.panel)));
  }

  shut() {
    this.open(this.panel?.tab);
    this.details.focus({ preventScroll: true });
  }

  tick() {
    const row = this.jobs.rows.get(this.name);
    if (row && LIVE.has(row.state)) this.cells.tick(row, this.jobs.now());
    this.showConnection();
  }

  draw() {
    const row = this.jobs.rows.get(this.name) ?? { name: this.name, state: this.jobs.number ? "deleted" : "…" };
    this.cells.fill(row, this.jobs.now());
    this.actions.fill(row);
    const there = this.jobs.rows.has(this.name);
    this.buttons.hidden = !there;
    this.second.hidden = !this.cells.message.textContent && !this.said.textContent;
    this.cells.progress.hidden = !this.cells.share.textContent;
    const { elapsed: took, waited: queued } = this.cells;
    this.facts[0].hidden = !took.textContent;
    this.facts[1].hidden = !(row.state === "queued" && queued.textContent);
    this.facts[2].hidden = this.facts[3].hidden = this.cells.cpu.hidden;
  }
}

// ---------------------------------------------------------------- anywidget's side

export default () => {
  let jobs;
  return {
    initialize({ model }) {
      jobs = new Jobs(model);
      jobs.start();
      return () => jobs.stop();
    },
    render({ model, el }) {
      const name = model.get("card");
      const root = element("div", { className: "persist-magic" });
      // As long as the focus is here keys are ours, and not JupyterLab's; but those with Ctrl are everybody's.
      const keys = (event) => root.toggleAttribute("data-lm-suppress-shortcuts", !event.ctrlKey && !event.metaKey);
      window.addEventListener("keydown", keys, { capture: true });
      el.append(root);
      const view = name ? new Card(jobs, root, name) : new Table(jobs, root);
      return () => {
        window.removeEventListener("keydown", keys, { capture: true });
        view.stop();
      };
    },
  };
};

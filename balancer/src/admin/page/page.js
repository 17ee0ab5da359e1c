// The live page: one stream of server-sent events, and what is there is changed where it stands, so that selection and scroll stay.
// Names and lines are others' words: everything is set as text.
"use strict";
const at = id => document.getElementById(id);
const make = (tag, kind, parent) => {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (parent) parent.append(made);
  return made;
};
const draw = (tag, kind, parent) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (kind) made.setAttribute("class", kind);
  if (parent) parent.append(made);
  return made;
};
// Changes a text only where it is another, and keeps the node.
const say = (element, text) => {
  text = text === null || text === undefined ? "" : String(text);
  if (!element.firstChild) element.append(document.createTextNode(text));
  else if (element.firstChild.data !== text) element.firstChild.data = text;
};
const kind = (element, name) => { if (element.className !== name) element.className = name; };
const mark = (element, name, value) => { if (element.getAttribute(name) !== value) element.setAttribute(name, value); };
const show = (element, is) => { if (element.hidden === is) element.hidden = !is; };

const span = s => s === null || s === undefined ? "–" : s < 120 ? s + " s" : s < 7200 ? Math.floor(s / 60) + " min"
  : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
const bound = s => s === null || s === undefined ? "–" : s < 1 ? +(s * 1000).toFixed(1) + " ms" : s + " s";
const time = s => s === null || s === undefined ? "–" : "≤ " + bound(s);
const rate = r => r === 0 ? "0" : r < 100 ? r.toFixed(1) : String(Math.round(r));
const millis = m => m === null || m === undefined ? "–" : time(m / 1000);
const bytes = b => b ? (b / 1048576).toFixed(1) + " MiB" : "–";
const some = (count, one) => count + " " + one + (count === 1 ? "" : "s");
const reasons = by => Object.entries(by).sort((a, b) => b[1] - a[1]).map(([reason, count]) => count + " " + reason).join(", ");

// ---- asking

const headers = () => {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: "Bearer " + token } : {};
};
const WAIT = 1000, SILENCE = 5000, EVENTS_MAX = 300;

at("login").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  show(at("login"), false);
  listen();
});

const listen = async () => {
  const stop = new AbortController();
  let silence;
  const alive = () => { clearTimeout(silence); silence = setTimeout(() => stop.abort(), SILENCE); };
  try {
    alive();
    const answer = await fetch("/api/live", { headers: headers(), signal: stop.signal });
    if (answer.status === 401) {
      clearTimeout(silence);
      show(at("login"), true);
      at("token").focus();
      return trouble(sessionStorage.getItem("token") ? "The token is wrong." : "This page needs the token of token_file.");
    }
    if (!answer.ok) throw new Error("the admin service answers " + answer.status);
    begin();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      alive();
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop();
      for (const part of parts) take(part);
    }
    throw new Error("it has ended the connection");
  } catch (error) {
    clearTimeout(silence);
    trouble("No answer from balancer: it has stopped, or cannot be reached. What is shown is of " + (last || "no time") + "; asking again …");
    setTimeout(listen, WAIT);
  }
};
const take = part => {
  const [, name, data] = part.match(/^event: (\w+)\ndata: ([^]*)$/) || [];
  if (name === "status") status(JSON.parse(data));
  if (name === "points") points(JSON.parse(data));
  if (name === "happened") happened(JSON.parse(data));
};
let last = "";
const trouble = text => banner([{ level: "bad", text }]);

// Has something done, and tells how it goes.
const order = async (path, question) => {
  if (question && !await asked(question)) return;
  tell("asking …");
  try {
    const answer = await fetch(path, { method: "POST", headers: headers() });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", done = null;
    for (;;) {
      const piece = await reader.read();
      if (piece.done) break;
      text += piece.value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines.filter(Boolean)) {
        let told;
        try { told = JSON.parse(line); } catch { told = { done: { code: 1, text: line } }; }
        if (told.progress) tell(told.progress);
        if (told.done) { done = told.done; tell(done.text); }
      }
    }
    if (done && done.code === 2 && /--yes/.test(done.text) && !/yes=1/.test(path)) {
      return order(path + "&yes=1", done.text.replace(": --yes to go on", ". Drain it all the same?"));
    }
    if (!done) tell("it has ended before it had answered");
  } catch (error) {
    tell("not done: " + error.message);
  }
  setTimeout(() => show(at("told"), false), 8000);
};
const tell = text => { say(at("told"), text); show(at("told"), true); };
const asked = (question, number) => new Promise(answer => {
  const dialog = at("ask");
  say(at("question"), question);
  show(at("number-of"), number !== undefined);
  if (number !== undefined) at("number").value = number;
  let said = false;
  at("yes").onclick = () => { said = number === undefined ? true : at("number").value; dialog.close(); };
  at("no").onclick = () => dialog.close();
  dialog.onclose = () => answer(said);
  dialog.showModal();
  (number === undefined ? at("no") : at("number")).focus();
});
const button = (parent, text, act) => {
  const made = make("button", "", parent);
  made.type = "button";
  say(made, text);
  made.addEventListener("click", act);
  return made;
};
const query = encodeURIComponent;

// ---- showing

const pools = new Map();
const begin = () => {
  // Another instance may have come to the same place: charts and events begin anew.
  pools.forEach(pool => { pool.points = {}; pool.rows.forEach(row => { row.points = null; }); });
  at("events").replaceChildren();
};

const banner = problems => {
  const box = at("banner");
  while (box.children.length > problems.length) box.lastChild.remove();
  problems.forEach((problem, i) => say(box.children[i] || make("p", "", box), problem.text));
  kind(box, problems.some(problem => problem.level === "bad") ? "bad-back" : "warn");
  show(box, problems.length > 0);
};

const status = s => {
  last = new Date().toLocaleTimeString();
  const title = (s.level === "bad" ? "⚠ " : "") + s.name + " – balancer";
  if (document.title !== title) document.title = title;
  say(at("name"), s.name);
  say(at("summary"), `${s.state} for ${span(s.uptime_seconds)}${s.ready ? "" : ", NOT READY"} · on ${s.listen.join(", ")} · ` +
    `${s.connections.open} of ${s.connections.max} connections · version ${s.version}, pid ${s.pid}`);
  banner(s.problems);
  const there = new Set(s.pools.map(pool => pool.name));
  pools.forEach((pool, name) => { if (!there.has(name)) { pool.box.remove(); pools.delete(name); } });
  s.pools.forEach((told, i) => {
    if (!pools.has(told.name)) pools.set(told.name, newPool(told));
    const pool = pools.get(told.name);
    if (at("pools").children[i] !== pool.box) at("pools").insertBefore(pool.box, at("pools").children[i] || null);
    showPool(pool, told, s.window_seconds);
  });
};

let ids = 0;
const newPool = told => {
  const box = make("section", "pool"), head = make("div", "head", box), id = "pool-" + ids++;
  const name = make("h2", "", head);
  name.id = id;
  box.setAttribute("aria-labelledby", id);
  say(name, told.name);
  const buttons = make("span", "buttons", head);
  const pool = { box, name: told.name, count: 1, points: {}, rows: new Map(), charts: {} };
  if (told.workers) {
    button(buttons, "Restart all", () => order("/api/restart?pool=" + query(pool.name),
      `Replace every worker of ${pool.name}, one after another? Requests go on.`)).setAttribute("aria-label", "Restart all of " + told.name);
    button(buttons, "Scale …", async () => {
      const count = await asked(`How many workers of ${pool.name}?`, pool.count);
      if (count) order(`/api/scale?pool=${query(pool.name)}&count=${query(count)}`);
    }).setAttribute("aria-label", "Scale " + told.name);
  }
  pool.figures = make("p", "figures", box);
  pool.problem = make("p", "problem", box);
  pool.errors = make("p", "figures", box);
  const charts = make("div", "charts", box);
  for (const [key, text] of [["rate", "requests/s"], ["time", "p50 p95 p99"], ["errors", "errors/s"], ["queue", "waiting"]]) {
    const figure = make("figure", "", charts), caption = make("figcaption", "", figure);
    const head = make("span", "", caption);
    // Each in the colour and the stroke of its line.
    text.split(" ").forEach((word, i) => say(make("span", key === "time" ? "of " + "abc"[i] : "", head), word));
    const value = make("b", "", caption), picture = draw("svg", "chart", figure);
    picture.setAttribute("viewBox", "0 0 180 50");
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("role", "img");
    const lines = (key === "time" ? ["", "b", "c"] : [key === "errors" ? "errors" : ""]).map(name => draw("path", name, picture));
    const words = { rate: "requests a second", time: "times", errors: "errors a second", queue: "requests that wait" }[key];
    picture.setAttribute("aria-label", words);
    pool.charts[key] = { key, figure, value, picture, lines, text: words };
  }
  const table = make("table", "", box);
  pool.caption = make("caption", "", table);
  const row = make("tr", "", make("thead", "", table));
  pool.heads = [["endpoint", ""], ["state", ""], ["", ""], ["req/s", "n"], ["p50 ≤", "n"], ["p95 ≤", "n"], ["p99 ≤", "n"], ["errors", "n"], ["busy", "n"]]
    .concat(told.workers ? [["memory", "n"], ["CPU", "n"], ["restarts", "n"]] : []).concat([["", ""]]);
  for (const [text, name] of pool.heads) {
    const cell = make("th", name, row);
    cell.scope = "col";
    say(cell, text || "");
  }
  row.children[2].setAttribute("aria-label", "last five minutes");
  row.lastChild.setAttribute("aria-label", "actions");
  pool.body = make("tbody", "", table);
  return pool;
};

const showPool = (pool, p, window) => {
  pool.count = p.workers ? p.workers.count : 1;
  say(pool.figures, `${rate(p.per_second)}/s · p50 ${time(p.seconds_p50)}, p95 ${time(p.seconds_p95)}, p99 ${time(p.seconds_p99)} · ${p.in_flight} in flight` +
    (p.queue ? ` · ${p.queue.slots_used} of ${p.queue.slots} slots, ${p.queue.length} of ${p.queue.max} waiting` : "") +
    (p.tunnels + p.event_streams ? ` · ${some(p.tunnels, "tunnel")}, ${some(p.event_streams, "event stream")}` : "") + ` · ${p.requests} requests`);
  say(pool.problem, p.problem ? (p.ready ? "" : "NOT READY: ") + p.problem : "");
  kind(pool.problem, "problem " + p.level);
  show(pool.problem, p.problem !== null);
  say(pool.errors, p.recent.errors ? `${p.recent.errors} of ${p.recent.requests} requests failed: ${reasons(p.recent.errors_by_reason)}` : "");
  show(pool.errors, p.recent.errors > 0 && !(p.problem || "").includes(" requests failed: "));
  show(pool.charts.queue.figure, p.queue !== null);
  say(pool.caption, `Rates, times and errors are those of the last ${window} s` + p.dns.map(dns).join(""));
  say(pool.charts.rate.value, rate(p.per_second));
  say(pool.charts.time.value, bound(p.seconds_p99));
  say(pool.charts.errors.value, rate(p.errors_per_second));
  say(pool.charts.queue.value, p.queue ? p.queue.length : 0);
  const seen = new Map(), there = new Set();
  p.rows.forEach((told, i) => {
    const nth = (seen.get(told.name) || 0) + 1, key = nth + " " + told.name;
    seen.set(told.name, nth);
    there.add(key);
    if (!pool.rows.has(key)) pool.rows.set(key, newRow(pool, told, nth));
    const row = pool.rows.get(key);
    if (pool.body.children[i] !== row.box) pool.body.insertBefore(row.box, pool.body.children[i] || null);
    showRow(row, told);
  });
  pool.rows.forEach((row, key) => { if (!there.has(key)) { row.box.remove(); pool.rows.delete(key); } });
};
const dns = d => ` · dns ${d.name}: ${d.addresses.length} addresses, ` +
  (d.answered_seconds === null ? "never answered" : `answered ${span(d.answered_seconds)} ago`) + (d.problem ? "; " + d.problem : "") +
  (d.waiting.length ? "; not taking connections: " + d.waiting.join(", ") : "");

const newRow = (pool, told, nth) => {
  const box = make("tr"), row = { box, cells: {}, pool, held: false, points: null };
  const name = make("th", "", box);
  name.scope = "row";
  row.name = make("span", "", name);
  const state = make("td", "whole what", box);
  row.state = make("span", "state", state);
  row.why = make("span", "why", state);
  const picture = draw("svg", "spark", make("td", "last", box));
  picture.setAttribute("viewBox", "0 0 60 16");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  row.lines = ["", "errors"].map(name => draw("path", name, picture));
  for (const [text, name] of pool.heads.slice(3, -1)) {
    row.cells[text] = make("td", name, box);
    row.cells[text].dataset.label = text;
  }
  const actions = make("td", "do", box), endpoint = pool.name + "/" + told.name;
  if (nth === 1) {
    row.drain = button(actions, "Drain", () => {
      if (row.held) return order("/api/undrain?endpoint=" + query(endpoint));
      const others = [...pool.rows.values()].some(other => other !== row && other.takes);
      return others
        ? order("/api/drain?endpoint=" + query(endpoint), `Drain ${told.name}? It gets no new request until it is taken back.`)
        : order("/api/drain?yes=1&endpoint=" + query(endpoint), `${told.name} is the last endpoint of ${pool.name} that takes requests. Drain it all the same?`);
    });
    if (told.worker) {
      row.restart = button(actions, "Restart", () => order("/api/restart?pool=" + query(told.name),
        `Replace ${told.name} by a new process? Requests go on.`));
      row.restart.setAttribute("aria-label", "Restart " + told.name);
    }
  }
  return row;
};

const showRow = (row, r) => {
  const f = r.figures, w = r.worker;
  say(row.name, r.name);
  mark(row.name, "title", r.address || "");
  say(row.state, r.state_text);
  kind(row.state, "state " + r.level);
  const end = w && w.last_end, fresh = end && (r.level !== "ok" || end.seconds_ago < 60);
  const why = [fresh ? `${end.how}, ${span(end.seconds_ago)} ago` : "", f && f.recent.errors ? reasons(f.recent.errors_by_reason) : "",
    w && w.last_line && r.level !== "ok" && r.state !== "up" ? "it printed: " + w.last_line : ""];
  say(row.why, why.filter(Boolean).join("; "));
  const put = (name, text) => { if (row.cells[name]) say(row.cells[name], text); };
  put("req/s", f ? rate(f.per_second) : "–");
  put("p50 ≤", f ? bound(f.seconds_p50) : "–");
  put("p95 ≤", f ? bound(f.seconds_p95) : "–");
  put("p99 ≤", f ? bound(f.seconds_p99) : "–");
  put("errors", f ? f.recent.errors : "–");
  put("busy", r.slots ? r.in_flight + "/" + r.slots : r.in_flight);
  put("memory", w ? bytes(w.rss_bytes) : "–");
  put("CPU", w && w.cpu_percent !== null ? Math.round(w.cpu_percent) + " %" : "–");
  put("restarts", w ? w.restarts : "–");
  row.held = r.state === "drained";
  row.takes = r.takes_requests;
  if (row.drain) {
    const text = row.held ? "Take back" : "Drain";
    say(row.drain, text);
    mark(row.drain, "aria-label", text + " " + r.name);
    show(row.drain, row.held || r.takes_requests);
  }
};

// ---- charts

const points = told => {
  for (const [name, more] of Object.entries(told.pools)) {
    const pool = pools.get(name);
    if (!pool) continue;
    for (const [key, values] of Object.entries(more)) {
      if (key !== "endpoints") pool.points[key] = (pool.points[key] || []).concat(values).slice(-told.points_max);
    }
    const of = key => pool.points[key] || [], minutes = Math.max(1, Math.round(of("per_second").length * told.step_seconds / 60));
    plot(pool.charts.rate, [of("per_second")], minutes, value => value + "/s");
    plot(pool.charts.time, [of("millis_p50"), of("millis_p95"), of("millis_p99")], minutes, millis);
    plot(pool.charts.errors, [of("errors_per_second")], minutes, value => value + "/s");
    plot(pool.charts.queue, [of("queue")], minutes, String);
    for (const row of pool.rows.values()) {
      const own = more.endpoints[row.name.textContent];
      if (!own) continue;
      row.points = row.points || [[], []];
      row.points = [own.per_second, own.errors_per_second].map((values, i) => row.points[i].concat(values).slice(-60));
      const top = Math.max(...row.points.flat(), 0.1);
      row.points.forEach((values, i) => mark(row.lines[i], "d", i && !values.some(value => value > 0) ? "" : line(values, 60, 16, top, 24)));
    }
  }
};
const plot = (chart, all, minutes, shown) => {
  const top = Math.max(...all.flat().filter(value => value !== null), 0);
  // A red line along the bottom would look like an alarm.
  all.forEach((values, i) => mark(chart.lines[i], "d", top || chart.key !== "errors" ? line(values, 180, 50, top || 1, 36) : ""));
  mark(chart.picture, "aria-label", `${chart.text} of the last ${some(minutes, "minute")}, at most ${shown(top)}`);
  mark(chart.figure, "title", `at most ${shown(top)} in the last ${some(minutes, "minute")}`);
};
// The newest at the right, the oldest at the left once there are some; a gap where there was nothing.
const line = (values, width, height, top, few) => {
  const step = width / Math.max(values.length, few);
  let path = "", pen = "M";
  values.forEach((value, i) => {
    if (value === null) { pen = "M"; return; }
    path += `${pen}${(width - (values.length - i - 1) * step).toFixed(1)} ${(height - 1 - value / top * (height - 2)).toFixed(1)}`;
    pen = "L";
  });
  return path;
};

// ---- events

const fits = text => text.toLowerCase().includes(at("filter").value.trim().toLowerCase());
const happened = list => {
  const box = at("events");
  for (const told of list) {
    const item = make("li"), when = make("time", "", item);
    when.dateTime = told.time;
    say(when, new Date(told.time).toLocaleTimeString());
    say(make("span", "", item), told.text);
    item.hidden = !fits(told.text);
    // Who has scrolled down goes on reading where he is.
    const before = box.scrollHeight;
    box.prepend(item);
    if (box.scrollTop > 0) box.scrollTop += box.scrollHeight - before;
  }
  while (box.children.length > EVENTS_MAX) box.lastChild.remove();
  count();
};
const count = () => {
  const all = [...at("events").children], shown = all.filter(item => !item.hidden).length;
  say(at("count"), shown === all.length ? some(all.length, "event") : `${shown} of ${some(all.length, "event")}`);
};
at("filter").addEventListener("input", () => {
  for (const item of at("events").children) item.hidden = !fits(item.lastChild.textContent);
  count();
});

listen();

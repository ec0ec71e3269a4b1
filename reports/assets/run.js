'use strict';
// The page of one run. Times are microseconds of true time; hosts, payments and messages are places in their lists.
const D = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const M = { STRIDE: 6, ID: 0, AT: 1, TOOK: 2, FROM: 3, TO: 4, BYTES: 5 };
const messages = D.messages.length / M.STRIDE;
const LEFT = 148, RIGHT = 18, LANE = 18, ROW = 26, REGION = 16, AXIS = 22;
const MOST_ARROWS = 1500, LONGEST_LIST = 400;
const view = { from: 0, to: D.end, payment: -1, others: true, rows: [], items: [], chosen: null };

const escape = text => String(text).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const seconds = (t, digits = 3) => (t / 1e6).toFixed(digits) + ' s';
const took = t => t < 1e3 ? t + ' µs' : t < 1e6 ? (t / 1e3).toFixed(1) + ' ms' : (t / 1e6).toFixed(2) + ' s';
const hostName = host => host < 0 ? 'the world' : D.hosts[host].name;

/// How far a host's clock is ahead, between the points at which that changed.
function skew(host, t) {
  const points = host < 0 ? undefined : D.clocks[host];
  if (!points || !points.length || t < points[0][0]) return 0;
  let at = points.findIndex(point => point[0] > t);
  if (at < 0) return points[points.length - 1][1];
  const [t0, s0] = points[at - 1], [t1, s1] = points[at];
  return s0 + (s1 - s0) * (t - t0) / Math.max(1, t1 - t0);
}
function clock(host, t) {
  const off = Math.round(skew(host, t) / 1e3);
  return off === 0 ? '' : `, ${(t / 1e6 + off / 1e3).toFixed(3)} s by its own clock (${Math.abs(off / 1e3)} s ${off > 0 ? 'ahead' : 'behind'})`;
}

// What is known of each payment: its messages, and by that its hosts.
const mine = D.payments.map(payment => new Set(payment.messages));

function firstAfter(t) {
  let low = 0, high = messages;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (D.messages[middle * M.STRIDE + M.AT] < t) low = middle + 1; else high = middle;
  }
  return low;
}

// Everything but messages that has a place on a host's line.
const marks = [];
for (const m of D.marks) marks.push({ t: m.t, host: m.host, kind: m.kind, text: m.text, payment: -1 });
for (const s of D.telemetry) marks.push({ t: s.t, host: s.host, kind: s.level.toLowerCase(), payment: s.payment,
  text: `${s.level.toLowerCase()}: ${s.message}${s.fields ? '\n' + s.fields : ''}` });
for (const e of D.effects) if (e.t !== null) marks.push({ t: e.t, host: e.host, kind: 'effect', payment: e.payment, text: e.text });
marks.sort((a, b) => a.t - b.t);

function involved() {
  const hosts = new Set();
  for (const message of D.payments[view.payment].messages) {
    hosts.add(D.messages[message * M.STRIDE + M.FROM]); hosts.add(D.messages[message * M.STRIDE + M.TO]);
  }
  for (const mark of marks) if (mark.payment === view.payment) hosts.add(mark.host);
  for (const attempt of D.attempts) if (attempt.payment === view.payment) hosts.add(attempt.host);
  for (const clause of D.clauses) hosts.add(clause.host);
  return hosts;
}

let width = 0, height = 0, top0 = 0, yOf = [];
const x = t => LEFT + (t - view.from) / (view.to - view.from) * (width - LEFT - RIGHT);
const timeAt = px => view.from + (px - LEFT) / (width - LEFT - RIGHT) * (view.to - view.from);

function layout() {
  width = $('diagram').clientWidth || 1200;
  const wanted = view.payment >= 0 && !view.others ? involved() : null;
  view.rows = D.hosts.map((_, host) => host).filter(host => !wanted || wanted.has(host));
  top0 = AXIS + D.faults.length * LANE + (D.faults.length ? 8 : 0);
  yOf = D.hosts.map(() => -1);
  let y = top0, region = null;
  for (const host of view.rows) {
    if (D.hosts[host].region !== region) { region = D.hosts[host].region; y += REGION; }
    yOf[host] = y + ROW / 2; y += ROW;
  }
  height = y + 10;
}

function ticks(from, to, count) {
  const rough = (to - from) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(f => f * power).find(step => step >= rough);
  const all = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) all.push(t);
  return { all, digits: Math.max(0, 6 - Math.floor(Math.log10(step))) };
}

function draw() {
  layout();
  const svg = $('diagram'), out = [], items = [];
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.style.height = height + 'px';
  const inView = (a, b) => b >= view.from && a <= view.to;
  const clip = t => Math.min(width - RIGHT, Math.max(LEFT, x(t)));
  const grid = ticks(view.from, view.to, 8);
  for (const t of grid.all) out.push(`<line class="grid" x1="${x(t)}" x2="${x(t)}" y1="${AXIS - 4}" y2="${height}"/><text class="quiet" x="${x(t)}" y="13" text-anchor="middle">${(t / 1e6).toFixed(Math.min(6, grid.digits))} s</text>`);
  // Faults: a lane for each, and a band behind each host that it strikes.
  D.faults.forEach((fault, place) => {
    const y = AXIS + place * LANE, end = fault.to ?? D.end;
    if (!inView(fault.from, end)) { out.push(`<text class="quiet" x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${fault.from > view.to ? 'later' : 'over'}</text><text class="quiet" x="${LEFT + 4}" y="${y + 12}">${escape(fault.what)}</text>`); return; }
    const a = clip(fault.from), b = Math.max(a + 3, clip(end));
    for (const host of fault.hosts) if (yOf[host] >= 0) out.push(`<rect class="band" x="${a}" y="${yOf[host] - ROW / 2}" width="${b - a}" height="${ROW}"/>`);
    out.push(`<rect class="bar${fault.bites ? '' : ' idle'}" x="${a}" y="${y + 2}" width="${b - a}" height="${LANE - 5}" rx="2"/>`);
    const right = a > width * .6;
    out.push(`<text x="${right ? a - 5 : Math.min(b + 5, a + 5)}" y="${y + 12.5}" ${right ? 'text-anchor="end"' : ''}>${escape(fault.what)}</text>`);
    out.push(`<text class="quiet" x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${fault.kind}</text>`);
    items.push({ x: (a + b) / 2, y: y + 9, box: [a, y, b, y + LANE], t: fault.from, host: -1, text: `fault: ${fault.what}\nfrom ${seconds(fault.from)} ${fault.to === null ? 'to the end' : 'to ' + seconds(fault.to)}; bit ${fault.bites} times` });
  });
  // Hosts.
  let region = null;
  for (const host of view.rows) {
    const y = yOf[host], h = D.hosts[host];
    if (h.region !== region) { region = h.region; out.push(`<text class="quiet" x="8" y="${y - ROW / 2 - 3}">${escape(region)}</text>`); }
    out.push(`<text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${escape(h.name)}</text>`);
    out.push(`<line class="life" x1="${LEFT}" x2="${width - RIGHT}" y1="${y}" y2="${y}"/>`);
    for (const spell of h.spells) if (inView(spell[0], spell[1])) out.push(`<line class="${spell[2]}" x1="${clip(spell[0])}" x2="${Math.max(clip(spell[0]) + 2, clip(spell[1]))}" y1="${y}" y2="${y}"/>`);
  }
  // Clients that wait.
  D.attempts.forEach(a => {
    if (yOf[a.host] < 0 || !inView(a.t, a.t + a.took)) return;
    const own = view.payment >= 0 && a.payment === view.payment;
    if (view.payment >= 0 && !own && !view.others) return;
    const left = clip(a.t), right = Math.max(left + 2, clip(a.t + a.took)), y = yOf[a.host];
    out.push(`<rect class="attempt${own || view.payment < 0 ? ' mine' : ''}${a.status === null || a.status >= 500 ? ' failed' : ''}" x="${left}" y="${y - 5}" width="${right - left}" height="10" rx="2"/>`);
    items.push({ x: left, y, box: [left, y - 6, right, y + 6], t: a.t, host: a.host, text: `asks ${a.gateway} under ${a.key}; ${a.status === null ? 'no answer' : 'answered ' + a.status} after ${took(a.took)}`, mine: own });
  });
  arrows(out, items);
  // Marks.
  let shown = 0;
  for (const mark of marks) {
    if (mark.t < view.from || mark.t > view.to || yOf[mark.host] === undefined || yOf[mark.host] < 0) continue;
    const own = view.payment >= 0 && mark.payment === view.payment;
    if (view.payment >= 0 && mark.payment >= 0 && !own && !view.others) continue;
    if (++shown > 2 * MOST_ARROWS && !own) continue;
    const mx = x(mark.t), my = yOf[mark.host], faded = view.payment >= 0 && mark.payment >= 0 && !own ? ' faded' : '';
    if (mark.kind === 'effect') out.push(`<path class="mark effect${faded}" d="M${mx} ${my - 7}l7 7-7 7-7-7z"/>`);
    else if (['info', 'warn', 'error'].includes(mark.kind)) out.push(`<circle class="mark ${mark.kind}${faded}" cx="${mx}" cy="${my}" r="${mark.kind === 'info' ? 4 : 5}"/>`);
    else out.push(`<rect class="mark ${mark.kind}${faded}" x="${mx - 4}" y="${my - 4}" width="8" height="8"/>`);
    items.push({ x: mx, y: my, t: mark.t, host: mark.host, text: mark.text, mine: own });
  }
  // The evidence, numbered as above.
  let lastX = -99, level = 0;
  for (const clause of D.clauses) {
    const cy = clause.host >= 0 ? yOf[clause.host] : top0;
    if (clause.t < view.from || clause.t > view.to || cy < 0) continue;
    const cx = x(clause.t);
    level = cx - lastX < 18 ? level + 1 : 0; lastX = cx;
    out.push(`<circle class="evidence" cx="${cx}" cy="${cy}" r="9"/><circle class="number-back${clause.decisive ? '' : ' minor'}" cx="${cx + 10}" cy="${cy - 11 - level * 4}" r="8"/><text class="number" x="${cx + 10}" y="${cy - 7 - level * 4}">${clause.n}</text>`);
    items.push({ x: cx, y: cy, t: clause.t, host: clause.host, text: `evidence ${clause.n}: ${clause.text}`, mine: true, clause: clause.n });
  }
  if (view.chosen) {
    const item = items.find(item => item.t === view.chosen.t && item.text === view.chosen.text);
    if (item) out.push(`<circle class="chosen" cx="${Math.max(LEFT, item.x)}" cy="${item.y}" r="13"/>`);
  }
  svg.innerHTML = out.join('');
  view.items = items;
  $('range').textContent = `${seconds(view.from)} to ${seconds(view.to)}`;
  overview();
}

function arrows(out, items) {
  const own = view.payment >= 0 ? mine[view.payment] : null;
  const first = firstAfter(view.from - D.longest), end = firstAfter(view.to + 1);
  const wanted = [], rest = [];
  const arrives = message => D.messages[message * M.STRIDE + M.AT] + Math.max(0, D.messages[message * M.STRIDE + M.TOOK]);
  for (let message = first; message < end; message++) {
    if (arrives(message) < view.from) continue;
    if (own && own.has(message)) wanted.push(message);
    else if (view.others) rest.push(message);
  }
  if (rest.length <= MOST_ARROWS) wanted.unshift(...rest);
  else density(out, rest);
  for (const message of wanted) {
    const [id, t, flight, from, to, bytes] = D.messages.slice(message * M.STRIDE, (message + 1) * M.STRIDE);
    const y1 = yOf[from], y2 = yOf[to], lost = flight < 0;
    if (y1 < 0 || y2 < 0) continue;
    const x1 = x(t), x2 = x(t + (lost ? 0 : flight)), isMine = own && own.has(message);
    const yEnd = lost ? y1 + Math.sign(y2 - y1) * ROW * .6 : y2;
    out.push(`<line class="message${isMine ? ' mine' : ''}${lost ? ' lost' : ''}${own && !isMine ? ' faded' : ''}" x1="${x1.toFixed(1)}" y1="${y1}" x2="${(lost ? x1 + 6 : x2).toFixed(1)}" y2="${yEnd}"/>`);
    if (isMine && !lost) {
      const angle = Math.atan2(y2 - y1, x2 - x1), head = a => `${(x2 - 6 * Math.cos(angle + a)).toFixed(1)} ${(y2 - 6 * Math.sin(angle + a)).toFixed(1)}`;
      out.push(`<path class="message mine" fill="none" d="M${head(.45)}L${x2.toFixed(1)} ${y2}L${head(-.45)}"/>`);
    }
    items.push({ x: (x1 + x2) / 2, y: (y1 + yEnd) / 2, line: [x1, y1, x2, yEnd], t, host: from, mine: isMine,
      text: `event ${id}: ${bytes} B to ${hostName(to)}, ${lost ? 'lost on the way' : 'there after ' + took(flight)}` });
  }
}

/// Too many to tell apart: how many messages each host sent, as bars on its line.
function density(out, rest) {
  const columns = Math.floor((width - LEFT - RIGHT) / 4), counts = {};
  let most = 1;
  for (const message of rest) {
    const t = D.messages[message * M.STRIDE + M.AT], from = D.messages[message * M.STRIDE + M.FROM];
    if (t < view.from || yOf[from] < 0) continue;
    const column = Math.min(columns - 1, Math.floor((t - view.from) / (view.to - view.from) * columns));
    const row = counts[from] ??= new Uint32Array(columns);
    most = Math.max(most, ++row[column]);
  }
  for (const [host, row] of Object.entries(counts)) row.forEach((count, column) => {
    if (count) { const h = 3 + (ROW - 8) * Math.sqrt(count / most); out.push(`<rect class="dense" x="${LEFT + column * 4}" y="${yOf[host] - h / 2}" width="3" height="${h.toFixed(1)}"/>`); }
  });
}

/// What of the overview does not move.
const still = { width: 0, drawn: '' };
function wholeRun(ox, w) {
  const out = [];
  const columns = 240, counts = new Uint32Array(columns);
  for (let message = 0; message < messages; message++) counts[Math.min(columns - 1, Math.floor(D.messages[message * M.STRIDE + M.AT] / D.end * columns))]++;
  const most = counts.reduce((a, b) => Math.max(a, b), 1), step = (w - LEFT - RIGHT) / columns;
  counts.forEach((count, column) => { const height = count / most * 26; out.push(`<rect class="dense" x="${LEFT + column * step}" y="${34 - height}" width="${step}" height="${height}"/>`); });
  for (const fault of D.faults) out.push(`<rect class="bar" x="${ox(fault.from)}" y="37" width="${Math.max(2, ox(fault.to ?? D.end) - ox(fault.from))}" height="6"/>`);
  for (const clause of D.clauses) out.push(`<circle class="number-back${clause.decisive ? '' : ' minor'}" cx="${ox(clause.t)}" cy="48" r="3"/>`);
  out.push(`<text class="quiet" x="${LEFT - 8}" y="30" text-anchor="end">messages</text><text class="quiet" x="${LEFT - 8}" y="46" text-anchor="end">faults</text>`);
  return out.join('');
}
function overview() {
  const svg = $('overview'), w = svg.clientWidth || width, h = 54, out = [];
  svg.setAttribute('viewBox', `0 0 ${w} ${h}`);
  const ox = t => LEFT + t / D.end * (w - LEFT - RIGHT);
  if (still.width !== w) { still.width = w; still.drawn = wholeRun(ox, w); }
  out.push(still.drawn);
  out.push(`<rect class="window" x="${ox(view.from)}" y="1" width="${Math.max(2, ox(view.to) - ox(view.from))}" height="${h - 2}"/>`);
  svg.innerHTML = out.join('');
}

// Moving about.
let pending = 0;
function redraw() { if (!pending) pending = requestAnimationFrame(() => { pending = 0; draw(); }); }
function show(from, to) {
  const span = Math.min(D.end, Math.max(50, to - from));
  view.from = Math.min(Math.max(0, from), D.end - span); view.to = view.from + span;
  redraw();
}
function zoom(factor, around = (view.from + view.to) / 2) { show(around - (around - view.from) * factor, around + (view.to - around) * factor); }
function around(times) {
  const from = Math.min(...times), to = Math.max(...times), pad = Math.max(20_000, (to - from) * .08);
  show(from - pad, to + pad);
}
function evidence() { const times = D.clauses.map(clause => clause.t); if (times.length) around(times); else show(0, D.end); }
function choose(item) {
  view.chosen = item;
  $('detail').textContent = `${seconds(item.t, 6)} on ${hostName(item.host)}${clock(item.host, item.t)}\n${item.text}`;
  if (item.t < view.from || item.t > view.to) { const half = (view.to - view.from) / 2; show(item.t - half, item.t + half); } else redraw();
}
function step(by) {
  const items = view.items.filter(item => view.payment < 0 || item.mine).sort((a, b) => a.t - b.t);
  if (!items.length) return;
  const now = view.chosen ? items.findIndex(item => item.t === view.chosen.t && item.text === view.chosen.text) : by > 0 ? -1 : items.length;
  choose(items[Math.min(items.length - 1, Math.max(0, now + by))]);
}
function nearest(px, py) {
  let best = null, least = 10;
  for (const item of view.items) {
    let distance;
    if (item.line) {
      const [x1, y1, x2, y2] = item.line, dx = x2 - x1, dy = y2 - y1;
      const part = Math.min(1, Math.max(0, ((px - x1) * dx + (py - y1) * dy) / (dx * dx + dy * dy || 1)));
      distance = Math.hypot(px - x1 - part * dx, py - y1 - part * dy) + (item.mine ? 2 : 4);
    } else if (item.box) {
      const [a, b, c, d] = item.box;
      distance = px >= a && px <= c && py >= b && py <= d ? 7 : 99;
    } else distance = Math.hypot(px - item.x, py - item.y) - (item.mine ? 2 : 0);
    if (distance < least) { least = distance; best = item; }
  }
  return best;
}
const diagram = $('diagram');
let dragging = null;
diagram.addEventListener('pointerdown', event => { dragging = { x: event.clientX, from: view.from, to: view.to, moved: false }; diagram.setPointerCapture(event.pointerId); });
diagram.addEventListener('pointermove', event => {
  const box = diagram.getBoundingClientRect();
  if (dragging) {
    const by = (event.clientX - dragging.x) / (width - LEFT - RIGHT) * (dragging.to - dragging.from);
    dragging.moved ||= Math.abs(event.clientX - dragging.x) > 3;
    if (dragging.moved) show(dragging.from - by, dragging.to - by);
    return;
  }
  const item = nearest(event.clientX - box.left, event.clientY - box.top), tip = $('tip');
  tip.hidden = !item;
  if (!item) return;
  tip.textContent = `${seconds(item.t, 6)} on ${hostName(item.host)}${clock(item.host, item.t)}\n${item.text}`;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + 'px';
});
diagram.addEventListener('pointerup', event => {
  if (dragging && !dragging.moved) { const box = diagram.getBoundingClientRect(), item = nearest(event.clientX - box.left, event.clientY - box.top); if (item) choose(item); }
  dragging = null;
});
diagram.addEventListener('pointerleave', () => { $('tip').hidden = true; });
diagram.addEventListener('wheel', event => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : .8, timeAt(event.clientX - diagram.getBoundingClientRect().left)); }, { passive: false });
diagram.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const span = view.to - view.from, keys = {
    ArrowLeft: () => show(view.from - span / 5, view.to - span / 5), ArrowRight: () => show(view.from + span / 5, view.to + span / 5),
    '+': () => zoom(.6), '=': () => zoom(.6), '-': () => zoom(1.6), n: () => step(1), p: () => step(-1), e: evidence, 0: () => show(0, D.end),
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
const small = $('overview');
function moveTo(event) {
  const box = small.getBoundingClientRect(), half = (view.to - view.from) / 2;
  const t = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT) * D.end;
  show(t - half, t + half);
}
small.addEventListener('pointerdown', event => { small.setPointerCapture(event.pointerId); moveTo(event); });
small.addEventListener('pointermove', event => { if (event.buttons) moveTo(event); });
$('in').onclick = () => zoom(.6);
$('out').onclick = () => zoom(1.6);
$('evidence').onclick = evidence;
$('all').onclick = () => show(0, D.end);
$('others').onchange = event => { view.others = event.target.checked; redraw(); };
addEventListener('resize', redraw);

// The payment that all is filtered by.
const select = $('payment');
D.payments.forEach((payment, place) => select.add(new Option(`${payment.name} (${payment.state}) ${payment.id}`, place)));
function filter(payment) {
  view.payment = payment; view.chosen = null;
  select.value = payment < 0 ? '' : payment;
  view.others = payment < 0; $('others').checked = view.others;
  document.body.dataset.payment = payment < 0 ? '' : D.payments[payment].id;
  tables(); redraw();
}
select.onchange = () => {
  filter(select.value === '' ? -1 : Number(select.value));
  if (view.payment < 0) return show(0, D.end);
  const times = marks.filter(mark => mark.payment === view.payment).map(mark => mark.t);
  for (const attempt of D.attempts) if (attempt.payment === view.payment) times.push(attempt.t, attempt.t + attempt.took);
  if (times.length) around(times);
};
for (const button of document.querySelectorAll('.story button')) button.onclick = () => {
  const clause = D.clauses[Number(button.dataset.clause)], half = Math.min(2e6, (view.to - view.from) / 2);
  show(clause.t - half, clause.t + half);
  choose({ t: clause.t, host: clause.host, text: `evidence ${clause.n}: ${clause.text}` });
  diagram.scrollIntoView({ block: 'nearest' });
};

// The lists.
const ofPayment = row => view.payment < 0 || row.payment === view.payment;
const paymentName = payment => payment < 0 ? '' : escape(D.payments[payment].name);
function rows(id, head, list, row) {
  const chosen = list.filter(ofPayment), some = chosen.slice(0, LONGEST_LIST);
  $(id).innerHTML = `<thead><tr>${head.map(name => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>${some.map(row).join('')}</tbody>`;
  return chosen.length > some.length ? `The first ${some.length} of ${chosen.length}; choose a payment to see all of its own.` : '';
}
function tables() {
  rows('told', ['at', 'client’s key', 'payment', 'request', 'answer', 'attempts', 'took'], D.told, r =>
    `<tr><td class="num">${r.t === null ? 'never' : seconds(r.t)}</td><td class="mono">${escape(r.key)}</td><td>${paymentName(r.payment)}</td><td class="mono">${escape(r.path)}</td><td>${r.status ?? '<span class="bad">none</span>'} <span class="mono soft">${escape(r.body)}</span></td><td class="num">${r.attempts}</td><td class="num">${r.t === null ? '' : took(r.took)}</td></tr>`);
  $('log-note').textContent = rows('log', ['at', 'host', 'its clock', 'payment', 'what'], D.telemetry, r => {
    const off = Math.round(skew(r.host, r.t) / 1e3) / 1e3;
    return `<tr><td class="num">${seconds(r.t, 6)}</td><td>${escape(hostName(r.host))}</td><td class="num ${off ? 'warn' : 'soft'}">${off ? (off > 0 ? '+' : '−') + Math.abs(off) + ' s' : 'right'}</td><td>${paymentName(r.payment)}</td><td><span class="${{ ERROR: 'bad', WARN: 'warn' }[r.level] ?? 'soft'}">${r.level.toLowerCase()}</span> ${escape(r.message)} <span class="mono soft">${escape(r.fields)}</span></td></tr>`;
  });
  const transfers = $('transfers');
  if (transfers) for (const row of transfers.tBodies[0].rows) row.hidden = view.payment >= 0 && row.dataset.payment !== String(view.payment);
}
for (const button of document.querySelectorAll('.copy')) button.onclick = () => navigator.clipboard?.writeText(button.previousElementSibling.textContent).then(() => { button.textContent = 'Copied'; });
$('theme').onclick = () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
};
addEventListener('beforeprint', () => { for (const details of document.querySelectorAll('details')) details.open = true; });

filter(D.subject);
if (D.subject >= 0 || D.clauses.length) evidence(); else show(0, D.end);
draw();

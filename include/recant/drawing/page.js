
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const size = data.sizes;
const picture = document.getElementById("picture");
const told = document.getElementById("told");
const boxes = new Map(data.boxes.map((box) => [box.id, box]));
const stacks = new Map(data.stacks.map((stack) => [stack.id, stack]));
const stackOf = new Map(data.stacks.flatMap((stack) => stack.members.map((member) => [member, stack.id])));
const opened = new Set();
let chosen = null;
let shown = { boxes: [], arrows: [] };
let view = { x: 0, y: 0, scale: 1 };
let canvas = null;

const at = (id) => (stackOf.has(id) && !opened.has(stackOf.get(id)) ? stackOf.get(id) : id);
const heightOf = (id) => (id.startsWith("bend:") ? size.bend : size.height);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function visible() {
  const ids = [...new Set(data.boxes.map((box) => at(box.id)))];
  const arrows = new Map();
  for (const [from, to, label, dashed] of data.arrows) {
    const [source, target] = [at(from), at(to)];
    if (source === target) continue;
    const key = JSON.stringify([source, target]);
    if (!arrows.has(key)) arrows.set(key, { source, target, labels: new Map(), dashed: true });
    const known = arrows.get(key);
    known.labels.set(label, (known.labels.get(label) || 0) + 1);
    known.dashed = known.dashed && dashed;
  }
  return { boxes: ids, arrows: [...arrows.values()] };
}

function layersOf(ids, arrows) {
  const ahead = new Map(ids.map((id) => [id, []]));
  const ledTo = new Set();
  for (const { source, target } of arrows) { ahead.get(source).push(target); ledTo.add(target); }
  const roots = [...ids.filter((id) => !ledTo.has(id)), ...ids.filter((id) => ledTo.has(id))];
  const state = new Map(), finished = [], closing = new Set();
  for (const root of roots) {
    if (state.has(root)) continue;
    state.set(root, 1);
    const way = [[root, 0]];
    while (way.length) {
      const step = way[way.length - 1];
      const target = ahead.get(step[0])[step[1]++];
      if (target === undefined) { state.set(step[0], 2); finished.push(step[0]); way.pop(); }
      else if (!state.has(target)) { state.set(target, 1); way.push([target, 0]); }
      else if (state.get(target) === 1) closing.add(step[0] + "\u0000" + target);
    }
  }
  const layer = new Map(ids.map((id) => [id, 0]));
  for (const id of finished.reverse())
    for (const target of ahead.get(id))
      if (!closing.has(id + "\u0000" + target)) layer.set(target, Math.max(layer.get(target), layer.get(id) + 1));
  return layer;
}

function place() {
  const layer = layersOf(shown.boxes, shown.arrows);
  const layers = Array.from({ length: [...layer.values()].reduce((a, b) => Math.max(a, b), 0) + 1 }, () => []);
  for (const id of shown.boxes) layers[layer.get(id)].push(id);
  shown.arrows.forEach((arrow, number) => {
    const forward = layer.get(arrow.source) <= layer.get(arrow.target);
    const [left, right] = forward ? [arrow.source, arrow.target] : [arrow.target, arrow.source];
    const path = [left];
    for (let i = layer.get(left) + 1; i < layer.get(right); i++) {
      const bend = `bend:${number}:${i}`;
      layers[i].push(bend);
      path.push(bend);
    }
    path.push(right);
    arrow.path = forward ? path : path.reverse();
  });
  const before = new Map(), after = new Map();
  const add = (map, key, value) => (map.has(key) ? map.get(key).push(value) : map.set(key, [value]));
  for (const { path } of shown.arrows)
    for (let i = 1; i < path.length; i++) { add(after, path[i - 1], path[i]); add(before, path[i], path[i - 1]); }
  for (let sweep = 0; sweep < 6; sweep++) {
    const where = new Map(layers.flatMap((ids) => ids.map((id, i) => [id, (i + 0.5) / ids.length])));
    const near = sweep % 2 ? after : before;
    for (const ids of sweep % 2 ? [...layers].reverse() : layers) {
      const middle = new Map(ids.map((id) => [id, near.has(id) ? mean(near.get(id).map((n) => where.get(n))) : where.get(id)]));
      ids.sort((a, b) => middle.get(a) - middle.get(b));
      ids.forEach((id, i) => where.set(id, (i + 0.5) / ids.length));
    }
  }
  const y = new Map(), x = new Map();
  for (let sweep = 0; sweep < 4; sweep++)
    for (const ids of sweep % 2 ? [...layers].reverse() : layers) {
      const wanted = ids.map((id, i) => {
        const known = [...(before.get(id) || []), ...(after.get(id) || [])].filter((n) => y.has(n)).map((n) => y.get(n));
        return known.length ? mean(known) : y.has(id) ? y.get(id) : i * (size.height + size.down);
      });
      const found = [];
      ids.forEach((id, i) => {
        const least = i ? found[i - 1] + (heightOf(ids[i - 1]) + heightOf(id)) / 2 + size.down : wanted[i];
        found.push(Math.max(wanted[i], least));
      });
      const pushed = found.length ? mean(found.map((value, i) => value - wanted[i])) : 0;
      ids.forEach((id, i) => y.set(id, found[i] - pushed));
    }
  layers.forEach((ids, i) => ids.forEach((id) => x.set(id, i * (size.width + size.across))));
  let [top, bottom] = [Infinity, -Infinity];
  for (const [id, middle] of y) {
    top = Math.min(top, middle - heightOf(id) / 2);
    bottom = Math.max(bottom, middle + heightOf(id) / 2);
  }
  if (!y.size) [top, bottom] = [0, 0];
  return { x, y, top, bottom, right: layers.length * (size.width + size.across) - size.across };
}

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const short = (text, longest) => (text.length <= longest ? text : text.slice(0, longest / 2) + "…" + text.slice(text.length - longest / 2 + 1));

function curve(arrow, placed) {
  const points = arrow.path.flatMap((id) => [[placed.x.get(id), placed.y.get(id)], [placed.x.get(id) + size.width, placed.y.get(id)]]);
  if (placed.x.get(arrow.path[0]) > placed.x.get(arrow.path[arrow.path.length - 1]))
    for (let i = 0; i < points.length; i += 2) [points[i], points[i + 1]] = [points[i + 1], points[i]];
  const way = points.slice(1, -1);
  let text = `M${way[0]}`;
  for (let i = 1; i < way.length; i++) {
    const [[x, y], [tx, ty]] = [way[i - 1], way[i]];
    text += i % 2 ? ` C${(x + tx) / 2},${y} ${(x + tx) / 2},${ty} ${tx},${ty}` : ` L${tx},${ty}`;
  }
  return { text, middle: [(way[0][0] + way[1][0]) / 2, (way[0][1] + way[1][1]) / 2] };
}

function drawBox(id, placed) {
  const box = boxes.get(id) || stacks.get(id);
  const [x, y] = [placed.x.get(id), placed.y.get(id) - size.height / 2];
  const made = element("g", { class: `box ${box.tone}`, "data-id": id, transform: `translate(${x},${y})` });
  const rect = (d, rx) => element("rect", { x: d, y: d, width: size.width, height: size.height, rx });
  if (stacks.has(id)) made.append(rect(6, 4), rect(3, 4));
  made.append(rect(0, { round: 14, cylinder: 22 }[box.shape] || 4));
  made.append(element("text", { x: 12, y: box.detail ? 20 : 29 }, short(box.label, 32)));
  made.append(element("text", { x: 12, y: 37, class: "detail" }, short(box.detail, 38)));
  made.append(element("title", {}, [box.label, box.detail, stacks.has(id) ? "Click to open" : ""].filter(Boolean).join("\n")));
  return made;
}

function draw() {
  shown = visible();
  const placed = place();
  picture.replaceChildren();
  const defs = element("defs", {});
  const head = element("marker", { id: "head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
  head.append(element("path", { d: "M0,0 L8,4 L0,8 z", class: "head" }));
  defs.append(head);
  canvas = element("g", { id: "canvas" });
  for (const arrow of shown.arrows) {
    const { text, middle } = curve(arrow, placed);
    arrow.drawn = element("path", { d: text, class: arrow.dashed ? "arrow dashed" : "arrow", "marker-end": "url(#head)" });
    canvas.append(arrow.drawn);
    const words = [...arrow.labels].filter(([label]) => label).map(([label, count]) => (count > 1 ? `${label} ×${count}` : label)).join(", ");
    arrow.words = element("text", { class: "label", x: middle[0], y: middle[1] - 4 }, words.length <= 20 ? words : words.slice(0, 19) + "…");
    canvas.append(arrow.words);
  }
  for (const id of shown.boxes) canvas.append(drawBox(id, placed));
  picture.append(defs, canvas);
  picture.extent = { x: 0, y: placed.top, width: placed.right, height: placed.bottom - placed.top };
  mark();
  search();
  move();
}

function move() {
  canvas.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`);
}

function fit() {
  const { x, y, width, height } = picture.extent;
  const [w, h] = [picture.clientWidth, picture.clientHeight];
  view.scale = Math.max(0.02, Math.min(1.2, (w - 60) / Math.max(width, 1), (h - 60) / Math.max(height, 1)));
  view.x = (w - width * view.scale) / 2 - x * view.scale;
  view.y = (h - height * view.scale) / 2 - y * view.scale;
  move();
}

function zoom(factor, x = picture.clientWidth / 2, y = picture.clientHeight / 2) {
  const scale = Math.max(0.02, Math.min(4, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  move();
}

function way(from) {
  const found = new Set([from]);
  for (const [here, there] of [["source", "target"], ["target", "source"]]) {
    const reached = new Set([from]);
    let grew = true;
    while (grew) {
      grew = false;
      for (const arrow of shown.arrows)
        if (reached.has(arrow[here]) && !reached.has(arrow[there])) { reached.add(arrow[there]); grew = true; }
    }
    reached.forEach((id) => found.add(id));
  }
  return found;
}

function mark() {
  const on = chosen !== null && shown.boxes.includes(chosen) ? way(chosen) : null;
  canvas.classList.toggle("chosen", on !== null);
  for (const made of canvas.querySelectorAll(".box")) made.classList.toggle("on", on !== null && on.has(made.dataset.id));
  for (const arrow of shown.arrows) {
    const is = on !== null && on.has(arrow.source) && on.has(arrow.target);
    arrow.drawn.classList.toggle("on", is);
    arrow.words.classList.toggle("on", is);
  }
}

function paragraph(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function tell(id) {
  told.hidden = id === null;
  told.replaceChildren();
  const box = boxes.get(id);
  if (!box) { told.hidden = true; return; }
  told.append(paragraph("h2", box.label));
  for (const line of [box.detail, ...box.notes]) if (line) told.append(paragraph("p", line));
  if (box.link) {
    const link = paragraph("a", "Open its page");
    link.href = box.link;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    told.append(link);
  }
  if (stackOf.has(id)) {
    const stack = stacks.get(stackOf.get(id));
    const button = paragraph("button", `Fold these ${stack.members.length}`);
    button.type = "button";
    button.addEventListener("click", () => { opened.delete(stack.id); choose(null); draw(); });
    told.append(button);
  }
}

function choose(id) {
  chosen = id;
  tell(id);
  mark();
}

function search() {
  const wanted = document.getElementById("search").value.trim().toLowerCase();
  canvas.classList.toggle("searched", wanted !== "");
  const holds = (box) => [box.label, box.detail, ...box.notes].some((text) => text.toLowerCase().includes(wanted));
  for (const made of canvas.querySelectorAll(".box")) {
    const stack = stacks.get(made.dataset.id);
    const inside = stack ? stack.members.map((member) => boxes.get(member)) : [boxes.get(made.dataset.id)];
    made.classList.toggle("found", wanted !== "" && inside.some(holds));
  }
}

let held = null;
picture.addEventListener("pointerdown", (event) => {
  held = { x: event.clientX, y: event.clientY, moved: false, box: event.target.closest(".box") };
});
picture.addEventListener("pointermove", (event) => {
  if (held === null) return;
  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  if (!held.moved) picture.setPointerCapture(event.pointerId);
  held.moved = true;
  picture.classList.add("moving");
  view.x += dx;
  view.y += dy;
  held.x = event.clientX;
  held.y = event.clientY;
  move();
});
picture.addEventListener("pointerup", () => {
  const ended = held;
  held = null;
  picture.classList.remove("moving");
  if (ended === null || ended.moved) return;
  const id = ended.box ? ended.box.dataset.id : null;
  if (stacks.has(id)) { opened.add(id); choose(null); draw(); fit(); }
  else choose(id);
});
picture.addEventListener("pointercancel", () => { held = null; });
picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  const frame = picture.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - frame.left, event.clientY - frame.top);
}, { passive: false });
picture.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (event.key === "+") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "0") fit();
  else if (event.key === "Escape") choose(null);
  else if (steps[event.key]) { view.x += steps[event.key][0]; view.y += steps[event.key][1]; move(); }
  else return;
  event.preventDefault();
});
document.getElementById("search").addEventListener("input", search);
document.getElementById("closer").addEventListener("click", () => zoom(1.25));
document.getElementById("away").addEventListener("click", () => zoom(0.8));
document.getElementById("fit").addEventListener("click", fit);
document.getElementById("fold").addEventListener("click", () => { opened.clear(); choose(null); draw(); fit(); });
document.getElementById("open").addEventListener("click", () => { stacks.forEach((stack) => opened.add(stack.id)); draw(); fit(); });
addEventListener("resize", fit);
for (const note of data.footnotes) document.getElementById("notes").append(paragraph("p", note));
for (const id of ["fold", "open"]) document.getElementById(id).hidden = stacks.size === 0;
draw();
fit();

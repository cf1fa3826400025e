"use strict";
// Draw the strongest edges of a network. Text from the file is only ever set as textContent, never as markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const STEPS = 300; // of the layout; it has settled by then
  const BOX = 20, PAD = 7, GAP = 14; // height of a box, room beside its name, least room between boxes
  const FAR = 220; // genes farther apart do not push each other, so that parts without a link stay near
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);
  const networks = read("networks"), names = read("names"), svg = $("graph");
  let view = null, genes = new Map(), lines = [];

  function make(name, attributes, parent) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return parent.appendChild(node);
  }

  // The edges to draw: [source, target, weight, sd, support, n_cells] as objects; both ways with one sign are one line.
  function chosenEdges() {
    const least = Number($("support").value), gene = $("gene").value.trim();
    const edges = networks[Number($("which").value)]
      .filter(([source, target, , , support]) => (support === null || support >= least) && (!gene || source === gene || target === gene))
      .slice(0, Number($("most").value))
      .map(([source, target, weight, sd, support, cells]) => ({ source, target, weight, sd, support, cells, back: null }));
    const key = (from, to, weight) => JSON.stringify([from, to, weight > 0]);
    const found = new Map();
    return edges.filter((edge) => {
      const other = found.get(key(edge.target, edge.source, edge.weight));
      if (other) other.back = edge;
      found.set(key(edge.source, edge.target, edge.weight), edge);
      return !other;
    });
  }

  // Linked genes pull, all genes push, and boxes that overlap push hard. The start is a spiral, so it is always the same.
  function layOut() {
    const all = [...genes.values()];
    all.forEach((gene, i) => {
      gene.x = 40 * Math.sqrt(i + 1) * Math.cos(2.4 * i);
      gene.y = 40 * Math.sqrt(i + 1) * Math.sin(2.4 * i);
    });
    for (let step = 0; step < STEPS; step++) {
      const heat = 1 - step / STEPS;
      for (const gene of all) [gene.dx, gene.dy] = [-0.03 * gene.x, -0.05 * gene.y];
      for (let i = 0; i < all.length; i++) for (let j = 0; j < i; j++) push(all[i], all[j]);
      for (const { from, to } of lines) pull(from, to);
      for (const gene of all) {
        const length = Math.hypot(gene.dx, gene.dy) || 1, most = Math.min(length, 2 + 30 * heat);
        gene.x += (gene.dx / length) * most;
        gene.y += (gene.dy / length) * most;
      }
    }
  }

  function push(a, b) {
    const dx = a.x - b.x || 0.1, dy = a.y - b.y || 0.1, square = dx * dx + dy * dy;
    if (square > FAR * FAR) return;
    let x = (2200 * dx) / square, y = (2200 * dy) / square;
    const overX = (a.width + b.width) / 2 + GAP - Math.abs(dx), overY = BOX + GAP - Math.abs(dy);
    if (overX > 0 && overY > 0) { // out on the shorter way
      if (overX < overY) x += Math.sign(dx) * overX * 0.5; else y += Math.sign(dy) * overY * 0.5;
    }
    a.dx += x; a.dy += y; b.dx -= x; b.dy -= y;
  }

  function pull(a, b) {
    const x = (b.x - a.x) * 0.06, y = (b.y - a.y) * 0.06;
    a.dx += x; a.dy += y; b.dx -= x; b.dy -= y;
  }

  // Where the way from a point towards the centre of a box meets its border.
  function border(box, x, y) {
    const dx = x - box.x, dy = y - box.y;
    const share = Math.min((box.width / 2 + 2) / (Math.abs(dx) || 1e-9), (BOX / 2 + 2) / (Math.abs(dy) || 1e-9), 1);
    return [box.x + dx * share, box.y + dy * share];
  }

  function place() {
    for (const gene of genes.values()) gene.node.setAttribute("transform", `translate(${gene.x},${gene.y})`);
    for (const { from, to, nodes } of lines) { // bent to its right, so that two ways are two lines
      const middle = [(from.x + to.x) / 2 - (to.y - from.y) * 0.1, (from.y + to.y) / 2 + (to.x - from.x) * 0.1];
      const path = `M${border(from, ...middle)} Q${middle} ${border(to, ...middle)}`;
      for (const node of nodes) node.setAttribute("d", path);
    }
  }

  function draw() {
    $("most-shown").textContent = $("most").value;
    $("support-shown").textContent = Number($("support").value).toFixed(2);
    const edges = chosenEdges(), widest = Math.max(...edges.map((edge) => Math.abs(edge.weight)));
    svg.replaceChildren();
    svg.classList.remove("chosen");
    ends();
    genes = new Map();
    const below = make("g", {}, svg), above = make("g", {}, svg);
    for (const edge of edges) for (const name of [edge.source, edge.target]) if (!genes.has(name)) genes.set(name, drawGene(name, above));
    for (const edge of edges) for (const one of edge.back ? [edge, edge.back] : [edge]) genes.get(one.source).node.classList.add("regulator");
    lines = edges.map((edge) => drawEdge(edge, below, widest));
    layOut();
    place();
    fit();
    say(edges.length ? `${genes.size} genes, ${edges.length} line${edges.length > 1 ? "s" : ""}.` : "No edge is left: ask for less support, or for another gene.");
  }

  function ends() {
    const shapes = { activates: ["M0,0 L8,4 L0,8 z", "var(--up)"], represses: ["M6,-1 L8.5,-1 L8.5,9 L6,9 z", "var(--down)"] };
    for (const [id, [path, fill]] of Object.entries(shapes)) {
      const marker = make("marker", { id, viewBox: "-1 -1 10 10", refX: 8, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: "auto" }, svg);
      make("path", { d: path, style: `fill: ${fill}` }, marker);
    }
  }

  function drawGene(name, parent) {
    const node = make("g", { class: "gene" }, parent), rect = make("rect", { height: BOX, y: -BOX / 2, rx: 4 }, node);
    const text = make("text", {}, node);
    text.textContent = name;
    const width = text.getComputedTextLength() + 2 * PAD, gene = { name, node, width, x: 0, y: 0 };
    rect.setAttribute("width", width);
    rect.setAttribute("x", -width / 2);
    node.addEventListener("pointerenter", () => point(gene));
    node.addEventListener("pointerleave", leave);
    node.addEventListener("pointerdown", (event) => drag(event, (x, y) => { gene.x += x; gene.y += y; place(); }));
    return gene;
  }

  function drawEdge(edge, parent, widest) {
    const kind = edge.weight > 0 ? "activates" : "represses";
    const width = 0.8 + (2.2 * Math.abs(edge.weight)) / widest;
    const seen = make("path", { class: `edge ${kind}`, "stroke-width": width }, parent);
    if (!edge.back) seen.setAttribute("marker-end", `url(#${kind})`);
    const line = { edge, from: genes.get(edge.source), to: genes.get(edge.target), nodes: [seen, make("path", { class: "touch" }, parent)] };
    line.nodes[1].addEventListener("pointerenter", () => { light([line]); say([edge, edge.back].filter(Boolean).map(sentence).join(" ")); });
    line.nodes[1].addEventListener("pointerleave", leave);
    return line;
  }

  function sentence({ source, target, weight, sd, support, cells }) {
    const evidence = [`weight ${weight.toFixed(3)}`];
    if (sd !== null) evidence.push(`sd ${sd.toFixed(3)}`);
    if (support !== null) evidence.push(`support ${support.toFixed(3)}`);
    if (cells !== null) evidence.push(`${cells} cells express both`);
    return `${source} ${weight > 0 ? "activates" : "represses"} ${target}: ${evidence.join(", ")}.`;
  }

  function point(gene) {
    const own = lines.filter(({ from, to }) => from === gene || to === gene);
    light(own, gene);
    const out = own.filter(({ from, edge }) => from === gene || edge.back).length, into = own.filter(({ to, edge }) => to === gene || edge.back).length;
    say(`${gene.name}: ${out} edges out, ${into} in, of those drawn.`);
  }

  function light(some, ...more) {
    svg.classList.add("chosen");
    for (const { from, to, nodes } of some) { nodes[0].classList.add("on"); more.push(from, to); }
    for (const { node } of more) node.classList.add("on");
  }

  function leave() {
    svg.classList.remove("chosen");
    for (const node of svg.querySelectorAll(".on")) node.classList.remove("on");
  }

  function say(text) { $("said").textContent = text; }

  function fit() {
    const box = svg.getBBox(), room = 15;
    view = { x: box.x - room, y: box.y - room, width: box.width + 2 * room, height: box.height + 2 * room };
    show();
  }

  function show() { svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`); }

  function drag(event, move) {
    event.preventDefault();
    event.stopPropagation();
    const scale = svg.getScreenCTM().a;
    const go = (now) => move(now.movementX / scale, now.movementY / scale);
    const end = () => { removeEventListener("pointermove", go); removeEventListener("pointerup", end); removeEventListener("pointercancel", end); };
    addEventListener("pointermove", go);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  svg.addEventListener("pointerdown", (event) => drag(event, (x, y) => { view.x -= x; view.y -= y; show(); }));
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const factor = event.deltaY > 0 ? 1.15 : 1 / 1.15;
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    view = { x: point.x - (point.x - view.x) * factor, y: point.y - (point.y - view.y) * factor, width: view.width * factor, height: view.height * factor };
    show();
  }, { passive: false });

  names.forEach((name, i) => $("which").appendChild(new Option(name, i)));
  const known = new Set(networks.flat().flatMap(([source, target]) => [source, target]));
  for (const name of [...known].sort()) $("genes").appendChild(new Option(name, name));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["which", "most", "support", "gene"]) $(id).addEventListener("input", draw);
  draw();
})();

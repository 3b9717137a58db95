// What is read and done within the page; each function stands alone, as the browser gets its text.

export function drawNodesWithVue(wanted) {
  return window.app.extensionManager.setting.set("Comfy.VueNodes.Enabled", wanted);
}

export async function readGraph() {
  const { app, LiteGraph } = window;
  const nodes = app.graph.nodes.map((node) => ({
    id: String(node.id),
    type: node.type,
    known: node.type in LiteGraph.registered_node_types,
    box: [...node.pos, ...node.size],
    needed: [...node.computeSize()],
    widgets: Object.fromEntries((node.widgets ?? []).map((widget) => [widget.name, widget.value])),
    linked: node.inputs.filter((input) => input.link != null).map((input) => input.name),
  }));
  return {
    vue: Boolean(LiteGraph.vueNodesMode),
    nodes,
    prompt: (await app.graphToPrompt()).output,
    dialogs: [...document.querySelectorAll("[role=dialog]")].map((dialog) => dialog.innerText),
  };
}

/** The values of all widgets that a workflow keeps, by node. */
export function widgetValues() {
  const saved = window.app.graph.serialize();
  return Object.fromEntries(saved.nodes.map((node) => [node.id, node.widgets_values ?? []]));
}

/** The panels that can be seen, by label: their text. */
export function readPanels() {
  const panels = [...document.querySelectorAll(".p2p[aria-label]")].filter((panel) => panel.checkVisibility());
  return Object.fromEntries(panels.map((panel) => [panel.getAttribute("aria-label"), panel.innerText]));
}

/** The changes that the chips show: their kind and words, without marks. */
export function readChips() {
  const items = [...document.querySelectorAll(".p2p li.p2p-change")].filter((item) => item.checkVisibility());
  return items.map((item) => {
    const kind = item.className.match(/p2p-(kept|swapped|added|removed)/)[1];
    return [kind, ...[...item.querySelectorAll("button")].map((button) => button.textContent)];
  });
}

/** Puts nodes into view at a size at which their fields can be used. */
export function zoomTo({ ids, scale }) {
  const nodes = window.app.graph.nodes.filter((node) => ids.includes(node.type));
  const { ds } = window.app.canvas;
  ds.scale = scale;
  ds.offset[0] = 120 - Math.min(...nodes.map((node) => node.pos[0]));
  ds.offset[1] = 150 - Math.min(...nodes.map((node) => node.pos[1]));
  window.app.graph.setDirtyCanvas(true, true);
}

/** Where a node is on the page: left, top, width, height. */
export function boxOf(type) {
  const node = window.app.graph.nodes.find((each) => each.type === type);
  const { scale, offset } = window.app.canvas.ds;
  const canvas = window.app.canvas.canvas.getBoundingClientRect();
  const [left, top] = [node.pos[0] + offset[0], node.pos[1] - 40 + offset[1]].map((at) => at * scale);
  return [left + canvas.left - 8, top + canvas.top, node.size[0] * scale + 16, (node.size[1] + 62) * scale];
}

/** Puts P2P Compare beside Split Pair. */
export function addCompare() {
  const { app, LiteGraph } = window;
  const of = (type) => app.graph.nodes.find((node) => node.type === type);
  const [split, pair, mask] = ["P2PSplitPair", "P2PPromptPair", "P2PBlendMask"].map(of);
  const compare = LiteGraph.createNode("P2PCompare");
  app.graph.add(compare);
  compare.pos = [Math.max(...app.graph.nodes.map((node) => node.pos[0] + node.size[0])) + 40, 90];
  compare.setSize([330, 440]);
  split.connect(0, compare, "source");
  split.connect(1, compare, "edits");
  pair.connect(0, compare, "prompts");
  mask?.connect(0, compare, "mask");
}

/** Hands Compare its last pair twice, as a run with two edits would. */
export function showTwoEdits() {
  const node = window.app.graph.nodes.find((each) => each.type === "P2PCompare");
  const place = Object.keys(sessionStorage).find((key) => key.endsWith(`/${node.id}/P2PCompare`));
  const { sources, edits, pairs } = JSON.parse(sessionStorage.getItem(place))["p2p.pairs"][0];
  const second = { ...pairs[0], name: "edit 2", told: "the second" };
  node.onExecuted({ "p2p.pairs": [{ sources, edits: [...edits, ...edits], pairs: [...pairs, second] }] });
}

/** The text field of a node's widget, whichever way it is drawn. */
export function fieldOf({ type, name }) {
  const node = window.app.graph.nodes.find((each) => each.type === type);
  const widget = node.widgets.find((each) => each.name === name);
  if (widget.element?.isConnected && widget.element.checkVisibility()) return widget.element;
  const texts = node.widgets.filter((each) => each.type === "customtext");
  return document.querySelectorAll(`[data-node-id="${node.id}"] textarea`)[texts.indexOf(widget)];
}

export function valueOf({ type, name }) {
  const node = window.app.graph.nodes.find((each) => each.type === type);
  return node.widgets.find((each) => each.name === name).value;
}

/** The preset of an edit node and the ends of its windows. */
export function windowsOf(type) {
  const node = window.app.graph.nodes.find((each) => each.type === type);
  return ["preset", "cross_end", "self_end"].map((name) => node.widgets.find((each) => each.name === name).value);
}

export function setValueOf({ type, name, value }) {
  const node = window.app.graph.nodes.find((each) => each.type === type);
  const widget = node.widgets.find((each) => each.name === name);
  widget.value = value;
  widget.callback?.(value);
}

/** What axe has against the panels: rule, and the element. */
export async function axePanels() {
  const seen = [...document.querySelectorAll(".p2p")].filter((panel) => panel.checkVisibility());
  const options = { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] };
  const { violations } = await window.axe.run({ include: seen }, options);
  return violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.any.map((each) => each.message)}`)
  );
}

/** What twelve queues would send for the fields of Prompt Pair. */
export async function sentPrompts([source, edit]) {
  const { app } = window;
  const pair = app.graph.nodes.find((node) => node.type === "P2PPromptPair");
  const set = (name, value) => (pair.widgets.find((widget) => widget.name === name).value = value);
  set("source", source);
  set("edit", edit);
  const sent = [];
  for (let i = 0; i < 12; i++) {
    const { output } = await app.graphToPrompt();
    const { inputs } = Object.values(output).find((node) => node.class_type === "P2PPromptPair");
    sent.push([inputs.source, inputs.edit]);
  }
  return sent;
}

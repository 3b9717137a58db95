// @ts-check
// Finds the origin of a node's input, through reroutes and across subgraph boundaries. Read-only.

const ENTRY = -10; // origin id of links that start at a subgraph's own inputs
const DEEP = 50;

/**
 * The node that an input is connected to, or null.
 * @param {any} node
 * @param {string} input
 * @returns {any}
 */
export function originOf(node, input) {
  const slot = node?.inputs?.find((/** @type {any} */ each) => each.name === input);
  return slot ? startOf(node.graph, slot.link) : null;
}

/** @param {any} graph @param {any} id @param {number} [depth] @returns {any} */
function startOf(graph, id, depth = 0) {
  const link = linkOf(graph, id);
  if (!link || depth > DEEP) return null;
  if (link.origin_id === ENTRY) {
    const host = hostOf(graph);
    return host ? startOf(host.graph, host.inputs[link.origin_slot]?.link, depth + 1) : null;
  }
  const node = graph.getNodeById(link.origin_id);
  if (node?.type === "Reroute") return startOf(graph, node.inputs[0]?.link, depth + 1);
  if (node?.subgraph) {
    const inside = node.subgraph.outputs[link.origin_slot]?.linkIds?.[0];
    return startOf(node.subgraph, inside, depth + 1);
  }
  return node ?? null;
}

/** @param {any} graph @param {any} id */
function linkOf(graph, id) {
  if (id == null || !graph?.links) return null;
  return graph.links.get?.(id) ?? graph.links[id] ?? null;
}

/** The node that represents a subgraph. @param {any} subgraph @returns {any} */
function hostOf(subgraph) {
  const all = allNodes(subgraph.rootGraph ?? subgraph);
  return all.find((node) => node.subgraph === subgraph) ?? null;
}

/**
 * The nodes of a graph and of all subgraphs in it.
 * @param {any} graph
 * @param {Set<any>} [seen]
 * @returns {any[]}
 */
export function allNodes(graph, seen = new Set()) {
  if (!graph || seen.has(graph)) return [];
  seen.add(graph);
  return (graph.nodes ?? []).flatMap((/** @type {any} */ node) => [node, ...allNodes(node.subgraph, seen)]);
}

/**
 * The Prompt Pair that a node's prompts come from, or null.
 * @param {any} node
 * @returns {any}
 */
export function pairOf(node) {
  let at = node;
  for (let i = 0; at && i < DEEP; i++) {
    if (at.type === "P2PPromptPair") return at;
    at = originOf(at, "prompts") ?? originOf(at, "store");
  }
  return null;
}

/**
 * The text of a node's field: its own, or that of the connected node.
 * @param {any} node
 * @param {string} name
 * @returns {string}
 */
export function textOf(node, name) {
  const from = originOf(node, name);
  const widgets = (from ?? node).widgets ?? [];
  const widget = from
    ? widgets.find((/** @type {any} */ each) => typeof each.value === "string")
    : widgets.find((/** @type {any} */ each) => each.name === name);
  return typeof widget?.value === "string" ? widget.value : "";
}

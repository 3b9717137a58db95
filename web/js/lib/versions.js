// @ts-check
// Differences between a node in a saved workflow and the current node. Does not touch the page.

/**
 * @typedef {{ type: string, gone: string[], added: string[], values: number }} Difference
 * values: number of extra (or, if negative, missing) saved values, if the workflow does not name its fields.
 */

/**
 * The nodes of a saved workflow, including those in its subgraphs.
 * @param {any} workflow
 * @returns {any[]}
 */
export function savedNodes(workflow) {
  const subgraphs = workflow?.definitions?.subgraphs ?? [];
  return [workflow, ...subgraphs].flatMap((graph) => graph?.nodes ?? []);
}

/**
 * @param {any} saved a node of a workflow
 * @param {{ inputs: string[], widgets: string[] }} now the current node
 * @returns {Difference | null} null if nothing differs
 */
export function difference(saved, now) {
  const inputs = /** @type {any[]} */ (saved.inputs ?? []);
  const namesFields = inputs.some((input) => input.widget) || !now.widgets.length;
  const known = inputs.map((input) => input.name);
  const gone = known.filter((name) => !now.inputs.includes(name));
  const added = now.inputs.filter((name) => !known.includes(name) && (namesFields || !now.widgets.includes(name)));
  const values = namesFields || !Array.isArray(saved.widgets_values) ? 0 : saved.widgets_values.length - now.widgets.length;
  return gone.length || added.length || values ? { type: saved.type, gone, added, values } : null;
}

/** @param {string} title @param {Difference} found */
export function inWords(title, { gone, added, values }) {
  const parts = [];
  if (gone.length) parts.push(`no longer has ${gone.join(", ")} (their values and links are dropped)`);
  if (added.length) parts.push(`now also has ${added.join(", ")} (set to the default)`);
  if (values < 0) parts.push("has more fields than were saved (the last ones are set to their defaults)");
  if (values > 0) parts.push("has fewer fields than were saved (the last values are dropped)");
  return `${title} ${parts.join("; ")}.`;
}

// @ts-check
// What differs between a node as a workflow has it and as it is now. No page is touched here.

/**
 * @typedef {{ type: string, gone: string[], added: string[], values: number }} Difference
 * values: how many saved values are left over or missing, where the workflow does not name its fields.
 */

/**
 * The nodes of a saved workflow, those in its subgraphs too.
 * @param {any} workflow
 * @returns {any[]}
 */
export function savedNodes(workflow) {
  const subgraphs = workflow?.definitions?.subgraphs ?? [];
  return [workflow, ...subgraphs].flatMap((graph) => graph?.nodes ?? []);
}

/**
 * @param {any} saved a node of a workflow
 * @param {{ inputs: string[], widgets: string[] }} now what the node has
 * @returns {Difference | null} null where nothing differs
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
  if (gone.length) parts.push(`no longer has ${gone.join(", ")}, whose values and links are left out`);
  if (added.length) parts.push(`now has ${added.join(", ")} too, at the default`);
  if (values < 0) parts.push("has more fields than were saved; the last ones are at their defaults");
  if (values > 0) parts.push("has fewer fields than were saved; the last values are left out");
  return `${title} ${parts.join("; ")}.`;
}

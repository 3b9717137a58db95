// @ts-check
// Which numbers a preset of an edit node stands for. Does not touch the page.

export const CUSTOM = "custom"; // the numbers of the node count

/**
 * The ends of the cross window and of the self window with a U-Net, as in p2p_core/edits/presets.py.
 * @type {Record<string, [number, number]>}
 */
export const ENDS = {
  balanced: [0.4, 0.6],
  recolour: [0.8, 0.8],
  reshape: [0.3, 0.2],
  restyle: [0.5, 0.2],
  "add something": [0.2, 0.6],
  free: [0, 0],
};

/**
 * The values of the four window fields for a preset; none for `custom`.
 * @param {string} preset
 * @returns {Record<string, number>}
 */
export function numbersOf(preset) {
  const ends = ENDS[preset];
  return ends ? { cross_start: 0, cross_end: ends[0], self_start: 0, self_end: ends[1] } : {};
}

// @ts-check
// Blend Mask: the mask over the image, and what another threshold would give with the same maps.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { make, note, slider, tabs } from "./lib/dom.js";
import { originOf } from "./lib/graph.js";
import { setValue } from "./lib/insert.js";
import { addressOf, addView, GONE, loaded } from "./lib/view.js";

const SIDE = 512; // pixels of the canvas's longer side

app.registerExtension({
  name: "PromptToPrompt.BlendMask",
  /** @param {any} node */
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass) !== "P2PBlendMask") return;
    addView(node, {
      name: "p2p_masks",
      label: "Where the edit could change the image",
      height: 260,
      empty: "Run the graph to see the mask here, over the image if images are connected.",
      keys: ["p2p.masks"],
      show: (panel, output) => void showMasks(node, panel, output["p2p.masks"][0]),
    });
  },
});

/**
 * @param {any} node
 * @param {HTMLElement} panel
 * @param {{ edits: { name: string, file: any, shares: number[] }[], across: number, size: number[],
 *   limits: number[], threshold: number | null, pictures: any[] }} data
 */
async function showMasks(node, panel, data) {
  const canvas = make("canvas", { role: "img" });
  const status = make("p", { class: "p2p-told", role: "status" });
  const at = { edit: 0, tile: 0 }; // the first tile is the mask that was used
  const limits = data.limits.map((limit) => limit.toFixed(2));
  const used = data.threshold == null ? 0 : Math.round(data.threshold * (limits.length - 1));
  const blend = originOf(node, "store");
  const canUse = data.threshold != null && blend?.type === "P2PLocalBlend";
  const useButton = canUse
    ? make("button", { type: "button", class: "p2p-tab", text: "Use in Local Blend", onclick: useIt })
    : null;
  panel.append(
    ...[
      tabs("Edits", data.edits.map((edit) => edit.name), (i) => change(i, at.tile)),
      make("div", { class: "p2p-stage" }, [canvas]),
      slider("threshold", limits, (i) => change(at.edit, i + 1), used),
      make("div", { class: "p2p-line" }, [status, useButton]),
    ].filter((part) => part != null)
  );

  function useIt() {
    const limit = at.tile ? data.limits[at.tile - 1] : Number(data.threshold);
    setValue(blend, "threshold", limit);
    status.textContent = `Set the threshold of Local Blend to ${limit.toFixed(2)}. Run again.`;
  }
  /** @param {number} edit @param {number} tile */
  function change(edit, tile) {
    at.edit = edit;
    at.tile = tile;
    void draw();
  }
  async function draw() {
    const wanted = JSON.stringify(at);
    const edit = data.edits[at.edit];
    const picture = data.pictures[data.pictures.length === 1 ? 0 : at.edit];
    try {
      const [sheet, under] = await Promise.all(
        [edit.file, picture].map((file) => (file ? loaded(addressOf(file, api)) : null))
      );
      if (wanted !== JSON.stringify(at) || !sheet) return;
      paint(canvas, sheet, under, data, at.tile);
      const text = inWords(data, at);
      status.textContent = text;
      canvas.setAttribute("aria-label", `Mask of ${edit.name}. ${text}`);
    } catch {
      panel.replaceChildren(note(GONE));
    }
  }
  await draw();
}

/** @param {any} data @param {{ edit: number, tile: number }} at */
function inWords(data, at) {
  const share = `${(100 * data.edits[at.edit].shares[at.tile]).toFixed(0)} % of the image may change`;
  if (data.threshold == null) return `${share}: the painted mask`;
  if (!at.tile) return `${share} with the threshold of the run, ${data.threshold.toFixed(2)}`;
  return `${share} with threshold ${data.limits[at.tile - 1].toFixed(2)} (the run used ${data.threshold.toFixed(2)})`;
}

/**
 * The image, dark and hatched where the source is kept.
 * @param {any} canvas
 * @param {HTMLImageElement} sheet
 * @param {HTMLImageElement | null} under
 * @param {{ across: number, size: number[] }} data
 * @param {number} tile
 */
function paint(canvas, sheet, under, { across, size: [rows, columns] }, tile) {
  const long = Math.max(rows, columns);
  canvas.width = Math.round((SIDE * columns) / long);
  canvas.height = Math.round((SIDE * rows) / long);
  canvas.style.setProperty("--ratio", String(columns / rows));
  const context = canvas.getContext("2d");
  context.fillStyle = "#888";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (under) context.drawImage(under, 0, 0, canvas.width, canvas.height);
  const small = make("canvas", { width: columns, height: rows });
  const cells = small.getContext("2d");
  cells.drawImage(
    sheet, (tile % across) * columns, Math.floor(tile / across) * rows, columns, rows, 0, 0, columns, rows
  );
  const mask = cells.getImageData(0, 0, columns, rows);
  for (let i = 0; i < mask.data.length; i += 4) mask.data[i + 3] = 255 - mask.data[i];
  cells.putImageData(mask, 0, 0);
  const kept = make("canvas", { width: canvas.width, height: canvas.height });
  const shade = kept.getContext("2d");
  shade.fillStyle = "rgba(8, 10, 16, 0.62)";
  shade.fillRect(0, 0, kept.width, kept.height);
  shade.strokeStyle = "rgba(255, 255, 255, 0.35)";
  shade.lineWidth = 1.5;
  for (let x = -kept.height; x < kept.width; x += 14) {
    shade.beginPath();
    shade.moveTo(x, kept.height);
    shade.lineTo(x + kept.height, 0);
    shade.stroke();
  }
  shade.globalCompositeOperation = "destination-in";
  shade.imageSmoothingEnabled = false;
  shade.drawImage(small, 0, 0, kept.width, kept.height);
  context.drawImage(kept, 0, 0);
}

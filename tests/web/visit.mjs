// Opens the example workflows in the front end of a running ComfyUI, runs and uses some, prints as JSON what was seen.
//
//   node visit.mjs ADDRESS WORKFLOWS_FOLDER CHROMIUM SCREENSHOT_PREFIX canvas|vue ...
//
// The last arguments are the ways to draw nodes, tried one after the other on one page. Nothing is judged:
// tests/host/test_browser.py does that.

import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { launch, listen, load, newPage, openFrontEnd, run } from "./browser.mjs";
import * as inPage from "./in_page.mjs";

const RUN = ["p2p_prompt_edit", "p2p_attention_maps", "p2p_local_blend"];
const LAST = "p2p_local_blend"; // it is used after the others, while the server still has its result
const STEPS = 6; // of a run: fewer than the workflows have
const STEP_GROUPS = { type: "P2PAttentionStore", name: "step_groups", value: 2 };
const MARKUP = `<img src=x onerror="window.p2pHacked=1"> red house`;
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const [address, folder, executablePath, prefix, ...renderers] = process.argv.slice(2);
const files = (await readdir(folder)).filter((file) => file.endsWith(".json")).map((file) => file.slice(0, -5));
const names = [...files.filter((name) => name !== LAST), LAST];
const workflows = Object.fromEntries(
  await Promise.all(names.map(async (name) => [name, JSON.parse(await readFile(`${folder}/${name}.json`, "utf8"))]))
);
const browser = await launch(executablePath);
try {
  console.log(JSON.stringify(await visit(), null, 1));
} finally {
  await browser.close();
}

async function visit() {
  const page = await newPage(browser, address);
  const complaints = listen(page);
  await openFrontEnd(page, address);
  const before = complaints.splice(0);
  const views = {};
  for (const renderer of renderers) {
    await page.evaluate(inPage.drawNodesWithVue, renderer === "vue");
    const opened = {};
    for (const name of names) opened[name] = await open(page, renderer, name);
    const used = await use(page, renderer);
    views[renderer] = { opened, ...used, before, afterwards: complaints.splice(0) };
  }
  views[renderers.at(-1)].reloaded = await reload(page);
  return views;
}

/** What the panels of a workflow that ran say after a reload of the page, before another run. */
async function reload(page) {
  await page.reload({ waitUntil: "domcontentloaded" });
  await page.waitForFunction(() => window.app?.graph && window.app?.extensionManager?.setting);
  await page.waitForFunction(() => window.app.graph.nodes.length > 5); // it opens what was open
  await page.waitForTimeout(1500);
  await load(page, workflows.p2p_local_blend);
  await view(page, ["P2PPromptPair"], 0.7);
  return page.evaluate(inPage.readPanels);
}

async function open(page, renderer, name) {
  await load(page, workflows[name]);
  await page.evaluate(() => window.app.extensionManager.command.execute("Comfy.Canvas.FitView"));
  const graph = await page.evaluate(inPage.readGraph);
  if (!RUN.includes(name)) return graph;
  await page.evaluate(inPage.setValueOf, { type: "KSampler", name: "steps", value: STEPS });
  await view(page, ["P2PPromptPair"], 0.7);
  const empty = await page.evaluate(inPage.readPanels);
  if (name === "p2p_attention_maps") await page.evaluate(inPage.setValueOf, STEP_GROUPS);
  if (name === "p2p_local_blend") await page.evaluate(inPage.addCompare);
  const ran = await run(page);
  const panels = await page.evaluate(inPage.readPanels);
  await page.screenshot({ path: `${prefix}_${name}_${renderer}.png` });
  return { ...graph, ...ran, empty, panels, chips: await page.evaluate(inPage.readChips) };
}

async function view(page, ids, scale) {
  await page.evaluate(inPage.zoomTo, { ids, scale });
  await page.waitForTimeout(500);
}

/** Uses what the last workflows left; each step leaves the page fit for the next. */
async function use(page, renderer) {
  const seen = {};
  await load(page, workflows.p2p_attention_maps);
  await view(page, ["P2PAttentionMaps"], 1.2);
  seen.maps = await useMaps(page);
  await shoot(page, renderer, "P2PAttentionMaps");
  await load(page, workflows.p2p_local_blend);
  await page.evaluate(inPage.setValueOf, { type: "KSampler", name: "steps", value: STEPS });
  await page.evaluate(inPage.addCompare);
  await run(page);
  await view(page, ["P2PPromptPair", "P2PLocalBlend"], 1);
  seen.chips = await useChips(page);
  await shoot(page, renderer, "P2PPromptPair", "P2PPromptEdit", "P2PLocalBlend");
  seen.completed = await complete(page);
  await view(page, ["P2PBlendMask", "P2PCompare"], 1.2);
  seen.masks = await useMasks(page);
  seen.compare = await useCompare(page);
  await shoot(page, renderer, "P2PBlendMask", "P2PCompare");
  seen.axe = await judged(page, renderer);
  seen.kept = await keepValues(page);
  seen.dynamic = await page.evaluate(inPage.sentPrompts, ["a {red|blue|green} cat", "a {red|blue|green} dog"]);
  seen.older = await loadOlder(page);
  seen.presets = await usePresets(page);
  seen.markup = await showMarkup(page);
  return seen;
}

async function shoot(page, renderer, ...types) {
  for (const type of types) {
    const [x, y, width, height] = await page.evaluate(inPage.boxOf, type);
    const clip = { x: Math.max(x, 0), y: Math.max(y, 0), width, height: Math.min(height, 1350 - y) };
    await page.screenshot({ path: `${prefix}_${type}_${renderer}.png`, clip });
  }
}

function panel(page, label) {
  return page.locator(`.p2p[aria-label="${label}"]:visible`);
}

async function useMaps(page) {
  const maps = panel(page, "Where the words attend");
  const canvas = maps.locator("canvas");
  const read = async () => [await canvas.getAttribute("aria-label"), await canvas.evaluate((c) => c.toDataURL().length)];
  const first = await read();
  await maps.getByRole("button", { name: "star" }).hover();
  await page.waitForTimeout(400);
  const hovered = await read();
  await maps.getByRole("button", { name: "grass" }).focus();
  await page.keyboard.press("Enter");
  await maps.getByRole("slider", { name: "steps" }).focus();
  await page.keyboard.press("End");
  const layers = maps.getByRole("slider", { name: "layers" });
  await layers.focus();
  await page.keyboard.press("End");
  await page.waitForTimeout(400);
  return { first, hovered, last: await read(), layers: await layers.getAttribute("aria-valuetext") };
}

async function useChips(page) {
  const chips = panel(page, "The prompts, word by word");
  const changes = await chips.evaluate(() => 0).then(() => page.evaluate(inPage.readChips));
  await chips.getByRole("button", { name: "star" }).click();
  const offered = await chips.locator(".p2p-insert button").allInnerTexts();
  await page.keyboard.press("Tab"); // from the first offer to the second
  await chips.getByRole("button", { name: "subtract_words" }).focus();
  await page.keyboard.press("Enter");
  const value = await page.evaluate(inPage.valueOf, { type: "P2PLocalBlend", name: "subtract_words" });
  const told = await chips.locator(".p2p-insert").innerText();
  return { changes, offered, value, told };
}

async function complete(page) {
  const place = { type: "P2PLocalBlend", name: "edit_words" };
  const field = (await page.evaluateHandle(inPage.fieldOf, place)).asElement();
  await field.click();
  await field.fill("");
  await page.keyboard.type("ho");
  const list = page.locator(".p2p-list");
  const offered = await list.getByRole("option").allInnerTexts();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.keyboard.type(", b");
  const next = await list.getByRole("option").allInnerTexts();
  await page.keyboard.press("Escape");
  for (let i = 0; i < 3; i++) await page.keyboard.press("Backspace");
  const open = await list.count();
  return { offered, next, open, value: await page.evaluate(inPage.valueOf, place) };
}

async function useMasks(page) {
  const masks = panel(page, "Where the edit could change the image");
  const first = await masks.locator(".p2p-told").innerText();
  await masks.getByRole("slider").focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("PageUp");
  await page.waitForTimeout(300);
  const higher = await masks.locator(".p2p-told").innerText();
  await masks.getByRole("button", { name: "Use in Local Blend" }).click();
  const threshold = await page.evaluate(inPage.valueOf, { type: "P2PLocalBlend", name: "threshold" });
  return { first, higher, threshold };
}

async function useCompare(page) {
  const compare = panel(page, "Source and edit");
  const told = await compare.locator(".p2p-told").innerText();
  const divider = compare.getByRole("slider");
  await divider.focus();
  await page.keyboard.press("ArrowRight");
  const keyed = await divider.getAttribute("aria-valuenow");
  const box = await compare.locator(".p2p-frame").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2, { steps: 4 });
  await page.mouse.up();
  const dragged = await divider.getAttribute("aria-valuenow");
  await page.evaluate(inPage.showTwoEdits);
  const tabs = compare.getByRole("tab");
  await tabs.nth(1).click();
  await page.waitForTimeout(400);
  const second = await compare.locator(".p2p-told").innerText();
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(400);
  const first = await compare.locator(".p2p-told").innerText();
  return { told, keyed, dragged, tabs: await tabs.allInnerTexts(), second, again: first === told };
}

async function judged(page, renderer) {
  await page.evaluate(AXE);
  const found = {};
  for (const palette of ["dark", "light"]) {
    await page.evaluate((id) => window.app.extensionManager.setting.set("Comfy.ColorPalette", id), palette);
    found[palette] = { panels: [], against: [] };
    for (const ids of [["P2PPromptPair"], ["P2PBlendMask", "P2PCompare"]]) {
      await view(page, ids, 1);
      found[palette].panels.push(...Object.keys(await page.evaluate(inPage.readPanels)));
      found[palette].against.push(...(await page.evaluate(inPage.axePanels)));
    }
    await page.screenshot({ path: `${prefix}_${palette}_${renderer}.png` });
  }
  await page.evaluate(() => window.app.extensionManager.setting.set("Comfy.ColorPalette", "dark"));
  return found;
}

/** Values through save and load, a copy, an undo and a subgraph. */
async function keepValues(page) {
  await load(page, workflows.p2p_local_blend);
  const pristine = await page.evaluate(inPage.widgetValues);
  await page.evaluate(inPage.setValueOf, { type: "P2PLocalBlend", name: "source_words", value: "circle, red" });
  const changed = await page.evaluate(inPage.widgetValues);
  const saved = await page.evaluate(() => window.app.graph.serialize());
  await load(page, JSON.parse(JSON.stringify(saved)));
  const loaded = await page.evaluate(inPage.widgetValues);
  const copied = await page.evaluate(() => {
    const node = window.app.graph.nodes.find((each) => each.type === "P2PLocalBlend");
    return [node.serialize().widgets_values, node.clone().serialize().widgets_values];
  });
  const undone = await page.evaluate(async (type) => {
    const tracker = window.app.extensionManager.workflow.activeWorkflow?.changeTracker;
    const find = () => window.app.graph.nodes.find((each) => each.type === type);
    tracker.checkState?.();
    find().widgets.find((each) => each.name === "source_words").value = "star";
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
    await tracker.undo();
    return find().serialize().widgets_values;
  }, "P2PLocalBlend");
  const inSubgraph = await page.evaluate(async () => {
    const { app } = window;
    const chosen = app.graph.nodes.filter((node) => ["P2PPromptEdit", "P2PLocalBlend"].includes(node.type));
    const made = app.graph.convertToSubgraph?.(new Set(chosen));
    if (!made) return null;
    const inner = [...made.subgraph.nodes].find((node) => node.type === "P2PLocalBlend");
    const prompt = Object.values((await app.graphToPrompt()).output);
    const sent = prompt.find((node) => node.class_type === "P2PLocalBlend").inputs;
    return [inner.serialize().widgets_values, sent.source_words, sent.edit_words];
  });
  return { pristine, changed, loaded, copied, undone, inSubgraph };
}

async function loadOlder(page) {
  const older = JSON.parse(JSON.stringify(workflows.p2p_local_blend));
  const mask = older.nodes.find((node) => node.type === "P2PBlendMask");
  mask.inputs = mask.inputs.filter((input) => input.name !== "images");
  mask.inputs.push({ name: "shape", type: "STRING", widget: { name: "shape" }, link: null });
  older.links = older.links.filter((link) => link[3] !== mask.id || link[4] < 2);
  await load(page, older);
  const toast = page.locator("text=another version of Prompt-to-Prompt").first();
  await toast.waitFor({ timeout: 5_000 }).catch(() => {});
  const told = await page.evaluate(() => document.querySelector(".p-toast, [data-testid=toast]")?.innerText ?? "");
  await page.locator(".p-toast-close-button").first().click({ timeout: 3_000 }).catch(() => {});
  return told;
}

/** The preset and the window fields of a node: saved, touched, chosen, without the field, and new. */
async function usePresets(page) {
  const type = "P2PPromptEdit";
  const read = () => page.evaluate(inPage.windowsOf, type);
  await load(page, workflows.p2p_prompt_edit);
  const saved = await read();
  await page.evaluate(inPage.setValueOf, { type, name: "self_end", value: 0.3 });
  const touched = await read();
  await page.evaluate(inPage.setValueOf, { type, name: "preset", value: "recolour" });
  const chosen = await read();
  await load(page, await page.evaluate(() => window.app.graph.serialize()));
  const again = await read();
  const before = JSON.parse(JSON.stringify(workflows.p2p_prompt_edit));
  const node = before.nodes.find((each) => each.type === type);
  node.inputs = node.inputs.filter((input) => input.name !== "preset");
  node.widgets_values.pop();
  await load(page, before);
  const old = await read();
  const fresh = await page.evaluate((type) => {
    const made = window.LiteGraph.createNode(type);
    return made.widgets.find((widget) => widget.name === "preset").value;
  }, type);
  return { saved, touched, chosen, again, old, fresh };
}

async function showMarkup(page) {
  await load(page, workflows.p2p_prompt_edit);
  await page.evaluate(inPage.setValueOf, { type: "P2PPromptPair", name: "source", value: MARKUP });
  await page.evaluate(inPage.setValueOf, { type: "P2PPromptPair", name: "edit", value: MARKUP.replace("red", "blue") });
  await page.evaluate(inPage.setValueOf, { type: "KSampler", name: "steps", value: 1 });
  await view(page, ["P2PPromptPair"], 0.9);
  const { end } = await run(page);
  return page.evaluate((end) => ({
    end,
    hacked: window.p2pHacked ?? null,
    images: document.querySelectorAll(".p2p img").length,
    words: [...document.querySelectorAll(".p2p .p2p-word")].filter((w) => w.checkVisibility()).map((w) => w.textContent),
  }), end);
}

// Opens a workflow in the front end of a running ComfyUI, runs it there, and prints as JSON what was seen.
//
//   node open_workflow.mjs ADDRESS WORKFLOW.json CHROMIUM SCREENSHOT_PREFIX canvas|vue ...
//
// The last arguments are the ways to draw nodes, tried one after the other on one page. Nothing is judged:
// tests/host/test_browser.py does that. Every wait is bounded.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const LONG = 120_000;
const RUN = 240_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const [address, workflowFile, executablePath, prefix, ...renderers] = process.argv.slice(2);
const workflow = JSON.parse(await readFile(workflowFile, "utf8"));
const browser = await chromium.launch({ executablePath, args: FLAGS, timeout: LONG });
try {
  console.log(JSON.stringify(await visit(), null, 1));
} finally {
  await browser.close();
}

async function visit() {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1080 } });
  page.setDefaultTimeout(LONG);
  await page.route((url) => url.hostname !== new URL(address).hostname, (route) => route.abort());
  const complaints = listen(page);
  await openFrontEnd(page);
  const before = complaints.splice(0);
  const views = {};
  for (const renderer of renderers) {
    views[renderer] = { ...(await openAndRun(page, renderer)), before, afterwards: complaints.splice(0) };
  }
  return views;
}

async function openAndRun(page, renderer) {
  await page.evaluate(drawNodesWithVue, renderer === "vue");
  await page.evaluate((graph) => window.app.loadGraphData(graph), workflow);
  await page.evaluate(() => window.app.extensionManager.command.execute("Comfy.Canvas.FitView"));
  await page.waitForTimeout(1500); // for the nodes to be laid out
  const graph = await page.evaluate(readGraph);
  await page.evaluate(askAnew, renderers.indexOf(renderer));
  const run = await runWorkflow(page);
  await page.screenshot({ path: `${prefix}_${renderer}.png` });
  const summaries = await page.evaluate(readSummaries);
  return { ...graph, ...run, summaries };
}

function listen(page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
  });
  return complaints;
}

async function openFrontEnd(page) {
  const settings = await (await fetch(`${address}/api/settings`)).json();
  await page.goto(address, { timeout: LONG, waitUntil: "domcontentloaded" });
  await page.waitForFunction(() => window.app?.graph && window.app?.extensionManager?.setting);
  if (!settings["Comfy.TutorialCompleted"]) await closeTemplates(page);
  await page.waitForLoadState("networkidle", { timeout: 5_000 }).catch(() => {});
}

// A new user is shown the templates, a little after the rest.
async function closeTemplates(page) {
  const dialog = page.getByRole("dialog").first();
  await dialog.waitFor({ timeout: 20_000 }).catch(() => {});
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
}

async function runWorkflow(page) {
  const reply = page.waitForResponse(isAnswerToPrompt, { timeout: 60_000 }).catch(() => null);
  await page.evaluate(startRun);
  const status = (await reply)?.status() ?? "no request";
  if (status !== 200) return { pictures: {}, widths: {}, end: `not queued: ${status}` };
  await page.waitForFunction(() => window.p2pSeen.end, null, { timeout: RUN });
  await page.waitForFunction(widthsAreKnown, null, { timeout: 15_000 }).catch(() => {});
  await page.waitForTimeout(1500); // for the canvas to draw them
  return page.evaluate(() => window.p2pSeen);
}

function isAnswerToPrompt(response) {
  return response.request().method() === "POST" && new URL(response.url()).pathname === "/api/prompt";
}

// In the page

function drawNodesWithVue(wanted) {
  return window.app.extensionManager.setting.set("Comfy.VueNodes.Enabled", wanted);
}

async function readGraph() {
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

function startRun() {
  const seen = (window.p2pSeen = { pictures: {}, widths: {}, end: "" });
  const { api } = window.app;
  api.addEventListener("executed", ({ detail }) => {
    if (detail.output?.images) seen.pictures[detail.node] = detail.output.images.length;
  });
  for (const end of ["execution_success", "execution_error"]) {
    api.addEventListener(end, () => (seen.end = end));
  }
  return window.app.queuePrompt(0, 1);
}

// A node whose result the server still has is not run, and says nothing: each renderer asks for another end.
function askAnew(time) {
  for (const node of window.app.graph.nodes) {
    const end = node.widgets?.find((widget) => widget.name === "cross_end");
    if (end) end.value -= 0.01 * time;
  }
}

// What the edit nodes say of themselves; those of a graph that was open before are gone or hidden.
function readSummaries() {
  const shown = [...document.querySelectorAll(".p2p-summary")].filter((text) => text.checkVisibility());
  return shown.map((text) => text.textContent);
}

// The width of the first picture that each node shows, by canvas or by an element of its own.
function widthsAreKnown() {
  const { pictures, widths } = window.p2pSeen;
  for (const id of Object.keys(pictures)) {
    const image = window.app.graph.getNodeById(id).imgs?.[0];
    widths[id] = (image ?? document.querySelector(`[data-node-id="${id}"] img`))?.naturalWidth ?? 0;
  }
  return Object.values(widths).every(Boolean);
}

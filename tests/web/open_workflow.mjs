// Opens a workflow in the front end of a running ComfyUI, runs it there, and prints as JSON what was seen.
//
//   node open_workflow.mjs ADDRESS WORKFLOW.json CHROMIUM PICTURE_PREFIX [vue]
//
// Nothing is judged here; tests/host/test_browser.py does that. Every wait is bounded.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const START = 60_000;
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

const [address, workflowFile, executablePath, picture, renderer] = process.argv.slice(2);
const workflow = JSON.parse(await readFile(workflowFile, "utf8"));
const browser = await chromium.launch({ executablePath, args: FLAGS, timeout: START });
try {
  console.log(JSON.stringify(await openAndRun(), null, 1));
} finally {
  await browser.close();
}

async function openAndRun() {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1080 } });
  page.setDefaultTimeout(START);
  const complaints = [];
  listen(page, complaints);
  await openFrontEnd(page);
  const atStart = complaints.splice(0);
  await page.evaluate((graph) => window.app.loadGraphData(graph), workflow);
  await fitView(page);
  const report = await page.evaluate(readGraph);
  report.pictures = await runWorkflow(page);
  await page.waitForTimeout(1000);
  await page.screenshot({ path: `${picture}.png` });
  return { ...report, atStart, afterwards: complaints };
}

function listen(page, complaints) {
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
  });
}

async function openFrontEnd(page) {
  await page.goto(address, { timeout: START, waitUntil: "domcontentloaded" });
  await page.waitForFunction(() => window.app?.graph && window.app?.extensionManager?.setting);
  await page.evaluate((vue) => window.app.extensionManager.setting.set("Comfy.VueNodes.Enabled", vue), renderer === "vue");
  // A new user is shown the templates. The dialog comes a little after the app, so wait for it, but not for ever.
  const dialog = page.getByRole("dialog").first();
  await dialog.waitFor({ timeout: 10_000 }).catch(() => {});
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.waitForLoadState("networkidle", { timeout: 10_000 }).catch(() => {});
}

async function fitView(page) {
  await page.evaluate(() => window.app.extensionManager.command.execute("Comfy.Canvas.FitView"));
  await page.waitForTimeout(1000);
}

// In the page

async function readGraph() {
  const { app, LiteGraph } = window;
  const nodes = {};
  for (const node of app.graph.nodes) {
    nodes[node.id] = {
      type: node.type,
      known: node.type in LiteGraph.registered_node_types,
      title: node.title,
      box: [...node.pos, ...node.size],
      smallest: [...node.computeSize()],
      widgets: Object.fromEntries((node.widgets ?? []).map((widget) => [widget.name, widget.value])),
      linked: node.inputs.filter((input) => input.link != null).map((input) => input.name),
      sockets: node.outputs.map((output) => output.name),
    };
  }
  const { output } = await app.graphToPrompt();
  const dialogs = [...document.querySelectorAll("[role=dialog]")].map((dialog) => dialog.innerText);
  return { version: window.__COMFYUI_FRONTEND_VERSION__, vue: Boolean(LiteGraph.vueNodesMode), nodes, prompt: output, dialogs };
}

async function runWorkflow(page) {
  await page.evaluate(() => {
    window.seen = { pictures: {}, over: "" };
    const { api } = window.app;
    api.addEventListener("executed", ({ detail }) => {
      window.seen.pictures[detail.node] = detail.output?.images?.length ?? 0;
    });
    for (const end of ["execution_success", "execution_error"]) {
      api.addEventListener(end, () => (window.seen.over = end));
    }
    return window.app.queuePrompt(0, 1);
  });
  await page.waitForFunction(() => window.seen.over, null, { timeout: RUN });
  return page.evaluate(() => window.seen);
}

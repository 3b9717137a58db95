// A browser, a page of it with the front end of a running ComfyUI, and a run. Every wait is bounded.

import { chromium } from "playwright-core";

export const LONG = 120_000;
const RUN = 240_000; // a slow machine
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(executablePath) {
  return chromium.launch({ executablePath, args: FLAGS, timeout: LONG });
}

export async function newPage(browser, address) {
  const page = await browser.newPage({ viewport: { width: 2400, height: 1350 } });
  page.setDefaultTimeout(LONG);
  await page.route((url) => url.hostname !== new URL(address).hostname, (route) => route.abort());
  return page;
}

export function listen(page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
  });
  return complaints;
}

export async function openFrontEnd(page, address) {
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

export async function load(page, workflow) {
  await page.evaluate((graph) => window.app.loadGraphData(graph), workflow);
  await page.waitForTimeout(800); // for the nodes to be laid out
}

/** Runs what is open; what the server said of it. */
export async function run(page) {
  const reply = page.waitForResponse(isAnswerToPrompt, { timeout: 60_000 }).catch(() => null);
  await page.evaluate(startRun);
  const status = (await reply)?.status() ?? "no request";
  if (status !== 200) return { pictures: {}, widths: {}, end: `not queued: ${status}` };
  await page.waitForFunction(() => window.p2pSeen.end, null, { timeout: RUN });
  await page.waitForFunction(widthsAreKnown, null, { timeout: 15_000 }).catch(() => {});
  await page.waitForTimeout(800); // for the nodes to draw them
  return page.evaluate(() => window.p2pSeen);
}

function isAnswerToPrompt(response) {
  return response.request().method() === "POST" && new URL(response.url()).pathname === "/api/prompt";
}

// In the page

function startRun() {
  const seen = (window.p2pSeen = { pictures: {}, widths: {}, end: "" });
  const { api } = window.app;
  window.p2pStop?.abort();
  window.p2pStop = new AbortController();
  const { signal } = window.p2pStop;
  const hear = ({ detail }) => {
    if (detail.output?.images) seen.pictures[detail.node] = detail.output.images.length;
  };
  api.addEventListener("executed", hear, { signal });
  for (const end of ["execution_success", "execution_error"]) {
    api.addEventListener(end, () => (seen.end ||= end), { signal });
  }
  return window.app.queuePrompt(0, 1);
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

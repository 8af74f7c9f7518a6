// Opens pages of the report `html` and of `harness compare --format html` in a headless Chromium, wide and narrow, light and dark, and fails on an error in the
// console, a request, a violation of the page's policy, or a page wider than its window. With Node alone:
//
//     node tests/browser/html.mjs PAGE.html… [--shots FOLDER]
//
// Prints SKIP and succeeds where there is no Chromium; CHROMIUM names one.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const VIEWS = [1200, 390].flatMap((width) => ["light", "dark"].map((scheme) => ({ width, scheme })));

function chromium() {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
  const known = process.env.CHROMIUM ? [process.env.CHROMIUM] : names;
  return known.find((name) => spawnSync(name, ["--version"]).status === 0);
}

// The protocol of developer tools, over pipes: messages are JSON, each ended by a zero byte.
function connect(browser) {
  const [out, into] = [browser.stdio[3], browser.stdio[4]];
  const waiting = new Map();
  const listeners = new Set();
  let last = 0;
  let rest = Buffer.alloc(0);
  into.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      const message = JSON.parse(rest.subarray(0, end).toString());
      rest = rest.subarray(end + 1);
      const answer = waiting.get(message.id);
      waiting.delete(message.id);
      if (!answer) listeners.forEach((listener) => listener(message));
      else if (message.error) answer.reject(new Error(message.error.message));
      else answer.resolve(message.result);
    }
  });
  browser.on("exit", () => waiting.forEach(({ reject }) => reject(new Error("the browser ended"))));
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      out.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
  return { send, listeners };
}

async function look({ send, listeners }, file, { width, scheme }, shots) {
  const url = pathToFileURL(resolve(file)).href;
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => send(method, params, sessionId);
  const troubles = [];
  let loaded;
  const load = new Promise((done) => (loaded = done));
  const listener = ({ method, params, sessionId: of }) => {
    if (of !== sessionId) return;
    if (method === "Page.loadEventFired") loaded();
    if (method === "Network.requestWillBeSent" && params.request.url !== url && !params.request.url.startsWith("data:"))
      troubles.push(`request: ${params.request.url}`);
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level))
      troubles.push(`${params.entry.level}: ${params.entry.text}`);
    if (method === "Runtime.consoleAPICalled") troubles.push(`console: ${params.args.map((a) => a.value).join(" ")}`);
    if (method === "Runtime.exceptionThrown") troubles.push(`exception: ${params.exceptionDetails.text}`);
  };
  listeners.add(listener);
  for (const domain of ["Page", "Network", "Log", "Runtime"]) await page(`${domain}.enable`);
  await page("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: width < 640 });
  await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  await page("Page.navigate", { url });
  await load;
  const ask = async (expression) => (await page("Runtime.evaluate", { expression, returnByValue: true })).result.value;
  const wide = await ask("document.documentElement.scrollWidth");
  if (wide > width) troubles.push(`the page is ${wide} pixels wide in a window of ${width}`);
  const nameless = await ask("[...document.querySelectorAll('svg')].filter((svg) => !svg.getAttribute('aria-label')).length");
  if (nameless) troubles.push(`${nameless} charts have no accessible name`);
  if (!(await ask("document.querySelector('h1')?.textContent"))) troubles.push("there is no heading");
  if (shots) {
    const { data } = await page("Page.captureScreenshot", { captureBeyondViewport: true });
    writeFileSync(join(shots, `${basename(file, ".html")}-${width}-${scheme}.png`), Buffer.from(data, "base64"));
  }
  listeners.delete(listener);
  await send("Target.closeTarget", { targetId });
  return troubles;
}

const files = process.argv.slice(2);
const flag = files.indexOf("--shots");
const shots = flag >= 0 ? files.splice(flag, 2)[1] : undefined;
if (files.length === 0) {
  console.error("name at least one page");
  process.exit(2);
}
if (shots) mkdirSync(shots, { recursive: true });
const program = chromium();
if (!program) {
  console.log("SKIP: there is no Chromium");
  process.exit(0);
}
const profile = mkdtempSync(join(tmpdir(), "harness-html-"));
const options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"];
const browser = spawn(program, [...options, "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
let failed = false;
const connection = connect(browser);
try {
  for (const file of files) {
    for (const view of VIEWS) {
      const troubles = await look(connection, file, view, shots);
      failed ||= troubles.length > 0;
      console.log(`${troubles.length ? "FAIL" : "ok"}: ${file}, ${view.width} pixels, ${view.scheme}`);
      troubles.forEach((trouble) => console.log(`  ${trouble}`));
    }
  }
} finally {
  // Killed, it leaves processes of its own behind that still write into the profile.
  const ended = new Promise((done) => browser.on("exit", done));
  const stuck = setTimeout(() => browser.kill("SIGKILL"), 10_000);
  connection.send("Browser.close").catch(() => {});
  if (browser.exitCode === null && browser.signalCode === null) await ended;
  clearTimeout(stuck);
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(failed ? 1 : 0);

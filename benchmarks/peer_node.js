// A server process: the Node package ocpp-rpc in strict mode (every payload is checked, in both directions).
//
//     node peer_node.js [SECONDS [EVERY [WORKERS]]]      one in EVERY handlers of Heartbeat sleeps so long
//
// With several WORKERS, the module cluster of Node has as many processes listen on one port.
// Run in a directory where ocpp-rpc is installed. Obeys as `harness.Child` says.

const { createRequire } = require("node:module");
const { RPCServer } = createRequire(process.cwd() + "/")("ocpp-rpc");
const cluster = require("node:cluster");
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");

const pause = Number(process.argv[2] || 0) * 1000;
const every = Number(process.argv[3] || 1);
const workers = Number(process.argv[4] || 1);
const open = [];
let count = 0;

const now = () => new Date().toISOString();
const seconds = () => performance.now() / 1000;

function listen() {
  const server = new RPCServer({ protocols: ["ocpp1.6"], strictMode: true });
  server.on("client", (client) => {
    open.push(client);
    client.handle("Heartbeat", async () => {
      if (pause && ++count % every === 0) await sleep(pause);
      return { currentTime: now() };
    });
    client.handle("MeterValues", () => ({}));
    client.handle("BootNotification", () => ({ currentTime: now(), interval: 300, status: "Accepted" }));
  });
  return server.listen(0, "127.0.0.1");
}

async function timed(times, work) {
  const taken = [];
  for (let round = 0; round < times; round++) {
    const begun = seconds();
    await work();
    taken.push(seconds() - begun);
  }
  return taken.sort((a, b) => a - b);
}

const tasks = {
  async call({ times }) {
    const taken = await timed(times, () => open[0].call("ClearCache", {}));
    const at = (part) => taken[Math.min(taken.length - 1, Math.floor(taken.length * part))] * 1000;
    return { p50: at(0.5), p99: at(0.99) };
  },
  async broadcast({ times }) {
    const taken = await timed(times, () => Promise.all(open.map((client) => client.call("ClearCache", {}))));
    return { seconds: taken[Math.floor(times / 2)], clients: open.length };
  },
};

const say = (reply) => process.stdout.write(JSON.stringify(reply) + "\n");

// Listen, say so, and obey the lines on standard input.
async function obey() {
  const http = await listen();
  say({ ready: http.address().port });
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const order = JSON.parse(line);
    try {
      say({ done: await tasks[order.do](order) });
    } catch (error) {
      say({ error: String(error) });
    }
  });
  lines.on("close", () => process.exit(0));
}

// Listen in several processes on one port; say so when all of them do.
function obeyInProcesses() {
  if (!cluster.isPrimary) {
    listen();
    return;
  }
  let listening = 0;
  for (let worker = 0; worker < workers; worker++) cluster.fork();
  cluster.on("listening", (_, address) => {
    if (++listening < workers) return;
    const pids = Object.values(cluster.workers).map((worker) => worker.process.pid);
    say({ ready: { port: address.port, pids: [process.pid, ...pids] } });
  });
  process.stdin.resume().on("close", () => process.exit(0));
}

if (workers > 1) obeyInProcesses();
else obey();

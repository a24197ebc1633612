// A charging station made with the Node package ocpp-rpc, in strict mode. It runs until it is ended.
//
//     node rpc_station.js FOLDER URL VERSION      ocpp-rpc is installed in FOLDER

const { createRequire } = require("node:module");
const [, , folder, endpoint, version] = process.argv;
const { RPCClient } = createRequire(folder + "/")("ocpp-rpc");

const client = new RPCClient({
  endpoint,
  identity: "CP_1",
  protocols: [`ocpp${version}`],
  strictMode: true,
  backoff: { initialDelay: 100, maxDelay: 500 },
});
let interval = 300;
const is16 = version === "1.6";
const settings = { HeartbeatInterval: "300", NumberOfConnectors: "1" };

if (is16) {
  client.handle("GetConfiguration", ({ params }) => {
    const asked = params.key || Object.keys(settings);
    const entry = (key) => ({ key, readonly: key === "NumberOfConnectors", value: settings[key] });
    return {
      configurationKey: asked.filter((key) => key in settings).map(entry),
      unknownKey: asked.filter((key) => !(key in settings)),
    };
  });
  client.handle("ChangeConfiguration", ({ params: { key, value } }) => {
    if (!(key in settings)) return { status: "NotSupported" };
    if (key === "NumberOfConnectors" || !/^\d+$/.test(value)) return { status: "Rejected" };
    settings[key] = value;
    interval = Number(value);
    return { status: "Accepted" };
  });
  client.handle("ChangeAvailability", ({ params }) => ({ status: params.connectorId < 2 ? "Accepted" : "Rejected" }));
} else {
  const status = ({ component, variable }) => (component.name !== "OCPPCommCtrlr"
    ? "UnknownComponent" : variable.name === "HeartbeatInterval" ? "Accepted" : "UnknownVariable");
  const note = (data) => {
    if (status(data) === "Accepted" && /^\d+$/.test(data.attributeValue)) interval = Number(data.attributeValue);
    return true;
  };
  client.handle("GetVariables", ({ params }) => ({
    getVariableResult: params.getVariableData.map((data) => ({
      attributeStatus: status(data),
      attributeType: data.attributeType || "Actual",
      ...(status(data) === "Accepted" ? { attributeValue: settings.HeartbeatInterval } : {}),
      component: data.component,
      variable: data.variable,
    })),
  }));
  client.handle("SetVariables", ({ params }) => ({
    setVariableResult: params.setVariableData.map((data) => note(data) && ({
      attributeStatus: status(data) === "Accepted" && !/^\d+$/.test(data.attributeValue) ? "Rejected" : status(data),
      attributeType: "Actual",
      component: data.component,
      variable: data.variable,
    })),
  }));
}
client.handle("DataTransfer", () => ({ status: "UnknownVendorId" }));
client.handle("TriggerMessage", ({ params }) => {
  if (params.requestedMessage !== "Heartbeat") return { status: "NotImplemented" };
  setImmediate(() => client.call("Heartbeat", {}).catch(() => {}));
  return { status: "Accepted" };
});

const boot = is16
  ? { chargePointVendor: "Acme", chargePointModel: "One" }
  : { reason: "PowerUp", chargingStation: { vendorName: "Acme", model: "One" } };
const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

// The connection may end before the answer has come: then it is asked again.
async function call(action, payload) {
  while (true) {
    try {
      return await client.call(action, payload);
    } catch {
      await pause(0.1);
    }
  }
}

async function work() {
  let answer = await call("BootNotification", boot);
  while (answer.status !== "Accepted") {
    await pause(answer.interval);
    answer = await call("BootNotification", boot);
  }
  if (is16) {
    await call("StatusNotification", { connectorId: 0, errorCode: "NoError", status: "Available" });
    await call("StatusNotification", { connectorId: 1, errorCode: "NoError", status: "Available" });
  } else {
    const timestamp = new Date().toISOString();
    await call("StatusNotification", { timestamp, connectorStatus: "Available", evseId: 1, connectorId: 1 });
  }
  interval = answer.interval;
  while (true) {
    await pause(answer.interval);
    if (interval <= answer.interval) await client.call("Heartbeat", {}).catch(() => {});
  }
}

client.on("strictValidationFailure", () => {});
client.connect().then(work).catch((error) => { console.error(error); process.exit(1); });

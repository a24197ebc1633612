// A central system made with the Node package ocpp-rpc, in strict mode. It prints its URL, and runs on.
//
//     node rpc_csms.js PORT [FOLDER]      ocpp-rpc is installed in FOLDER; without it, in the working directory

const { createRequire } = require("node:module");
const { RPCServer } = createRequire((process.argv[3] || process.cwd()) + "/")("ocpp-rpc");

const versions = ["ocpp2.0.1", "ocpp1.6"];
const server = new RPCServer({ protocols: versions, strictMode: true });
const now = () => new Date().toISOString();
const judge = (token) => ({ status: String(token).startsWith("X") ? "Invalid" : "Accepted" });
let transactions = 0;

server.on("client", (client) => {
  const two = client.protocol === "ocpp2.0.1";
  client.handle("BootNotification", () => ({ currentTime: now(), interval: 300, status: "Accepted" }));
  client.handle("Heartbeat", () => ({ currentTime: now() }));
  client.handle("StatusNotification", () => ({}));
  client.handle("MeterValues", () => ({}));
  client.handle("DataTransfer", () => ({ status: "UnknownVendorId" }));
  client.handle("Authorize", ({ params }) => (two
    ? { idTokenInfo: judge(params.idToken.idToken) }
    : { idTagInfo: judge(params.idTag) }));
  if (two) {
    client.handle("TransactionEvent", ({ params }) => (params.idToken
      ? { idTokenInfo: judge(params.idToken.idToken) }
      : {}));
    client.handle("NotifyEvent", () => ({}));
  } else {
    client.handle("StartTransaction", ({ params }) => ({
      transactionId: ++transactions,
      idTagInfo: judge(params.idTag),
    }));
    client.handle("StopTransaction", () => ({}));
  }
});

server.listen(Number(process.argv[2]), "127.0.0.1").then((http) => {
  console.log(`listening on ws://127.0.0.1:${http.address().port}`);
});

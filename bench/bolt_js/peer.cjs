// The peer on Node: a Bolt app with one listener that does nothing, as its `start()` runs it, a process of its own.
// At its end it prints how often the listener ran. https://docs.slack.dev/tools/bolt-js/getting-started
const { parseArgs } = require("node:util");
const { App, LogLevel } = require("@slack/bolt");

const text = { type: "string" };
const { values } = parseArgs({ options: { "signing-secret": text, token: text, "api-url": text } });

async function main() {
  let handled = 0;
  const app = new App({
    signingSecret: values["signing-secret"],
    token: values.token,
    clientOptions: { slackApiUrl: values["api-url"] },
    logLevel: LogLevel.ERROR,
  });
  app.event("message", async () => {
    handled += 1;
  });
  const server = await app.start({ port: 0, host: "127.0.0.1" });
  process.on("SIGTERM", () => {
    console.log(JSON.stringify({ handled }));
    process.exit(0);
  });
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }));
}

main();
